"""The fast scan in plain torch: sequential in time, vectorized over everything else.

See :mod:`transmamba_mm.ops.backends.reference` for the maths. Here a chunk of steps at a time is
gathered, in the order of the traversals, into buffers that stay in cache, states laid out
(steps, batch, K, N, E) so that every operation runs along the channels; no tensor of L * E * N
elements ever exists. The backward keeps the state before each chunk and computes the chunk again
(as Mamba's kernel does). Decays only ever multiply forward: dividing by a cumulative decay would
save the recursion, and overflow within 32 steps.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transmamba_mm.ops.backends.backend import Backend, ScanInputs
from transmamba_mm.ops.backends.library import gated, register_scan

# Elements of one buffer; two or three are in use at a time. Measured: half or twice is 10% slower.
BUFFER_SIZE = 1 << 19


def chunk_length(inputs: ScanInputs) -> int:
    """Return how many steps a chunk has."""
    batch, K, length, E, N = inputs.sizes
    return max(1, min(length, BUFFER_SIZE // max(1, batch * K * E * N)))


class ChunkWalker:
    """Iterate over chunks: buffers and the common part of forward and backward."""

    def __init__(self, inputs: ScanInputs):
        batch, K, length, E, N = inputs.sizes
        self.tokens = (inputs.x, inputs.delta, inputs.B, inputs.C)
        self.orders = inputs.order.unbind(0)
        self.bias, self.softplus = inputs.delta_bias, inputs.delta_softplus
        self.state_shape = (batch, K, N, E)
        self.A = inputs.A.transpose(1, 2).contiguous()  # (K, N, E)
        # exp2 takes less than half the time of exp.
        self.log2_rates = self.A / math.log(2)
        steps = chunk_length(inputs)
        self.spans = [(t, min(t + steps, length)) for t in range(0, length, steps)]
        self.decay, self.states = (self.buffer(steps, *self.state_shape) for _ in range(2))

    def buffer(self, *shape: int) -> Tensor:
        """Allocate, uninitialized."""
        return self.A.new_empty(shape)

    def gather(self, tokens: Tensor, span: tuple[int, int]) -> Tensor:
        """Tokens (B, L, C) or (B, K, L, C) visited in the steps of span, as (steps, B, K, C)."""
        steps = self.buffer(span[1] - span[0], *self.state_shape[:2], tokens.shape[-1])
        for k, order in enumerate(self.orders):
            source = _slice(tokens, k)
            # index_select and index_add_ along dim 1 move whole rows: 5x faster than indexing.
            out = steps[:, :, k].transpose(0, 1)
            torch.index_select(source, 1, order[slice(*span)], out=out)
        return steps

    def scatter_add(self, steps: Tensor, span: tuple[int, int], tokens: Tensor) -> None:
        """Add (steps, B, K, C) onto the tokens that were visited: the transpose of gather."""
        for k, order in enumerate(self.orders):
            target = _slice(tokens, k)
            target.index_add_(1, order[slice(*span)], steps[:, :, k].transpose(0, 1))

    def run(self, span: tuple[int, int], state: Tensor) -> tuple[Tensor, ...]:
        """Advance through one chunk from the state before it; every result is step-major."""
        x, delta, B, C = (self.gather(tokens, span) for tokens in self.tokens)
        if self.bias is not None:
            delta += self.bias
        if self.softplus:
            delta = F.softplus(delta)
        decay, states = self.decay[: len(x)], self.states[: len(x)]
        torch.mul(delta.unsqueeze(3), self.log2_rates, out=decay).exp2_()
        torch.mul(B.unsqueeze(4), (delta * x).unsqueeze(3), out=states)
        for decay_t, state_t in zip(decay.unbind(0), states.unbind(0), strict=True):
            state = state_t.addcmul_(decay_t, state)
        return x, delta, B, C, decay, states


def _slice(tokens: Tensor, k: int) -> Tensor:
    """Tokens of direction k, (B, L, C), from (B, L, C), (B, 1, L, C) or (B, K, L, C)."""
    if tokens.dim() == 3:
        return tokens
    return tokens[:, k if tokens.shape[1] > 1 else 0]


def sum_states(weights: Tensor, states: Tensor) -> Tensor:
    """Sum over n of (..., N) and (..., N, E): (..., E)."""
    if states.shape[-2] == 1:
        return weights * states.squeeze(-2)
    flat = torch.bmm(weights.flatten(0, -2).unsqueeze(1), states.flatten(0, -3))
    return flat.view(*states.shape[:-2], states.shape[-1])


def sum_channels(weights: Tensor, states: Tensor) -> Tensor:
    """Sum over e of (..., E) and (..., N, E): (..., N)."""
    if states.shape[-2] == 1:
        return (weights * states.squeeze(-2)).sum(-1, keepdim=True)
    flat = torch.bmm(weights.flatten(0, -2).unsqueeze(1), states.flatten(0, -3).transpose(1, 2))
    return flat.view(*states.shape[:-1])


def forward(inputs: ScanInputs, y: Tensor, last_state: Tensor, states: Tensor) -> None:
    """See :data:`~.library.Forward`; keeps the state before each chunk, (chunks, B, K, N, E)."""
    walk = ChunkWalker(inputs)
    state = y.new_zeros(walk.state_shape)
    if inputs.initial_state is not None:
        state += inputs.initial_state.transpose(2, 3)
    y.zero_()
    for chunk, span in enumerate(walk.spans):
        if len(states):
            states[chunk] = state
        x, _, _, C, _, visited = walk.run(span, state)
        y_steps = sum_states(C, visited)
        if inputs.D is not None:
            y_steps.addcmul_(x, inputs.D)
        walk.scatter_add(y_steps, span, y)
        state = visited[-1].clone()
    if inputs.merge == 'mean':
        y /= len(inputs.order)
    if last_state.dim() == 4:
        last_state.copy_(state.transpose(2, 3))


def backward(
    inputs: ScanInputs,
    dy: Tensor,
    dlast_state: Tensor,
    states: Tensor,
    gradients: Sequence[Any],
) -> None:
    """See :data:`~.library.Backward`; d* is the gradient of the loss by *."""
    for gradient in gradients:
        if gradient is not None:
            gradient.zero_()
    dx, ddelta, dA, dB, dC, dD, _, dbias, dinitial_state = gradients
    walk = ChunkWalker(inputs)
    dstate_buffer = torch.empty_like(walk.decay)
    dA_sum = torch.zeros_like(walk.A)
    carry = dy.new_zeros(walk.state_shape)  # gradient of the state after the chunk
    if dlast_state.dim() == 4:
        carry += dlast_state.transpose(2, 3)
    if inputs.merge == 'mean':
        dy = dy / len(inputs.order)

    for span, state in zip(reversed(walk.spans), reversed(states.unbind(0)), strict=True):
        x_, delta_, B_, C_, decay, visited = walk.run(span, state)
        dy_ = walk.gather(dy, span)
        walk.scatter_add(sum_channels(dy_, visited), span, dC)

        # dstates_t = C_t dy_t + decay_{t+1} dstates_{t+1}
        dstates = dstate_buffer[: len(dy_)]
        torch.mul(C_.unsqueeze(4), dy_.unsqueeze(3), out=dstates)
        dstate, *earlier = reversed(dstates.unbind(0))
        dstate += carry
        for decay_t, dstate_t in zip(reversed(decay.unbind(0)), earlier, strict=False):
            dstate = dstate_t.addcmul_(decay_t, dstate)
        torch.mul(decay[0], dstate, out=carry)

        # Through delta_t B_t x_t.
        walk.scatter_add(sum_channels(delta_ * x_, dstates), span, dB)
        dinput = sum_states(B_, dstates)
        ddelta_ = dinput * x_
        dx_ = dinput.mul_(delta_)
        # Through exp(delta_t A) h_{t-1}, whose derivative by delta_t A is itself.
        dexponent = decay.mul_(dstates)
        dexponent[0].mul_(state)
        dexponent[1:].mul_(visited[:-1])
        ddelta_ += torch.mul(dexponent, walk.A, out=dstates).sum(3)
        dA_sum += dexponent.mul_(delta_.unsqueeze(3)).sum((0, 1))

        if inputs.delta_softplus:
            # softplus' = sigmoid, which is 1 - exp(-softplus).
            ddelta_.mul_(torch.expm1(-delta_).neg_())
        if inputs.D is not None:
            dx_.addcmul_(dy_, inputs.D)
            dD += dy_.mul_(x_).sum((0, 1))
        if dbias is not None:
            dbias += ddelta_.sum((0, 1))
        walk.scatter_add(dx_, span, dx)
        walk.scatter_add(ddelta_, span, ddelta)

    dA.copy_(dA_sum.transpose(1, 2))
    if dinitial_state is not None:
        dinitial_state.copy_(carry.transpose(2, 3))


def states_shape(inputs: ScanInputs) -> tuple[int, ...]:
    """Shape of the states that the forward keeps."""
    batch, K, length, E, N = inputs.sizes
    return (-(-length // chunk_length(inputs)), batch, K, N, E)


scan = gated(register_scan('torch', ['CompositeExplicitAutograd'], forward, backward, states_shape))
BACKEND = Backend('torch', scan)
