"""The teacher of a transfer: frozen, in eval mode, with its own normalization and image size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from transmamba_mm.checkpoint import check_finite, load_state_dict
from transmamba_mm.checks import FINITE, POSITIVE, SIDES, Each, checked
from transmamba_mm.errors import UserError
from transmamba_mm.openai_clip import explain_clip, is_openai_clip
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.features.frames import as_clips, as_frames, frames_for, mean_over_frames
from transmamba_mm.transfer.teacher_cache import TeacherCache

#: Lines shown of the table of differences.
MAX_DIFFERENCES = 20
#: What loading raises: torch the first, hooks of mmpretrain that cannot adapt a tensor the second.
LOAD_ERRORS = (RuntimeError, AssertionError)


class FrozenTeacher:
    """A trained model with frozen weights.

    It is a plain object and not a module, so the algorithm can hold it without its weights reaching
    a checkpoint, an optimizer, a DDP bucket or ``train()``: the whole teacher stays in eval,
    stochastic depth included. A copy of the algorithm (EMA) shares it. It follows the images it is
    given to their device, so while a trained student is only tested it is neither loaded nor moved
    (one whose config has a ``checkpoint`` of its own is loaded when it is built, though: to test,
    build the student alone, as ``tools/test.py`` does).

    Args:
        model (dict | nn.Module): Config of the teacher, built through ``MODELS``, or the model
            itself.
        checkpoint (str, optional): Its weights: anything
            :func:`transmamba_mm.checkpoint.load_state_dict` reads. Without it, ``model`` has to be
            a trained model, or the config of one with a ``checkpoint`` of its own.
        mean, std (Sequence[float], optional): The normalization it was trained with, per channel
            and in the unit of the student's ``data_preprocessor``. By default its images are the
            student's.
        img_size (int | tuple[int, int], optional): (height, width) of its images; they are
            resized bicubically. By default the student's.
        cache (str, optional): Folder that ``tools/cache_teacher.py`` wrote: outputs are read from
            there. The model is only what they are compared by and, loaded, what is subcloned; then
            its weights are dropped.

    Attributes:
        source (str): Where its weights are from, for messages about them.
        cache (TeacherCache | None): Of its outputs.

    Raises:
        UserError: Only one of ``mean`` and ``std``; no cache where one is named.
    """

    @checked(mean=Each(FINITE, alone=False), std=Each(POSITIVE, alone=False), img_size=SIDES)
    def __init__(
        self,
        model: dict | nn.Module,
        checkpoint: str | Path | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        img_size: int | tuple[int, int] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        if (mean is None) != (std is None):
            raise UserError('teacher needs both mean and std, or neither.')
        own = model.get('checkpoint') if isinstance(model, dict) else None
        self.comes_trained = not isinstance(model, dict) or own is not None
        self.model: Any = MODELS.build(model) if isinstance(model, dict) else model
        self.model.requires_grad_(False)
        self.model.eval()
        self.checkpoint = checkpoint
        self.source = str(checkpoint or own or type(self.model).__name__)
        self.mean, self.std = mean, std
        if isinstance(img_size, int):
            img_size = (img_size, img_size)
        self.img_size = None if img_size is None else tuple(img_size)
        self.cache = None if cache is None else TeacherCache(cache)

    def __deepcopy__(self, memo: dict) -> 'FrozenTeacher':
        return self

    def load(self) -> None:
        """Load the checkpoint, strictly.

        Raises:
            UserError: No checkpoint, one that cannot be read, weights that are NaN or infinite, or
                a checkpoint that does not fit; then the message is a table of what differs.
        """
        if self.checkpoint is not None:
            load_strict(self.model, load_state_dict(self.checkpoint), str(self.checkpoint))
        elif not self.comes_trained:
            raise UserError(
                'The teacher has no weights: set teacher.checkpoint (model.teacher.checkpoint in '
                '--cfg-options) to a file, a work_dir or a URL.'
            )
        check_finite(self.model.state_dict(), f'The teacher ({self.source})', 'teacher.checkpoint')

    def release(self) -> None:
        """Drop the weights, which a cache makes unnecessary."""
        self.model.to('meta')

    def description(self) -> dict[str, Any]:
        """Settings that determine its outputs besides the images, in JSON's types."""
        lists = {'mean': self.mean, 'std': self.std, 'img_size': self.img_size}
        return {
            'source': self.source,
            **{key: None if value is None else list(value) for key, value in lists.items()},
        }

    def preprocess(self, images: Tensor, preprocessor: BaseDataPreprocessor) -> Tensor:
        """Turn the student's images into the teacher's: same picture, own normalization and size.

        Augmentation and mixing have already happened; both are kept, since the two normalizations
        differ by an affine map per channel, which commutes with mixing.

        Args:
            images (Tensor): (B, C, H, W), or clips (B, C, T, H, W), as ``preprocessor`` made them
                for the student.
            preprocessor (BaseDataPreprocessor): Its ``mean`` and ``std`` buffers, if it has any,
                are the student's normalization.
        """
        if self.mean is not None:

            def per_channel(values: Any) -> Tensor:
                return torch.as_tensor(values).to(images).view(-1, *[1] * (images.dim() - 2))

            std = per_channel(getattr(preprocessor, 'std', 1))
            pixels = images * std + per_channel(getattr(preprocessor, 'mean', 0))
            images = (pixels - per_channel(self.mean)) / per_channel(self.std)
        if self.img_size is not None and self.img_size != tuple(images.shape[-2:]):
            images = self._resize(images)
        return images

    def _resize(self, images: Tensor) -> Tensor:
        if images.dim() == 5:
            return as_clips(self._resize(as_frames(images)), images.shape[2])
        return F.interpolate(images, self.img_size, mode='bicubic', antialias=True)

    @torch.no_grad()
    def __call__(self, images: Tensor, data_samples: list | None = None):
        """Run the model, without a graph, on images that :meth:`preprocess` made.

        A model of images takes the frames of clips as one batch; its outputs are averaged over each
        clip.
        """
        if next(self.model.parameters()).device != images.device:
            self.model.to(images.device)
        seen = frames_for(self.model, images)
        outputs = self.model(seen, data_samples, mode='tensor')
        return outputs if seen is images else mean_over_frames(outputs, images.shape[2])


def load_strict(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load every tensor of ``state`` into ``model``, and leave none of the model's out.

    What the model's own hooks can adapt, such as position embeddings of another image size, fits.

    Raises:
        UserError: Keys that are missing or unexpected, shapes that differ: a table of them.
    """
    try:
        model.load_state_dict(dict(state))
    except LOAD_ERRORS as error:
        if is_openai_clip(state):
            raise UserError(explain_clip(source)) from error
        rows = _differences(model, state)
        shown = [f'  {what:10}  {key}: {shapes}' for what, key, shapes in rows[:MAX_DIFFERENCES]]
        if len(rows) > len(shown):
            shown.append(f'  ... and {len(rows) - len(shown)} more')
        raise UserError(
            '\n'.join(
                [
                    f'The checkpoint {source} does not fit the {type(model).__name__}:',
                    *shown,
                    'Describe in the config the model that the checkpoint was made from (arch, '
                    'patch_size, in_channels, num_classes), or name another checkpoint.',
                ]
            )
        ) from error


def _differences(model: nn.Module, state: Mapping[str, Tensor]) -> list[tuple[str, str, str]]:
    """Rows (what, key, shapes) of what keeps ``state`` from fitting."""
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    rows = [
        ('shape', key, f'{given[key]} in the checkpoint, {own[key]} in the model')
        for key in own.keys() & given.keys()
        if own[key] != given[key] and not _adapts(model, key, state[key])
    ]
    rows += [('missing', key, f'{own[key]} in the model') for key in own.keys() - given.keys()]
    rows += [
        ('unexpected', key, f'{given[key]} in the checkpoint') for key in given.keys() - own.keys()
    ]
    return sorted(rows)


def _adapts(model: nn.Module, key: str, value: Tensor) -> bool:
    """Whether a hook of the model resizes this one tensor when it is loaded."""
    try:
        model.load_state_dict({key: value}, strict=False)
    except LOAD_ERRORS:
        return False
    return True
