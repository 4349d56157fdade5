"""The fast scan in plain torch: sequential in time, vectorized over everything else.

See :mod:`transmamba_mm.ops.backends.reference` for the maths. Here a chunk of steps at a time is
gathered, in the order of the traversals, into buffers that stay in cache, states laid out
(steps, batch, K, N, E) so that every operation runs along the channels; no tensor of L * E * N
elements ever exists. The backward keeps the state before each chunk and computes the chunk again
(as Mamba's kernel does). Decays only ever multiply forward: dividing by a cumulative decay would
save the recursion, and overflow within 32 steps.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from transmamba_mm.ops.backends.backend import Backend

# Elements of one buffer; two or three are in use at a time. Measured: half or twice is 10% slower.
BUFFER_SIZE = 1 << 19


class Walk:
    """One walk over the chunks: the buffers, and what forward and backward both do."""

    def __init__(self, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, order: Tensor):
        self.tokens = (x, delta, B, C)
        self.orders = order.unbind(0)
        length, (batch, K, _, E), N = order.shape[1], delta.shape, A.shape[2]
        self.state_shape = (batch, K, N, E)
        self.A = A.transpose(1, 2).contiguous()  # (K, N, E)
        # exp2 takes less than half the time of exp.
        self.log2_rates = self.A / math.log(2)
        steps = min(length, max(1, BUFFER_SIZE // max(1, math.prod(self.state_shape))))
        self.spans = [(t, min(t + steps, length)) for t in range(0, length, steps)]
        self.decay, self.states = (self.buffer(steps, *self.state_shape) for _ in range(2))

    def buffer(self, *shape: int) -> Tensor:
        """Allocate, uninitialized."""
        return self.A.new_empty(shape)

    def gather(self, tokens: Tensor, span: tuple[int, int]) -> Tensor:
        """Tokens (B, L, C) or (B, K, L, C) visited in the steps of span, as (steps, B, K, C)."""
        steps = self.buffer(span[1] - span[0], *self.state_shape[:2], tokens.shape[-1])
        for k, order in enumerate(self.orders):
            source = tokens if tokens.dim() == 3 else tokens[:, k]
            # index_select and index_add_ along dim 1 move whole rows: 5x faster than indexing.
            out = steps[:, :, k].transpose(0, 1)
            torch.index_select(source, 1, order[slice(*span)], out=out)
        return steps

    def scatter_add(self, steps: Tensor, span: tuple[int, int], tokens: Tensor) -> None:
        """Add (steps, B, K, C) onto the tokens that were visited: the transpose of gather."""
        for k, order in enumerate(self.orders):
            target = tokens if tokens.dim() == 3 else tokens[:, k]
            target.index_add_(1, order[slice(*span)], steps[:, :, k].transpose(0, 1))

    def run(self, span: tuple[int, int], state: Tensor) -> tuple[Tensor, ...]:
        """Advance through one chunk from the state before it; every result is step-major."""
        x, delta, B, C = (self.gather(tokens, span) for tokens in self.tokens)
        decay, states = self.decay[: len(x)], self.states[: len(x)]
        torch.mul(delta.unsqueeze(3), self.log2_rates, out=decay).exp2_()
        torch.mul(B.unsqueeze(4), (delta * x).unsqueeze(3), out=states)
        for decay_t, state_t in zip(decay.unbind(0), states.unbind(0), strict=True):
            state = state_t.addcmul_(decay_t, state)
        return x, delta, B, C, decay, states


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


class ChunkedScan(torch.autograd.Function):
    """The scan with its hand-written backward; arguments as in the face, ``delta`` raw."""

    @staticmethod
    def forward(ctx, x, delta, A, B, C, D, order, merge, delta_bias, delta_softplus, initial_state):
        """Return y in canonical order and the last state (B, K, E, N)."""
        if delta_bias is not None:
            delta = delta + delta_bias[:, None]
        if delta_softplus:
            delta = F.softplus(delta)
        walk = Walk(x, delta, A, B, C, order)
        state = x.new_zeros(walk.state_shape)
        if initial_state is not None:
            state += initial_state.transpose(2, 3)
        before = []  # the state before each chunk
        y = x.new_zeros(delta.shape if merge == 'none' else (len(x), *x.shape[-2:]))
        for span in walk.spans:
            before.append(state)
            x_steps, _, _, C_steps, _, states = walk.run(span, state)
            y_steps = sum_states(C_steps, states)
            if D is not None:
                y_steps.addcmul_(x_steps, D)
            walk.scatter_add(y_steps, span, y)
            state = states[-1].clone()
        if merge == 'mean':
            y /= len(order)
        ctx.merge, ctx.delta_softplus = merge, delta_softplus
        ctx.save_for_backward(x, delta, A, B, C, D, order, *before)
        ctx.set_materialize_grads(False)
        return y, state.transpose(2, 3).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, dlast):
        """Walk back through the chunks; d* is the gradient of the loss by *."""
        x, delta, A, B, C, D, order, *before = ctx.saved_tensors
        walk = Walk(x, delta, A, B, C, order)
        dstate_buffer = torch.empty_like(walk.decay)
        dx, ddelta, dB, dC = (tokens.new_zeros(tokens.shape) for tokens in walk.tokens)
        dA = torch.zeros_like(walk.A)
        dD, dbias = (x.new_zeros(delta.shape[1::2]) for _ in range(2))
        carry = x.new_zeros(walk.state_shape)  # gradient of the state after the chunk
        if dlast is not None:
            carry += dlast.transpose(2, 3)
        if dy is None:
            dy = x.new_zeros(x.shape[0], *x.shape[-2:])
        if ctx.merge == 'mean':
            dy = dy / len(order)

        with torch.autocast(x.device.type, enabled=False):
            for span, state in zip(reversed(walk.spans), reversed(before), strict=True):
                x_, delta_, B_, C_, decay, states = walk.run(span, state)
                dy_ = walk.gather(dy, span)
                walk.scatter_add(sum_channels(dy_, states), span, dC)

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
                dexponent[1:].mul_(states[:-1])
                ddelta_ += torch.mul(dexponent, walk.A, out=dstates).sum(3)
                dA += dexponent.mul_(delta_.unsqueeze(3)).sum((0, 1))

                if ctx.delta_softplus:
                    # softplus' = sigmoid, which is 1 - exp(-softplus).
                    ddelta_.mul_(torch.expm1(-delta_).neg_())
                if D is not None:
                    dx_.addcmul_(dy_, D)
                    dD += dy_.mul_(x_).sum((0, 1))
                if ctx.needs_input_grad[8]:
                    dbias += ddelta_.sum((0, 1))
                walk.scatter_add(dx_, span, dx)
                walk.scatter_add(ddelta_, span, ddelta)

        grads = (dx, ddelta, dA.transpose(1, 2), dB, dC, dD, None, None, dbias, None)
        grads = (*grads, carry.transpose(2, 3))
        return tuple(g if n else None for g, n in zip(grads, ctx.needs_input_grad, strict=True))


def scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    order: Tensor,
    merge: str,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    initial_state: Tensor | None,
    return_last_state: bool,
) -> tuple[Tensor, Tensor | None]:
    """See :class:`transmamba_mm.ops.backends.backend.Scan`; differentiable once."""
    y, last_state = ChunkedScan.apply(
        x, delta, A, B, C, D, order, merge, delta_bias, delta_softplus, initial_state
    )
    return y, last_state if return_last_state else None


BACKEND = Backend('torch', scan)
