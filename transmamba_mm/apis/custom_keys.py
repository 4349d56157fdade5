"""Whether every ``custom_keys`` of a ``paramwise_cfg`` matches a parameter of the model."""

from mmengine.config import Config
from torch import nn

from transmamba_mm.errors import UserError, nearest

#: Parameters that the schedules of this package treat in a way of their own, in whichever of its
#: models has them; a schedule may name those that its model does not have.
SHARED = (
    *('A_log', 'ss2d.D', 'ss2d.dt_bias', 'cross_mamba.D', 'conv_bias', 'dt_bias', 'direction_B'),
    *('cls_token', 'pos_embed', 'position_embedding', 'logit_scale', 'temporal.positions'),
)


def check_custom_keys(cfg: Config, model: nn.Module) -> None:
    """Make sure that what a config says of single parameters is about parameters of its model.

    Raises:
        UserError: Keys that are in the name of no parameter.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}
    names = [name for name, _ in model.named_parameters()]
    parts = sorted({part for name in names for part in (*name.split('.'), name)})
    unmatched = [
        f'{key!r} is in the name of no parameter.{nearest(key, parts)}'
        for key in keys
        if key not in SHARED and not any(key in name for name in names)
    ]
    if unmatched:
        raise UserError(f'optim_wrapper.paramwise_cfg.custom_keys: {" ".join(unmatched)}')
