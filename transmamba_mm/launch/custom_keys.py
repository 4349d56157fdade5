"""Check that every ``custom_keys`` of a ``paramwise_cfg`` matches a parameter of the model."""

from mmengine.config import Config
from torch import nn

from transmamba_mm.errors import UserError, did_you_mean


def check_custom_keys(cfg: Config, model: nn.Module) -> None:
    """Check that a config's settings for single parameters match parameters of its model.

    Raises:
        UserError: Keys that are in the name of no parameter.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    names = [name for name, _ in model.named_parameters()]
    parts = sorted({part for name in names for part in (*name.split('.'), name)})
    unmatched = [
        f'{key!r} is in the name of no parameter.{did_you_mean(key, parts)}'
        for key in keys
        if not any(key in name for name in names)
    ]
    if unmatched:
        raise UserError(f'optim_wrapper.paramwise_cfg.custom_keys: {" ".join(unmatched)}')
