"""The scan's kernels in Triton; import only where Triton is installed.

See :mod:`transmamba_mm.ops.backends.reference` for the maths. One program per batch, direction and
block of channels walks through time with the state, (states, channels), in registers. Channels are
the lanes of a warp and a lane holds all N states of its channel, so that only the sums over
channels, for dB and dC, exchange anything. No two programs write to one place: shared values are
summed afterwards, in a fixed order.

A tensor of tokens comes with its strides along batch, direction and token; its last stride is 1.
Everything else is contiguous, A and all states are (..., N, E): the compiler lays tiles out as they
are in memory, and an (E, N) one would spread the states of a channel over the lanes.
"""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _program(K, E, BLOCK_E: tl.constexpr):
    """Return batch, direction, block and the block's channels; 64 bits, as offsets need them."""
    program, blocks = tl.program_id(0).to(tl.int64), tl.cdiv(E, BLOCK_E)
    row, block = program // blocks, program % blocks
    return row // K, row % K, block, block * BLOCK_E + tl.arange(0, BLOCK_E)


@triton.jit
def _lane(tokens, strides, b, k):
    """Point to the first token of a batch and direction."""
    return tokens + b * strides[0] + k * strides[1]


@triton.jit
def _channels(pointer, offset, mask):
    """Load one number per channel, zeros where nothing is given."""
    if pointer is None:
        return tl.zeros(mask.shape, tl.float32)
    else:
        return tl.load(pointer + offset, mask, 0.0)


@triton.jit
def _step_size(raw, SOFTPLUS: tl.constexpr):
    """Return softplus(raw) and its slope, or raw and 1."""
    if SOFTPLUS:
        small = tl.exp2(-tl.abs(raw) * LOG2E)  # in (0, 1]
        # log(1 + small) would lose the digits of a small step; this is 2 artanh of ratio.
        ratio = small / (2.0 + small)
        r2 = ratio * ratio
        series = 1 / 7 + r2 * (1 / 9 + r2 * (1 / 11 + r2 * (1 / 13 + r2 / 15)))
        series = 1.0 + r2 * (1 / 3 + r2 * (1 / 5 + r2 * series))
        slope = tl.where(raw < 0, small, 1.0) / (1.0 + small)
        return tl.maximum(raw, 0.0) + 2.0 * ratio * series, slope
    else:
        return raw, tl.full(raw.shape, 1.0, tl.float32)


@triton.jit
def forward_kernel(
    x, x_strides, delta, delta_strides, B, B_strides, C, C_strides,
    A, initial_state, D, delta_bias, order, y, last_state, states, K, L, E, chunk,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr,
):  # fmt: skip
    """Write y (B, K, L, E) and, unless None, last_state and the states before every chunk."""
    b, k, _block, e = _program(K, E, BLOCK_E)
    n = tl.arange(0, BLOCK_N)
    in_E, in_N = e < E, n < N
    in_tile = in_N[:, None] & in_E[None, :]
    tile = n[:, None] * E + e[None, :]
    row, chunks = b * K + k, tl.cdiv(L, chunk)

    log2_rates = tl.load(A + k * N * E + tile, in_tile, 0.0) * LOG2E
    skip = _channels(D, k * E + e, in_E)
    bias = _channels(delta_bias, k * E + e, in_E)
    state = _channels(initial_state, row * N * E + tile, in_tile)
    x, delta = _lane(x, x_strides, b, k), _lane(delta, delta_strides, b, k)
    B, C = _lane(B, B_strides, b, k), _lane(C, C_strides, b, k)

    for c in range(0, chunks):
        if states is not None:
            tl.store(states + (row * chunks + c) * N * E + tile, state, in_tile)
        for t in range(c * chunk, tl.minimum(L, (c + 1) * chunk)):
            i = tl.load(order + k * L + t)
            x_t = tl.load(x + i * x_strides[2] + e, in_E, 0.0)
            raw = tl.load(delta + i * delta_strides[2] + e, in_E, 0.0)
            B_t = tl.load(B + i * B_strides[2] + n, in_N, 0.0)
            C_t = tl.load(C + i * C_strides[2] + n, in_N, 0.0)
            delta_t, _slope = _step_size(raw + bias, SOFTPLUS)
            decay = tl.exp2(delta_t[None, :] * log2_rates)
            state = decay * state + (delta_t * x_t)[None, :] * B_t[:, None]
            y_t = tl.sum(state * C_t[:, None], 0) + skip * x_t
            tl.store(y + (row * L + i) * E + e, y_t, in_E)
    if last_state is not None:
        tl.store(last_state + row * N * E + tile, state, in_tile)


@triton.jit
def backward_kernel(
    x, x_strides, delta, delta_strides, B, B_strides, C, C_strides, dy, dy_strides,
    A, dlast_state, D, delta_bias, order, states, scratch,
    dx, ddelta, dB, dC, dA, dD, dbias, dinitial_state, K, L, E, chunk,
    N: tl.constexpr, SOFTPLUS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr,
):  # fmt: skip
    """Write every gradient, d* being that of *.

    dx and ddelta are (B, K, L, E), dB and dC (blocks of channels, B, K, L, N), dA (B, K, N, E),
    dD and dbias (B, K, E). The states within one chunk are computed again into ``scratch``,
    (programs, chunk, BLOCK_N, BLOCK_E).
    """
    b, k, block, e = _program(K, E, BLOCK_E)
    n = tl.arange(0, BLOCK_N)
    in_E, in_N = e < E, n < N
    in_tile = in_N[:, None] & in_E[None, :]
    tile = n[:, None] * E + e[None, :]
    row, rows = b * K + k, tl.num_programs(0) // tl.cdiv(E, BLOCK_E)
    chunks = tl.cdiv(L, chunk)

    log2_rates = tl.load(A + k * N * E + tile, in_tile, 0.0) * LOG2E
    skip = _channels(D, k * E + e, in_E)
    bias = _channels(delta_bias, k * E + e, in_E)
    x, delta = _lane(x, x_strides, b, k), _lane(delta, delta_strides, b, k)
    B, C = _lane(B, B_strides, b, k), _lane(C, C_strides, b, k)
    dy = _lane(dy, dy_strides, b, k)
    scratch += tl.program_id(0).to(tl.int64) * chunk * BLOCK_N * BLOCK_E
    scratch_tile = n[:, None] * BLOCK_E + tl.arange(0, BLOCK_E)[None, :]

    dstate = _channels(dlast_state, row * N * E + tile, in_tile)
    dA_sum = tl.zeros((BLOCK_N, BLOCK_E), tl.float32)
    dD_sum = tl.zeros((BLOCK_E,), tl.float32)
    dbias_sum = tl.zeros((BLOCK_E,), tl.float32)
    for passed in range(0, chunks):
        c = chunks - 1 - passed
        steps = tl.minimum(chunk, L - c * chunk)
        visits = order + k * L + c * chunk
        state = tl.load(states + (row * chunks + c) * N * E + tile, in_tile, 0.0)
        for j in range(0, steps):
            tl.store(scratch + j * BLOCK_N * BLOCK_E + scratch_tile, state)
            i = tl.load(visits + j)
            x_t = tl.load(x + i * x_strides[2] + e, in_E, 0.0)
            raw = tl.load(delta + i * delta_strides[2] + e, in_E, 0.0)
            B_t = tl.load(B + i * B_strides[2] + n, in_N, 0.0)
            delta_t, _slope = _step_size(raw + bias, SOFTPLUS)
            decay = tl.exp2(delta_t[None, :] * log2_rates)
            state = decay * state + (delta_t * x_t)[None, :] * B_t[:, None]
        tl.debug_barrier()  # another thread may read what this one has stored

        for back in range(0, steps):
            j = steps - 1 - back
            i = tl.load(visits + j)
            x_t = tl.load(x + i * x_strides[2] + e, in_E, 0.0)
            raw = tl.load(delta + i * delta_strides[2] + e, in_E, 0.0)
            dy_t = tl.load(dy + i * dy_strides[2] + e, in_E, 0.0)
            B_t = tl.load(B + i * B_strides[2] + n, in_N, 0.0)
            C_t = tl.load(C + i * C_strides[2] + n, in_N, 0.0)
            before = tl.load(scratch + j * BLOCK_N * BLOCK_E + scratch_tile)
            delta_t, slope = _step_size(raw + bias, SOFTPLUS)
            decay = tl.exp2(delta_t[None, :] * log2_rates)
            decayed, entering = decay * before, delta_t * x_t

            dstate += dy_t[None, :] * C_t[:, None]
            state = decayed + entering[None, :] * B_t[:, None]
            slot = ((block * rows + row) * L + i) * N + n
            tl.store(dC + slot, tl.sum(dy_t[None, :] * state, 1), in_N)
            tl.store(dB + slot, tl.sum(dstate * entering[None, :], 1), in_N)
            # Through delta_t B_t x_t, and through exp(delta_t A), whose derivative is itself.
            dentering = tl.sum(dstate * B_t[:, None], 0)
            dexponent = dstate * decayed
            ddelta_t = x_t * dentering + LN2 * tl.sum(dexponent * log2_rates, 0)
            ddelta_t *= slope
            tl.store(dx + (row * L + i) * E + e, delta_t * dentering + skip * dy_t, in_E)
            tl.store(ddelta + (row * L + i) * E + e, ddelta_t, in_E)
            dA_sum += delta_t[None, :] * dexponent
            dD_sum += dy_t * x_t
            dbias_sum += ddelta_t
            dstate *= decay
        tl.debug_barrier()  # before the next chunk overwrites the scratch

    tl.store(dA + row * N * E + tile, dA_sum, in_tile)
    if D is not None:
        tl.store(dD + row * E + e, dD_sum, in_E)
    if delta_bias is not None:
        tl.store(dbias + row * E + e, dbias_sum, in_E)
    if dinitial_state is not None:
        tl.store(dinitial_state + row * N * E + tile, dstate, in_tile)
