"""Build and validate transformers configs from dicts."""

from collections.abc import Collection, Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING
from transformers.configuration_utils import PreTrainedConfig

from transmamba_mm.checks import check_keys
from transmamba_mm.errors import UserError

#: Keys that transformers still reads, but under other names.
OLDER = ('torch_dtype', 'rope_theta', 'rope_scaling')


def build_config(
    owner: str,
    config_class: type[PreTrainedConfig],
    config: Mapping | PreTrainedConfig,
    ours: Collection[str] = (),
) -> Any:
    """Make a config of a dict, and of the dicts of its parts.

    Transformers takes any key, so a misspelt one would silently be the default.

    Args:
        owner (str): Who has it, for messages.
        config_class (type): Of transformers.
        config (Mapping | PreTrainedConfig): Its keys, or the built config.
        ours (Collection[str]): Keys that it has besides.

    Raises:
        UserError: Keys that it does not have; values that do not go together.
    """
    if isinstance(config, PreTrainedConfig):
        return config
    _check_keys(owner, config_class, config, ours)
    try:
        built = config_class(**config)
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'The config of {owner} is invalid: {reason}') from error
    text = getattr(built, 'text_config', built)
    if text.model_type == 'clip_text_model' and text.eos_token_id is None:
        raise UserError(
            f'The config of {owner} is invalid: eos_token_id=None of its text, at which CLIP reads '
            "what a text means. Name the tokenizer's."
        )
    return built


def _check_keys(
    owner: str, config_class: type[PreTrainedConfig], config: Mapping, ours: Collection[str] = ()
) -> None:
    default = config_class()
    known = {*default.to_dict(), *config_class.attribute_map, *OLDER, *ours}
    check_keys(f'The config of {owner}', config, known)
    for name in config_class.sub_configs:
        part = config.get(name)
        if not isinstance(part, Mapping):
            continue
        kind = part.get('model_type')
        if kind is not None and kind not in CONFIG_MAPPING:
            raise UserError(f'{owner}: transformers has no model_type={kind!r} for {name}.')
        own = CONFIG_MAPPING[kind] if kind else type(getattr(default, name))
        _check_keys(f'{owner}.{name}', own, part)
