"""Check the files of a transformers folder and name an unreadable one.

transformers' error for a truncated or garbled file may lack its name and be of any exception
class.
"""

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from transmamba_mm.errors import UserError

CONFIGS = ('config.json', 'generation_config.json')
TOKENIZERS = (
    *('tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'),
    *('added_tokens.json', 'vocab.json'),
)
PICKLE = b'\x80'  # first byte of a pickle outside an archive


def check_configs(checkpoint: str | Path) -> None:
    """UserError with the name of a config that is not JSON; a name on the hub passes."""
    _check(checkpoint, CONFIGS, _check_json)


def check_tokenizer(checkpoint: str | Path) -> None:
    """UserError with the name of a tokenizer's file that is not JSON."""
    _check(checkpoint, TOKENIZERS, _check_json)


def check_weights(checkpoint: str | Path) -> None:
    """UserError with the name of the file of weights that is damaged or missing.

    Only those are opened that transformers would read: of several kinds, the first.
    """
    kinds: dict[str, Callable[[Path], None]] = {
        'model.safetensors': _check_safetensors,
        'model.safetensors.index.json': _check_index,
        'pytorch_model.bin': _check_torch,
        'pytorch_model.bin.index.json': _check_index,
    }
    there = [name for name in kinds if (Path(checkpoint) / name).exists()]
    for name in there[:1]:
        _check(checkpoint, [name], kinds[name])


def _check(checkpoint: str | Path, names: Sequence[str], check: Callable[[Path], None]) -> None:
    for file in (Path(checkpoint) / name for name in names):
        if not file.exists():
            continue
        try:
            if not file.is_file():
                raise ValueError('no file')
            check(file)
        except UserError:
            raise
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            reason = str(error).partition('\n')[0]
            raise UserError(
                f'{file} cannot be read ({reason}): copy or download it again.'
            ) from error


def _check_json(file: Path) -> None:
    content = json.loads(file.read_text(encoding='utf-8'))
    if not isinstance(content, dict):
        raise ValueError(f'it holds a {type(content).__name__}, not an object')


def _check_safetensors(file: Path) -> None:
    with safe_open(file, framework='pt'):  # compares the header with the length of the file
        pass


def _check_torch(file: Path) -> None:
    with file.open('rb') as opened:
        if opened.read(1) != PICKLE and not zipfile.is_zipfile(file):
            raise ValueError('truncated, or no weights of torch')


def _check_index(file: Path) -> None:
    _check_json(file)
    shards = json.loads(file.read_text(encoding='utf-8')).get('weight_map')
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise ValueError('it has no weight_map of tensors to files')
    check = _check_safetensors if '.safetensors.' in file.name else _check_torch
    for name in sorted(set(shards.values())):
        if Path(name).name != name or not (file.parent / name).is_file():
            raise ValueError(f'it names {name}, which is not in the folder')
        _check(file.parent, [name], check)
