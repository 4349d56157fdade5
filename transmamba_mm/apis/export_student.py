"""Export the student of a transfer as a standalone model: weights, config and HF assets."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from transmamba_mm.apis.trained_model import find_config
from transmamba_mm.checkpoint import load_checkpoint, load_state_dict, resolve_checkpoint
from transmamba_mm.errors import UserError
from transmamba_mm.launch.signed_config import sign_config
from transmamba_mm.models.hf.hf_assets import copy_hf_assets
from transmamba_mm.registry import MODELS, build_in_scope
from transmamba_mm.transfer.student import exported_config, student_weights
from transmamba_mm.transfer.teacher import load_strict
from transmamba_mm.weights_file import check_weights_file, save_weights

#: Entries of a checkpoint's meta that describe the student.
META = ('dataset_meta', 'epoch', 'iter')


@dataclass(frozen=True)
class Export:
    """Paths of the written files."""

    config: Path
    hf_assets: Path | None
    tensors: int
    parameters: int


def export_student(checkpoint: str, out: str, config: str | None = None) -> Export:
    """Write the weights of a transfer's student to ``out``, and its config beside them.

    Args:
        checkpoint (str): Of the transfer: a file, a work_dir or a URL.
        out (str): A .pth or .safetensors; the config takes its name, and the suffix .py.
        config (str, optional): Of the transfer; by default the one beside the checkpoint.

    Raises:
        UserError: No checkpoint, no config, or one of another model; another suffix; another
            existing config or existing other architectures.
    """
    file = check_weights_file(out)
    meta = load_checkpoint(checkpoint).get('meta', {})
    weights = student_weights(load_state_dict(checkpoint))
    source = Config.fromfile(config or find_config(checkpoint))
    config_file = file.with_suffix('.py')
    hf_assets = copy_hf_assets(resolve_checkpoint(checkpoint).parent, file.parent)
    exported = exported_config(source, file.parent)
    text = exported.pretty_text  # before a model is built, which adds to its config
    _check_free(config_file, text)
    load_strict(build_in_scope(MODELS, exported.model), weights, str(checkpoint))
    save_weights(weights, file, {key: meta[key] for key in META if key in meta})
    config_file.write_text(text, encoding='utf-8')
    sign_config(config_file)
    count = sum(value.numel() for value in weights.values())
    return Export(config_file, hf_assets, len(weights), count)


def _check_free(file: Path, text: str) -> None:
    """UserError if another config has the name of the one that is to be written."""
    if file.exists() and not file.read_text(encoding='utf-8').startswith(text):
        raise UserError(
            f'{file} is the config of another model: give the export another name, or delete it.'
        )
