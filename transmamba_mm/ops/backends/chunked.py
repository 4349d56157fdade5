"""The fast scan in plain torch: sequential in time, vectorized over everything else.

States are laid out (batch, K, N, E), channels last, so that every operation runs along E. A chunk of
steps at a time is gathered into small buffers that stay in cache, in the order of the traversal, so
that no tensor of size L * E * N ever exists; the backward keeps the state at the start of each
chunk and computes the chunk again. Decays multiply forward only: dividing by a cumulative decay
would save the recursion and overflow within 32 steps.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from transmamba_mm.ops.backends.backend import Backend

BUFFER = 1 << 19  # elements; two or three buffers of this size are in use at a time


class Chunks:
    """The buffers of one scan, and what forward and backward both do with a chunk."""

    def __init__(self, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, order: Tensor):
        self.tokens = (x, delta, B, C)
        self.batch, self.K, self.length, self.E = delta.shape
        self.N = A.shape[-1]
        self.A = A.transpose(1, 2).contiguous()
        # exp2 takes less than half the time of exp.
        self.log2_decay = self.A / math.log(2)
        self.orders = order.unbind(0)
        state = self.batch * self.K * self.N * self.E
        self.steps = min(max(BUFFER // max(state, 1), 1), self.length)
        self.count = -(-self.length // self.steps)
        self.decay = self.buffer(self.steps, self.N, self.E)
        self.states = self.buffer(self.steps + 1, self.N, self.E)
        self.inputs = [self.buffer(self.steps, t.shape[-1]) for t in self.tokens]

    def buffer(self, steps: int, *sizes: int) -> Tensor:
        return self.tokens[1].new_empty(steps, self.batch, self.K, *sizes)

    def spans(self) -> list[tuple[int, int]]:
        return [(t, min(t + self.steps, self.length)) for t in range(0, self.length, self.steps)]

    def visited(self, start: int, stop: int) -> list[Tensor]:
        return [order[start:stop] for order in self.orders]

    def gather(self, tokens: Tensor, visited: list[Tensor], out: Tensor) -> Tensor:
        out = out[: len(visited[0])]
        for k, indices in enumerate(visited):
            source = tokens if tokens.dim() == 3 else tokens[:, k]
            torch.index_select(source, 1, indices, out=out[:, :, k].transpose(0, 1))
        return out

    def scatter(self, steps: Tensor, visited: list[Tensor], out: Tensor) -> None:
        for k, indices in enumerate(visited):
            target = out if out.dim() == 3 else out[:, k]
            target.index_add_(1, indices, steps[:, :, k].transpose(0, 1))

    def run(self, visited: list[Tensor], initial: Tensor):
        x, delta, B, C = (
            self.gather(t, visited, out)
            for t, out in zip(self.tokens, self.inputs, strict=True)
        )
        c = len(visited[0])
        decay, states = self.decay[:c], self.states[: c + 1]
        torch.mul(delta.unsqueeze(3), self.log2_decay, out=decay)
        decay.exp2_()
        states[0] = initial
        torch.mul(B.unsqueeze(4), (delta * x).unsqueeze(3), out=states[1:])
        state, *later = states.unbind(0)
        for decay_t, state_t in zip(decay.unbind(0), later, strict=True):
            state = state_t.addcmul_(decay_t, state)
        return x, delta, B, C, decay, states


def weigh_states(weights: Tensor, states: Tensor) -> Tensor:
    """Sum over n of weights (..., N) and states (..., N, E)."""
    if states.shape[-2] == 1:
        return weights * states.squeeze(-2)
    product = torch.bmm(weights.flatten(0, 2).unsqueeze(1), states.flatten(0, 2))
    return product.view(*states.shape[:3], -1)


class ChunkedScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, delta, A, B, C, D, order, merge, delta_bias, delta_softplus, initial_state):
        if delta_bias is not None:
            delta = delta + delta_bias[:, None]
        if delta_softplus:
            delta = F.softplus(delta)
        chunks = Chunks(x, delta, A, B, C, order)
        boundary = delta.new_zeros(chunks.count + 1, chunks.batch, chunks.K, chunks.N, chunks.E)
        if initial_state is not None:
            boundary[0] = initial_state.transpose(2, 3)
        y = torch.zeros_like(delta, memory_format=torch.contiguous_format)
        if merge != 'none':
            y = y.new_zeros(chunks.batch, chunks.length, chunks.E)
        for i, span in enumerate(chunks.spans()):
            visited = chunks.visited(*span)
            x_, _, _, C_, _, states = chunks.run(visited, boundary[i])
            boundary[i + 1] = states[-1]
            out = weigh_states(C_, states[1:])
            if D is not None:
                out.addcmul_(x_, D)
            chunks.scatter(out, visited, y)
        if merge == 'mean':
            y /= chunks.K
        ctx.merge, ctx.softplus = merge, delta_softplus
        ctx.has = (D is not None, delta_bias is not None, initial_state is not None)
        ctx.save_for_backward(x, delta, A, B, C, D, order, boundary)
        ctx.set_materialize_grads(False)
        return y, boundary[-1].transpose(2, 3).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, dlast):
        x, delta, A, B, C, D, order, boundary = ctx.saved_tensors
        ch = Chunks(x, delta, A, B, C, order)
        if dy is None:
            dy = x.new_zeros(ch.batch, ch.length, ch.E)
        if ctx.merge == 'mean':
            dy = dy / ch.K
        carry = boundary.new_zeros(boundary.shape[1:])
        if dlast is not None:
            carry += dlast.transpose(2, 3)
        grads = ch.buffer(ch.steps, ch.N, ch.E)
        ybuf = ch.buffer(ch.steps, ch.E)
        dx = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
        ddelta = torch.zeros(delta.shape, dtype=x.dtype, device=x.device)
        dB = torch.zeros(B.shape, dtype=x.dtype, device=x.device)
        dC = torch.zeros(C.shape, dtype=x.dtype, device=x.device)
        dA = torch.zeros_like(ch.A)
        dD = None if D is None else torch.zeros_like(D)
        dbias = x.new_zeros(ch.K, ch.E) if ctx.has[1] else None
        with torch.autocast(x.device.type, enabled=False):
            for i, span in reversed(list(enumerate(ch.spans()))):
                visited = ch.visited(*span)
                x_, d_, B_, C_, decay, states = ch.run(visited, boundary[i])
                w = ch.gather(dy, visited, ybuf)
                c = len(w)
                g = grads[:c]
                torch.mul(states[1:], w.unsqueeze(3), out=g)
                ch.scatter(g.sum(-1), visited, dC)
                torch.mul(C_.unsqueeze(4), w.unsqueeze(3), out=g)
                gs, ds = g.unbind(0), decay.unbind(0)
                gs[-1].add_(carry)
                for t in range(c - 2, -1, -1):
                    gs[t].addcmul_(ds[t + 1], gs[t + 1])
                torch.mul(ds[0], gs[0], out=carry)
                decay.mul_(states[:-1]).mul_(g)
                scratch = states[1:]
                torch.mul(g, (d_ * x_).unsqueeze(3), out=scratch)
                ch.scatter(scratch.sum(-1), visited, dB)
                dv = weigh_states(B_, g)
                torch.mul(decay, ch.A, out=scratch)
                dd = scratch.sum(-2) if ch.N > 1 else scratch.squeeze(-2)
                dd.addcmul_(x_, dv)
                if ctx.softplus:
                    dd.mul_(torch.expm1(-d_).neg_())
                ch.scatter(dd, visited, ddelta)
                if dbias is not None:
                    dbias += dd.sum((0, 1))
                decay.mul_(d_.unsqueeze(3))
                dA += decay.flatten(0, 1).sum(0)
                dv.mul_(d_)
                if D is not None:
                    dv.addcmul_(w, D)
                    dD += w.mul_(x_).sum((0, 1))
                ch.scatter(dv, visited, dx)
        dinit = carry.transpose(2, 3) if ctx.has[2] else None
        return dx, ddelta, dA.transpose(1, 2), dB, dC, dD, None, None, dbias, None, dinit


def scan(x, delta, A, B, C, D, order, merge, delta_bias, delta_softplus, initial_state, return_last_state):
    y, last = ChunkedScan.apply(x, delta, A, B, C, D, order, merge, delta_bias, delta_softplus, initial_state)
    return y, last if return_last_state else None


BACKEND = Backend('torch', scan)
