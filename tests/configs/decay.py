"""Parameters without weight decay, by the names that all families use."""

from torch import nn
from torch.optim import Optimizer

NAMES = (
    *('A_log', 'D', 'bias', 'dt_bias', 'conv_bias', 'direction_B', 'logit_scale'),
    *('cls_token', 'dist_token', 'class_embedding', 'pos_embed', 'temporal_pos_embed'),
    *('position_embedding.weight', 'positions.weight', 'relative_position_bias_table'),
)


def must_not_decay(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim < 2 or f'.{name}'.endswith(tuple(f'.{ending}' for ending in NAMES))


def check_decay(model: nn.Module, optimizer: Optimizer) -> None:
    """Every trainable parameter is in one group; what decays is what may, and something does."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    trained = [
        (names[id(parameter)], parameter, group['weight_decay'])
        for group in optimizer.param_groups
        for parameter in group['params']
    ]
    assert {id(p) for _, p, _ in trained} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len({id(p) for _, p, _ in trained}) == len(trained)
    decayed = [(name, parameter) for name, parameter, decay in trained if decay]
    assert decayed, 'nothing decays at all'
    assert not [name for name, parameter in decayed if must_not_decay(name, parameter)]
    spared = [name for name, parameter, decay in trained if not decay]
    wrong = [name for name in spared if not must_not_decay(name, model.get_parameter(name))]
    assert not wrong, 'matrices that could decay'
