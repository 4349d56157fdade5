"""Dao-AILab's ``causal_conv1d_fn``, for channel-last tokens or in its own layout, on our backends.

A (B, D, L) tensor whose D equals its L fits either layout, so the layout is an argument and not a
guess: 'BLE' like every operator here, unless the caller asks for the peer's 'BDL'.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.errors import UserError
from transmamba_mm.ops.directional_conv1d import directional_conv1d

LAYOUTS = ('BLE', 'BDL')


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    reverse: bool = False,
    backend: str = 'auto',
    *,
    layout: str = 'BLE',
    initial_states: Tensor | None = None,
    return_final_states: bool = False,
    final_states_out: Tensor | None = None,
    seq_idx: Tensor | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Convolve along one traversal; see :func:`transmamba_mm.ops.directional_conv1d`.

    **Layout**: x is (B, L, E), channels last, by default. ``causal_conv1d_fn`` of the package
    ``causal_conv1d`` takes (B, D, L), which is ``layout='BDL'`` here. States and outputs have the
    layout of x.

    States are tokens in the order of the traversal: ``initial_states`` came before the first token
    that it visits, and the final ones are the last W - 1 that it visited, zeros or initial states
    where it visited fewer.

    Args:
        x: (B, L, E); (B, E, L) for layout 'BDL'.
        weight: (E, W), or (E, 1, W) as ``nn.Conv1d`` keeps it.
        bias: (E,) or None.
        activation: None, 'silu' or 'swish', which is the same.
        reverse: whether the traversal runs from the last token to the first.
        backend: a backend's name or 'auto'.
        layout: 'BLE' or 'BDL', of x, all states and the output.
        initial_states: (B, W - 1, E), zeros when None; (B, E, W - 1) for layout 'BDL'.
        return_final_states: also return the final states.
        final_states_out: shaped as ``initial_states``; the final states are written to it.
        seq_idx: only None. Sequences that are packed into one row are not supported.

    Returns:
        y, shaped and typed as ``x``; with ``return_final_states`` also the final states, shaped as
        ``initial_states``. Both are differentiable once.

    Raises:
        UserError: shapes that do not fit, an unknown layout or activation, a ``seq_idx``, a
            ``final_states_out`` that nothing is written to, or a backend that cannot be used.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout is {layout!r}; it is 'BLE' (channels last) or 'BDL' (time last)")
    if seq_idx is not None:
        raise UserError(
            'seq_idx is not supported: give each sequence its own row of the batch, padded at the '
            'end that the traversal visits last'
        )
    if final_states_out is not None and not return_final_states:
        raise UserError('final_states_out is given, but return_final_states is False: set it')
    if weight.dim() == 3 and weight.shape[1] == 1:
        weight = weight.squeeze(1)
    if weight.dim() != 2:
        raise UserError(f'weight must be (E, W) or (E, 1, W), but is {tuple(weight.shape)}')
    if x.dim() != 3:
        wanted = '(B, L, E)' if layout == 'BLE' else '(B, E, L)'
        raise UserError(f'x must be {wanted} for layout {layout!r}, but is {tuple(x.shape)}')

    def swapped(tensor: Tensor) -> Tensor:  # to channels last and back
        return tensor.transpose(1, 2) if layout == 'BDL' else tensor

    def visited(tokens: Tensor) -> Tensor:  # into the order of the traversal and back
        return tokens.flip(1) if reverse else tokens

    tokens = swapped(x)
    (batch, length, channels), past = tokens.shape, weight.shape[1] - 1
    shape = (batch, past, channels) if layout == 'BLE' else (batch, channels, past)
    given = {'initial_states': initial_states, 'final_states_out': final_states_out}
    for name, states in given.items():
        if states is not None and states.shape != shape:
            raise UserError(
                f'{name} has shape {tuple(states.shape)}, expected {shape}: W - 1 = {past} tokens '
                f'in layout {layout!r}'
            )
    if initial_states is not None:
        before = visited(swapped(initial_states).to(x.dtype))
        tokens = torch.cat([tokens, before] if reverse else [before, tokens], 1)
    y = directional_conv1d(
        tokens,
        weight[None],
        None if bias is None else bias[None],
        (reverse,),
        'silu' if activation == 'swish' else activation,
        backend,
    )[0]
    y = swapped(y[:, :length] if reverse else y[:, y.shape[1] - length :])
    if not return_final_states:
        return y
    # Padding by a negative number crops.
    final_states = swapped(F.pad(visited(tokens), (0, 0, past - tokens.shape[1], 0)))
    if final_states_out is not None:
        final_states = final_states_out.copy_(final_states)
    return y, final_states
