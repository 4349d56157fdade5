"""Save HF configs and tokenizers with a run, to rebuild its models without the checkpoints.

A trained checkpoint holds all weights. It lacks the architecture and the tokenizer: config.json
and the tokenizer of each part built from a folder or a name on the hub. They are kept in a
folder of the run, so that a trained model needs neither the hub nor its sources.
"""

import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from transmamba_mm.errors import UserError

#: Models built from a checkpoint, or from its architecture with ``weights=False``.
FROM_CHECKPOINT = ('CausalLM', 'Clip4ClipTeacher', 'ClipText', 'ClipVision', 'MambaLM')
#: Name of the folder, beside the checkpoints of a run.
FOLDER = 'hf_assets'


def save_hf_assets(model: Mapping[str, Any], run: str | Path) -> list[str]:
    """Write the architecture of every part of a model built from a checkpoint.

    Args:
        model (Mapping): Config of the model, before or after it is built.
        run (str | Path): Folder of the run.

    Returns:
        list[str]: The parts, by their path in the config.
    """
    from transmamba_mm.models.hf.pretrained import save_architecture

    parts = list(_parts(model))
    for path, part in parts:
        save_architecture(part['checkpoint'], Path(run) / FOLDER / path)
    return [path for path, _ in parts]


def without_weights(model: Mapping[str, Any], run: str | Path) -> Any:
    """The config of a model whose weights are about to be loaded from a trained checkpoint.

    Args:
        model (Mapping): Config of the model.
        run (str | Path): Folder of the run. Architectures that are not saved there are read from
            the config's paths, still without the weights.

    Returns:
        A copy of ``model``, to be built through ``MODELS``.
    """
    model = deepcopy(model)
    for path, part in _parts(model):
        kept = Path(run) / FOLDER / path
        part['weights'] = False
        if kept.is_dir():
            part['checkpoint'] = str(kept)
    return model


def copy_hf_assets(run: str | Path, folder: str | Path) -> Path | None:
    """Copy what is kept in a run into another folder, for weights that go there.

    Returns:
        Where it is; None where nothing is kept.

    Raises:
        UserError: The architectures of another model are there already.
    """
    source, target = Path(run) / FOLDER, Path(folder) / FOLDER
    if not source.is_dir():
        return None
    if target.is_dir():
        if _content(source) != _content(target):
            raise UserError(
                f'{target} belongs to another model, and a model is built again from the folder '
                'beside its weights: write these into a folder of their own.'
            )
    else:
        shutil.copytree(source, target)
    return target


def _content(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob('*') if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def _parts(model: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """Configs with a checkpoint inside a config, by their path."""
    if not isinstance(model, Mapping):
        return
    kind = str(model.get('type')).rpartition('.')[2]
    if kind in FROM_CHECKPOINT and model.get('checkpoint'):
        yield path or 'model', model
    for key, part in model.items():
        yield from _parts(part, f'{path}.{key}' if path else key)
