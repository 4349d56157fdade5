"""Make trainings resumable, for configs of any scope."""

from mmengine.config import Config

from transmamba_mm.registry import SCOPE

#: mmengine's, in whose place ours stand in every training by our tools.
LOOPS = ('EpochBasedTrainLoop', 'IterBasedTrainLoop')
HOOK = 'CheckpointHook'


def make_resumable(cfg: Config) -> None:
    """Name our checkpoint hook and training loops where a config names mmengine's, or none.

    In our own scope their names lead to ours anyway, except for a loop that is named by
    ``by_epoch`` alone.
    """
    if cfg.get('default_hooks') is None:
        cfg.default_hooks = {}
    hooks = cfg.default_hooks
    hook = hooks.setdefault('checkpoint', {'type': HOOK, 'interval': 1})
    if hook is not None and _is_mmengines(hook.get('type'), (HOOK,)):
        hook['type'] = f'{SCOPE}.{HOOK}'
    loop = cfg.get('train_cfg')
    if loop is None:
        return
    if 'type' not in loop and 'by_epoch' in loop:
        loop['type'] = LOOPS[0] if loop.pop('by_epoch') else LOOPS[1]
    if _is_mmengines(loop.get('type'), LOOPS):
        loop['type'] = f'{SCOPE}.{loop["type"].rpartition(".")[2]}'


def _is_mmengines(kind: object, names: tuple[str, ...]) -> bool:
    return isinstance(kind, str) and kind.removeprefix('mmengine.') in names
