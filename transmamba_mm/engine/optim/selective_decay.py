"""Exempt parameters from weight decay, and set their learning rates."""

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from transmamba_mm.checks import check_keys
from transmamba_mm.errors import UserError
from transmamba_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

#: What the libraries of teachers and students call their position embeddings.
POSITIONS = (
    *('pos_embed', 'temporal_pos_embed', 'absolute_pos_embed', 'relative_position_bias_table'),
    *('position_embedding.weight', 'position_embeddings', 'embed_positions.weight'),
    'positions.weight',
)
#: What they call tokens that are learned, not embedded.
TOKENS = ('cls_token', 'dist_token', 'mask_token', 'register_tokens', 'class_embedding')
#: Prefix of the student in a transfer, which a pattern leaves out.
STUDENT = 'student.'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SelectiveDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Build an optimizer that decays matrices only, for any model.

    Decay leaves alone: vectors and scalars (biases, norms, D, scales); position embeddings and
    learned tokens; whatever a module's ``no_weight_decay()`` names, as in timm but relative to that
    module. Mixers name their scan's ``A_log`` there: decay would pull ``exp(A_log)`` to 1, that is,
    every state to the same memory. Parameters of one rate and one decay share a parameter group.
    Frozen parameters are in none.

    Args:
        optim_wrapper_cfg (dict): See mmengine's ``DefaultOptimWrapperConstructor``.
        paramwise_cfg (dict, optional): Factors of the learning rate. ``position_lr_mult`` and
            ``token_lr_mult``: of all position embeddings and of all learned tokens. ``lr_mults``: a
            dict of glob patterns, matched against the whole name of a parameter (in a transfer,
            the name that it has in the student alone); the longest pattern that matches counts.

    Raises:
        UserError: An unknown key; a pattern that matches no parameter.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        options = {'position_lr_mult': 1.0, 'token_lr_mult': 1.0, 'lr_mults': {}}
        hint = ' Weight decay follows from the model.'
        check_keys('optim_wrapper.paramwise_cfg', paramwise_cfg or (), options, hint)
        # Never empty, since mmengine asks only then for groups.
        super().__init__(optim_wrapper_cfg, {**options, **(paramwise_cfg or {})})

    def add_params(self, params: list[dict], module: nn.Module, **_) -> None:
        """Append the groups of all trainable parameters of ``module`` to ``params``."""
        spared = set(spared_from_decay(module))
        groups: dict[tuple, list[nn.Parameter]] = defaultdict(list)
        unmatched = set(self.paramwise_cfg['lr_mults'])
        for name, parameter in module.named_parameters():
            pattern, factor = self._lr_mult(name.removeprefix(STUDENT))
            unmatched.discard(pattern)
            if parameter.requires_grad:
                groups[factor, name in spared].append(parameter)
        if unmatched:
            raise UserError(
                f'paramwise_cfg.lr_mults: no parameter matches {", ".join(sorted(unmatched))}. The '
                f'first parameter is {next(module.named_parameters())[0].removeprefix(STUDENT)}.'
            )
        for (factor, is_spared), parameters in groups.items():
            group: dict = {'params': parameters}
            if factor != 1:
                group['lr'] = self.base_lr * factor
            if is_spared and self.base_wd is not None:
                group['weight_decay'] = 0.0
            params.append(group)

    def _lr_mult(self, name: str) -> tuple[str | None, float]:
        """The pattern that counts for a parameter, if any, and the factor of its learning rate."""
        patterns = self.paramwise_cfg['lr_mults']
        matching = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
        if matching:
            longest = max(matching, key=len)
            return longest, patterns[longest]
        if _ends_with(name, POSITIONS):
            return None, self.paramwise_cfg['position_lr_mult']
        return None, self.paramwise_cfg['token_lr_mult'] if _ends_with(name, TOKENS) else 1.0


def spared_from_decay(model: nn.Module) -> Iterator[str]:
    """Names of the parameters of ``model`` that weight decay leaves alone; some come twice."""
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or _ends_with(name, POSITIONS + TOKENS):
            yield name
    for path, module in model.named_modules():
        if callable(named := getattr(module, 'no_weight_decay', None)):
            yield from (f'{path}.{name}' if path else name for name in named())


def _ends_with(name: str, endings: tuple[str, ...]) -> bool:
    """Whether the last components of a dotted name are one of ``endings``."""
    return f'.{name}'.endswith(tuple(f'.{ending}' for ending in endings))
