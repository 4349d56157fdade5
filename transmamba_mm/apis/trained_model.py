"""Load a trained model from its work_dir or checkpoint."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from transmamba_mm.checkpoint import load_state_dict, resolve_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.launch.runtime import choose_device, prepare_runtime
from transmamba_mm.launch.signed_config import is_own_config
from transmamba_mm.registry import MODELS
from transmamba_mm.transfer.student import student_weights, trained_student_config
from transmamba_mm.transfer.teacher import load_strict


def load_trained(
    checkpoint: str, config: str | None, device: str | None, kind: type, otherwise: str
) -> tuple[Any, Config]:
    """Build the model of a config and load its weights; of a transfer, the student's.

    Args:
        checkpoint (str): A file, a work_dir or a URL; a transfer's or an exported student's.
        config (str, optional): By default the one that training left beside the checkpoint; it
            is executed, so one that this user's training did not write has to be named.
        device (str, optional): By default the fastest there is.
        kind (type): What the model has to be.
        otherwise (str): What another model does or does not, and what to name instead.

    Returns:
        tuple[nn.Module, Config]: The model in eval, and the config, whose ``model`` is the
        student's.

    Raises:
        UserError: No config, one of another kind of model, no checkpoint, or one that does not fit;
            no such device.
    """
    place = choose_device(device)
    cfg = Config.fromfile(config or find_config(checkpoint))
    prepare_runtime(cfg)
    init_default_scope(cfg.get('default_scope', 'transmamba_mm'))
    cfg.model = trained_student_config(cfg.model, checkpoint)
    if 'data_preprocessor' in cfg:
        cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    model: Any = MODELS.build(cfg.model)
    if not isinstance(model, kind):
        raise UserError(f'{cfg.filename} describes a {type(model).__name__}, which {otherwise}')
    load_strict(model, student_weights(load_state_dict(checkpoint)), str(checkpoint))
    return model.eval().to(place), cfg


def find_config(checkpoint: str) -> Path:
    """The config beside a checkpoint: of the same name, or the only one there.

    It is going to be executed, so it has to be one that this user's own training or export wrote:
    see :mod:`transmamba_mm.launch.signed_config`.

    Raises:
        UserError: No checkpoint, no config, several, or one of somebody else.
    """
    file = Path(resolve_checkpoint(checkpoint))
    same_name = file.with_suffix('.py')
    found = [same_name] if same_name.is_file() else sorted(file.parent.glob('*.py'))
    if len(found) != 1:
        raise UserError(
            f'{file.parent} holds {len(found)} configs, so the model of {checkpoint} is ambiguous: '
            'name one with --config.'
        )
    if not is_own_config(found[0]):
        raise UserError(
            f'{found[0]} was not executed: a config is code, and this one was not written by a '
            'training or an export of yours (or was changed since). Read it, and if you trust it, '
            f'name it: --config {found[0]} (in Python: config=...).'
        )
    return found[0]
