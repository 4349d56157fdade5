"""Read transformers folders, and explain the faults of invalid ones."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig, PreTrainedModel
from transformers.configuration_utils import PreTrainedConfig

from transmamba_mm.checkpoint import load_state_dict
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.folder_files import check_configs, check_tokenizer, check_weights
from transmamba_mm.openai_clip import explain_archive, explain_clip, is_openai_clip

# Pattern of a hub name; any other string that does not exist is a mistaken path.
HUB_NAME = re.compile(r'[\w-][\w.-]*(/[\w.-]+)?')


def save_architecture(checkpoint: str | Path, folder: str | Path) -> None:
    """Write all that a checkpoint has besides its weights: config.json, and a tokenizer if any."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.json').write_text(json.dumps(read_config(checkpoint), indent=2) + '\n')
    if generation := generation_config(checkpoint):
        generation.save_pretrained(folder)
    check_tokenizer(checkpoint)
    try:
        load_tokenizer(checkpoint).save_pretrained(folder)
    except UserError:  # the model may be given another one
        return


def load_weights(
    model_class: Any, checkpoint: str | Path, dtype: str | torch.dtype | None = None
) -> PreTrainedModel:
    """Read config and weights (safetensors, or a pickle of tensors alone) as transformers does.

    Args:
        model_class: Of transformers, an ``AutoModel...`` too.
        checkpoint (str | Path): A folder of ``save_pretrained``, or a name on the hub.
        dtype (str | torch.dtype, optional): By default the checkpoint's own.

    Raises:
        UserError: Nothing there that can be read, or weights that do not fit the config.
    """
    _refuse_file(Path(checkpoint))
    check_configs(checkpoint)
    check_weights(checkpoint)
    try:
        # transformers reads pickles with weights_only=True
        model, report = model_class.from_pretrained(
            checkpoint,
            dtype='auto' if dtype is None else dtype,
            trust_remote_code=False,  # by default transformers asks, and may be answered yes
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, with all others
        )
    except UserError:
        raise
    except Exception as error:  # transformers raises anything about a folder of anything
        raise UserError(
            f'{checkpoint} has no readable weights: {_first_line(error)} Expected '
            'model.safetensors or pytorch_model.bin, as save_pretrained writes them.'
        ) from error
    problems = [
        f'{kind.replace("_", " ")}: {", ".join(map(str, sorted(report[kind], key=str)[:8]))}'
        for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys')
        if report.get(kind)
    ]
    if problems:
        raise UserError(
            f'The weights of {checkpoint} do not fit its config.json: {"; ".join(problems)}. '
            'Save the whole model again with save_pretrained.'
        )
    return model


def load_tokenizer(source: str | Path, **kwargs) -> Any:
    """Read the tokenizer of ``source``, set to pad on the left; UserError if it has none."""
    advice = 'Save one there with tokenizer.save_pretrained, or use a tokenizer of your own.'
    if not source:
        raise UserError(f'A model built from a config has no tokenizer. {advice}')
    _refuse_file(Path(source))
    check_tokenizer(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, **{'padding_side': 'left', 'trust_remote_code': False, **kwargs}
        )
    except Exception as error:  # so does tokenizers
        raise UserError(f'{source} has no tokenizer: {_first_line(error)} {advice}') from error
    # Without files, transformers returns a tokenizer with an empty vocabulary.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(f'{source} has no tokenizer. {advice}')
    return tokenizer


def read_config(checkpoint: str | Path) -> dict[str, Any]:
    """Read config.json of a folder or hub name; UserError if there is none."""
    folder = Path(checkpoint)
    _refuse_file(folder)
    if not folder.is_dir() and not HUB_NAME.fullmatch(str(checkpoint)):
        raise UserError(
            f'No model at {checkpoint} (path: {folder.absolute()}). Give a folder '
            'written by save_pretrained, or a name on the hub such as state-spaces/mamba-130m-hf.'
        )
    check_configs(checkpoint)
    try:
        config = PreTrainedConfig.get_config_dict(checkpoint)[0]
    except (OSError, ValueError) as error:
        raise UserError(
            f'{checkpoint} has no readable config.json: {_first_line(error)} Give a folder '
            'written by save_pretrained; without a network, one that was downloaded before.'
        ) from error
    if not config:
        raise UserError(f'{checkpoint} has no config.json. Give a folder of save_pretrained.')
    if not isinstance(config.get('model_type'), str | None):
        raise UserError(
            f'{checkpoint}/config.json has model_type={config["model_type"]!r}, which is no name. '
            'Give a folder of save_pretrained.'
        )
    return config


def _refuse_file(file: Path) -> None:
    """UserError if ``file`` is a file: a folder of ``save_pretrained`` is required."""
    if not file.is_file():
        return
    if explanation := explain_archive(file):
        raise UserError(explanation)
    if is_openai_clip(load_state_dict(file)):
        raise UserError(explain_clip(file))
    raise UserError(
        f'{file} is a file, but transformers needs a config.json beside the weights: give a folder '
        'written by save_pretrained, or a name on the hub.'
    )


def build_described(checkpoint: str | Path, build: Callable, *args: Any) -> Any:
    """Call ``build`` on a checkpoint's config.json; UserError if its values are invalid."""
    try:
        return build(*args)
    except UserError:
        raise
    except Exception as error:  # of a negative size, of a text for a number, ...
        raise UserError(
            f'{checkpoint}/config.json does not describe a valid model '
            f'({type(error).__name__}: {_first_line(error)}) Give a folder of save_pretrained.'
        ) from error


def generation_config(checkpoint: str | Path) -> GenerationConfig | None:
    """A checkpoint's generation config, None without one."""
    try:
        return GenerationConfig.from_pretrained(checkpoint)
    except OSError:  # few checkpoints have one
        return None


def _first_line(error: Exception) -> str:
    if 'trust_remote_code' in str(error):
        return 'It needs code of its own (auto_map), which is not executed.'
    return str(error).strip().partition('\n')[0].rstrip('.') + '.'
