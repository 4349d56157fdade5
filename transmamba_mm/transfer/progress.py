"""Progress of a training."""

from dataclasses import dataclass

from mmengine.logging import MessageHub


@dataclass(frozen=True)
class Progress:
    """Steps of a training.

    Attributes:
        step (int): Steps that are done; the first step is 0.
        total (int): Steps of the whole training.
    """

    step: int = 0
    total: int = 1

    @property
    def share(self) -> float:
        """Share of the steps that are done, in [0, 1]."""
        return min(self.step / self.total, 1.0)

    @classmethod
    def of_runner(cls) -> 'Progress':
        """The progress of the mmengine Runner that is training; outside of one, its beginning.

        A Runner writes its iteration to the message hub before every step, so the first step after
        a resume is right, too.
        """
        hub = MessageHub.get_current_instance()
        if hub.get_info('loop_stage') != 'train':
            return cls()
        return cls(hub.get_info('iter'), hub.get_info('max_iters'))
