"""Build, load and check a transformers model inside one of ours."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from transmamba_mm.checks import check_one_given
from transmamba_mm.errors import UserError
from transmamba_mm.models.hf.hf_config import build_config
from transmamba_mm.models.hf.pretrained import build_described, load_weights, read_config

CLIP = {'noun': 'a CLIP', 'example': 'openai/clip-vit-base-patch32'}


class ModelSource:
    """Source of a model: the config of a new one, or a checkpoint.

    Args:
        owner (str): The part of ours that it is for, for messages.
        kinds (Mapping[str, type]): Class of transformers for each ``model_type`` that will do; a
            new model is the first.
        config (Mapping, optional): Of a new model: the keys of its config class.
        checkpoint (str | Path, optional): Instead, a folder of ``save_pretrained`` or a name on the
            hub; read without running code.
        noun (str): What the kinds are together, for messages.
        example (str): Name of one on the hub.

    Raises:
        UserError: Both or none of ``config`` and ``checkpoint``; a checkpoint that is missing or of
            another kind.
    """

    def __init__(
        self,
        owner: str,
        kinds: Mapping[str, Any],
        config: Mapping | None,
        checkpoint: str | Path | None,
        *,
        noun: str,
        example: str,
    ) -> None:
        check_one_given(owner, config=config, checkpoint=checkpoint)
        self.owner, self.checkpoint = owner, checkpoint
        self._described = config
        kind = next(iter(kinds))
        if checkpoint is not None:
            self._described = read_config(checkpoint)
            kind = self._described.get('model_type')
            if kind is None and 'd_model' in self._described:
                raise UserError(
                    f'{checkpoint} is in the format of mamba_ssm. Take its "-hf" variant, or '
                    'convert it first: python tools/convert.py mamba_lm '
                    f'{checkpoint}/pytorch_model.bin mamba-hf'
                )
            if kind not in kinds:
                raise UserError(
                    f'{checkpoint} is a model of type {kind!r}, not {noun}: choose a checkpoint '
                    f'such as {example}.'
                )
        self.model_class = kinds[kind]

    def config(self, ours: Collection[str] = ()) -> Any:
        """Config of transformers.

        Args:
            ours (Collection[str]): Keys that a new model's may have besides those of its class.

        Raises:
            UserError: Keys that it does not have; values that do not go together.
        """
        config_class = self.model_class.config_class
        if self.checkpoint is None:
            return build_config(self.owner, config_class, self._described, ours)
        config = build_described(self.checkpoint, config_class.from_dict, self._described)
        config.name_or_path = str(self.checkpoint)  # source of the tokenizer
        return config

    def build(self, dtype: str | torch.dtype | None = None, weights: bool = True) -> Any:
        """Build a new model, or load one.

        Args:
            dtype (str | torch.dtype, optional): By default float32 for a new model, the
                checkpoint's own otherwise.
            weights (bool): False: of a checkpoint only the architecture is built.

        Raises:
            UserError: As :meth:`config`; weights that are missing, damaged or do not fit; a new
                model that is larger than the memory.
        """
        if self.checkpoint is None:
            config = self.config()
            self._check_memory(config)
            return cast(self.model_class(config), dtype)
        if weights:
            return load_weights(self.model_class, self.checkpoint, dtype)
        return cast(build_described(self.checkpoint, self.model_class, self.config()), dtype)

    def _check_memory(self, config: Any) -> None:
        """UserError of a new model larger than the memory, as one of default sizes may be."""
        memory = memory_size()
        if memory is None or torch.get_default_device().type != 'cpu':
            return
        with torch.device('meta'):
            count = sum(weight.numel() for weight in self.model_class(config).parameters())
        if 4 * count > memory:
            raise UserError(
                f'A new model by the config of {self.owner} has {count / 1e9:.1f} billion '
                f'parameters, {4 * count / 1e9:.0f} GB, more than the memory of this machine '
                f'({memory / 1e9:.0f} GB): set smaller sizes (those left out are the defaults of '
                'transformers), or checkpoint instead of config.'
            )


def memory_size() -> int | None:
    """Bytes of memory, None where the system does not count them."""
    try:
        return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):
        return None


def cast(model: Any, dtype: str | torch.dtype | None) -> Any:
    """The model in ``dtype``, None for its own; UserError of a name that torch does not have."""
    if dtype is None:
        return model
    wanted = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(wanted, torch.dtype):
        raise UserError(f'dtype={dtype!r} is unknown; choose float32, float16 or bfloat16.')
    return model.to(wanted)
