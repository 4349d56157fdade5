"""Recognize and read a trained Transformer of any library."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.convert.teachers.pretrained import PretrainedClassifier
from transmamba_mm.convert.teachers.timm import is_timm, read_timm
from transmamba_mm.convert.teachers.torchvision import is_torchvision, read_torchvision
from transmamba_mm.convert.teachers.transformers import read_transformers
from transmamba_mm.errors import UserError

CONFIG, PREPROCESSOR = 'config.json', 'preprocessor_config.json'
WEIGHTS = ('model.safetensors', 'pytorch_model.bin')
#: Keys by which other checkpoints are recognized, for the message.
OTHERS = {
    'visual.class_embedding': "OpenAI's CLIP: it has no classes; a retriever takes it",
    'model.language_model.layers.0.self_attn.q_proj.weight': 'a LLaVA: name it as '
    'teacher.model.checkpoint of a LlavaTeacher',
    'backbone.layers.0.ln1.weight': "mmpretrain's ViT: name its config and checkpoint as teacher",
    'layer1.0.conv1.weight': 'a ResNet, which is no Transformer',
}


def read_pretrained(source: str | Path) -> PretrainedClassifier:
    """Read a ViT, DeiT, DINOv2, SigLIP or Swin of timm, transformers or torchvision.

    Args:
        source (str | Path): ``timm/NAME`` or another name on the hub (huggingface.co); a folder
            with ``config.json`` and weights, of timm or transformers; a .pth, .bin or .safetensors
            file of timm (DeiT's and Swin's own, too) or torchvision. Nothing in it is executed.

    Raises:
        UserError: Nothing there; an architecture or library that is not known, with the one it
            resembles.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return _from_state(load_state_dict(path), str(source))
    folder = path if path.is_dir() else _download(str(source))
    if not (folder / CONFIG).is_file():
        raise UserError(
            f'{source} has no {CONFIG}: name a checkpoint file, or a folder that timm or '
            'transformers saved.'
        )
    weights = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise UserError(f'{source} has no weights: none of {", ".join(WEIGHTS)}.')
    config, state = _read_json(folder / CONFIG), load_state_dict(weights)
    if 'model_type' in config:
        extra = folder / PREPROCESSOR
        preprocessor = _read_json(extra) if extra.is_file() else None
        return read_transformers(state, str(source), config, preprocessor)
    return _from_state(state, str(source), config)


def _from_state(
    state: Mapping[str, Tensor], source: str, config: Mapping[str, Any] | None = None
) -> PretrainedClassifier:
    if is_timm(state):
        return read_timm(state, source, config)
    if is_torchvision(state):
        return read_torchvision(state, source)
    resembled = next((text for key, text in OTHERS.items() if key in state), None)
    if resembled is None and any('.attention.' in key for key in state):
        resembled = "transformers': name its folder, whose config.json describes the model"
    hint = (
        f'It resembles {resembled}' if resembled else f'Its first keys: {", ".join([*state][:4])}'
    )
    raise UserError(
        f'{source} is not a ViT, DeiT or Swin of timm, torchvision or facebookresearch. {hint}.'
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'{path} is not readable JSON ({error}).') from error
    if not isinstance(content, dict):
        raise UserError(f'{path} holds a {type(content).__name__}, not the settings of a model.')
    return content


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = [CONFIG, PREPROCESSOR, *WEIGHTS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f'No checkpoint at {name}: there is no such file or folder, and huggingface.co gave '
            f'none ({type(error).__name__}). Without the hub, name a local path.'
        ) from error
