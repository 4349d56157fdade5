// The selective scan of Mamba (arXiv 2312.00752, eq. 2) along K directions, forward and backward.
//
// For batch b, direction k and channel e, step t visits token i = order[k][t]:
//
//     h_t = exp(dt_i A) h_{t-1} + dt_i x_i B_i     the state, N numbers
//     y_i = C_i . h_t + D x_i                      summed or averaged over k, times SiLU(z_i)
//
// and backward, with g_t = dL/dh_t and p_t = exp(dt_i A) h_{t-1}:
//
//     g_t  = dy_i C_i + exp(dt_{i+1} A) g_{t+1}    dB_i = sum_e dt_i x_i g_t
//     dx_i = dt_i (g_t . B_i) + D dy_i             dC_i = sum_e dy_i h_t
//     ddt_i = x_i (g_t . B_i) + (g_t p_t) . A      dA   = sum_i dt_i g_t p_t
//
// Time runs sequentially; the lanes of a vector are channels, and the N states of a channel stay in
// registers. An N without a template is a sum of tiles that have one (24 = 16 + 8): all outputs
// are linear in the tiles, so later tiles, as later directions, add to what earlier ones wrote.
// The forward keeps h once per chunk of steps; the backward recomputes the rest from there.
// Sums over batch and channels go to slots that depend on the shapes alone, never on the threads.

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

#include "lanes.h"

// The fields in the order in which cpp.py lists them; a null pointer means: not given.
struct Inputs {
    i64 B, K, L, E, N, chunk, threads, softplus, mean;
    View x, dt, Bm, Cm, z;           // (B, [K,] L, E or N)
    const float *A, *D, *bias, *h0;  // (K, E, N), (K, E), (K, E), (B, K, E, N)
    const i64* order;                // (K, L)

    i64 chunks() const { return std::max<i64>(1, (L + chunk - 1) / chunk); }
};

struct Forward : Inputs {
    View y;
    float *last, *states;
};

struct Backward : Inputs {
    View dy, dx, ddt, dBm, dCm, dz;
    const float *dlast, *states;
    float *dA, *dD, *dbias, *dh0;
};

// What the passes of one thread add to: dB and dC as R folded vectors per step of a chunk, `params`
// as rows of E (dA's N, dD, dbias) that the `fresh` passes overwrite, and g (N, E) between chunks.
struct Sums {
    vec *dB, *dC;
    float *params, *g;
    bool fresh;
};

// One direction, one tile of N states from n0, one block of V vectors of channels from e0.
template <int N, int V, bool Rest>
struct Pass {
    static constexpr int STEPS = N == 1 ? 64 : 32;            // the longest chunk
    static constexpr int M = std::min({N, W, 8}), R = N / M;  // states per folded vector
    const Inputs& s;
    const i64 b, k, n0, e0;
    const Lanes<Rest> lanes;
    const i64* order;
    const float *Bm, *Cm, scale;
    vec A[N][V], D[V], bias[V];  // A times log2(e)

    Pass(const Inputs& s, const float* A2, i64 b, i64 k, i64 n0, i64 e0)
        : s(s), b(b), k(k), n0(n0), e0(e0), lanes{int(std::min<i64>(W, s.E - e0))},
          order(s.order + k * s.L), Bm(s.Bm.at(b, k) + n0), Cm(s.Cm.at(b, k) + n0),
          scale(s.mean ? 1.f / s.K : 1.f) {
        for (int v = 0; v < V; v++) {
            for (int n = 0; n < N; n++) A[n][v] = lanes.load(A2 + k * s.N * s.E + at(n, v));
            D[v] = s.D && n0 == 0 ? lanes.load(s.D + k * s.E + e0 + v * W) : vec{};
            bias[v] = s.bias ? lanes.load(s.bias + k * s.E + e0 + v * W) : vec{};
        }
    }

    i64 at(int n, int v) const { return (n0 + n) * s.E + e0 + v * W; }  // in an (N, E) tensor
    i64 state(int n, int v) const {                                     // in a (B, K, E, N) tensor
        return ((b * s.K + k) * s.E + e0 + v * W) * s.N + n0 + n;
    }
    i64 kept(i64 c, int n, int v) const {  // before chunk c > 0, in (B, K, chunks - 1, N, E)
        return ((b * s.K + k) * (s.chunks() - 1) + c - 1) * s.N * s.E + at(n, v);
    }
    vec state_of(const float* states, int n, int v) const {
        return states ? lanes.gather(states + state(n, v), s.N) : vec{};
    }
    float* row(const View& view, i64 i, int v) const {
        return view.at(b, k) + i * view.token + e0 + v * W;
    }
    vec step_size(i64 i, int v, vec& slope) const {
        const vec raw = lanes.load(row(s.dt, i, v)) + bias[v];
        slope = splat(1.f);
        return s.softplus ? softplus(raw, slope) : raw;
    }

    // Elementary functions take long, but only the recursion has to wait for the step before: they
    // come first, STEPS at a time.
    void forward(const Forward& o) const {
        const bool first = n0 == 0 && o.y.first(k);
        vec h[N][V], size[STEPS][V], gain[STEPS][V], slope;
        // Of a short sequence the next block of channels, of a long one a later token.
        const i64 ahead = s.L <= s.chunk ? V * W : 0;
        for (int v = 0; v < V; v++)
            for (int n = 0; n < N; n++) h[n][v] = state_of(s.h0, n, v);
        for (i64 begin = 0; begin < s.L; begin += s.chunk) {
            const i64 *visited = order + begin, steps = std::min(s.chunk, s.L - begin);
            if (begin && o.states)
                for (int v = 0; v < V; v++)
                    for (int n = 0; n < N; n++)
                        lanes.store(o.states + kept(begin / s.chunk, n, v), h[n][v]);
            for (i64 j = 0; j < steps; j++) {
                const i64 later = ahead ? visited[j] : visited[std::min(steps - 1, j + 8)];
                for (int v = 0; v < V; v++) {
                    // The order hides what comes next from the hardware's own prefetching.
                    for (const View* from : {&s.x, &s.dt, &s.z})
                        if (from->data) __builtin_prefetch(row(*from, later, v) + ahead);
                    size[j][v] = step_size(visited[j], v, slope);
                    gain[j][v] = splat(scale);
                    if (s.z.data) gain[j][v] *= silu(lanes.load(row(s.z, visited[j], v)));
                }
            }
            for (i64 j = 0; j < steps; j++) {
                const i64 i = visited[j];
                const float *Bi = Bm + i * s.Bm.token, *Ci = Cm + i * s.Cm.token;
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) {
                    const vec dt = size[j][v], x = lanes.load(row(s.x, i, v)), u = dt * x;
                    vec y = D[v] * x;
#pragma GCC unroll 16
                    for (int n = 0; n < N; n++) {
                        h[n][v] = exp2(dt * A[n][v]) * h[n][v] + u * Bi[n];
                        y += h[n][v] * Ci[n];
                    }
                    lanes.put(row(o.y, i, v), gain[j][v] * y, first);
                }
            }
        }
        if (o.last)
            for (int v = 0; v < V; v++)
                for (int n = 0; n < N; n++) lanes.scatter(o.last + state(n, v), s.N, h[n][v]);
    }

    // Chunk c; chunks come from the last to the first and, within one, blocks from begin to end.
    void backward(const Backward& o, i64 c, i64 begin, i64 end, const Sums& sums) const {
        vec decay[STEPS][N][V], past[STEPS][N][V];  // exp(dt A) and p
        vec size[STEPS][V], slope[STEPS][V], dy[STEPS][V], gB[STEPS][V], gpA[STEPS][V];
        vec dgate[STEPS][V];  // of y, when there is a gate
        const i64 *visited = order + c * s.chunk, steps = std::min(s.chunk, s.L - c * s.chunk);
        const bool first = n0 == 0, last_chunk = c == s.chunks() - 1;
        const bool fresh = sums.fresh && last_chunk;

        const i64 hop = e0 + V * W < end ? V * W : begin - e0;  // to the block that comes next
        for (i64 j = 0; j < steps; j++) {
            const i64 i = visited[j], next = hop > 0 || c == 0 ? i : visited[j - s.chunk];
            for (int v = 0; v < V; v++) {
                for (const View* from : {&s.x, &s.dt, &s.z, &o.dy})
                    if (from->data) __builtin_prefetch(row(*from, next, v) + hop);
                for (const View* to : {&o.dx, &o.ddt, &o.dz})
                    if (to->data) __builtin_prefetch(row(*to, next, v) + hop, 1);
                size[j][v] = step_size(i, v, slope[j][v]);
                dy[j][v] = scale * lanes.load(row(o.dy, i, v));
                if (s.z.data) {
                    const vec z = lanes.load(row(s.z, i, v));
                    dgate[j][v] = dy[j][v] * silu_slope(z);
                    dy[j][v] *= silu(z);
                }
            }
        }
        vec h[N][V];
        for (int v = 0; v < V; v++)
            for (int n = 0; n < N; n++)
                h[n][v] = c ? lanes.load(o.states + kept(c, n, v)) : state_of(s.h0, n, v);
        for (i64 j = 0; j < steps; j++) {
            const i64 i = visited[j];
            const float *Bi = Bm + i * s.Bm.token, *Ci = Cm + i * s.Cm.token;
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                const vec x = lanes.load(row(s.x, i, v)), dt = size[j][v], u = dt * x;
#pragma GCC unroll 16
                for (int n = 0; n < N; n++) {
                    decay[j][n][v] = exp2(dt * A[n][v]);
                    past[j][n][v] = decay[j][n][v] * h[n][v];
                    h[n][v] = past[j][n][v] + u * Bi[n];
                }
                if (s.z.data) {
                    vec y = D[v] * x;
#pragma GCC unroll 16
                    for (int n = 0; n < N; n++) y += h[n][v] * Ci[n];
                    lanes.put(row(o.dz, i, v), dgate[j][v] * y, first && o.dz.first(k));
                }
            }
        }

        vec dD[V] = {}, dbias[V] = {};
        for (int m = 0; m < N; m += M) {  // M states at a time: g, dA and A stay in registers
            vec g[M][V], dA[M][V] = {};
            for (int v = 0; v < V; v++)
                for (int n = 0; n < M; n++)
                    g[n][v] = last_chunk ? state_of(o.dlast, m + n, v)
                                         : lanes.load(sums.g + at(m + n, v));
            for (i64 j = steps - 1; j >= 0; j--) {
                const i64 i = visited[j];
                const float *Bi = Bm + i * s.Bm.token + m, *Ci = Cm + i * s.Cm.token + m;
                vec eB[M] = {}, eC[M] = {};  // this step's share of dB and dC, lane by lane
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) {
                    const vec x = lanes.load(row(s.x, i, v)), dt = size[j][v], u = dt * x;
                    const vec dyi = dy[j][v];
                    vec sumB = m ? gB[j][v] : vec{}, sumA = m ? gpA[j][v] : vec{};
#pragma GCC unroll 16
                    for (int n = 0; n < M; n++) {
                        const vec p = past[j][m + n][v];
                        g[n][v] += dyi * Ci[n];
                        eC[n] += dyi * (p + u * Bi[n]);
                        eB[n] += g[n][v] * u;
                        sumB += g[n][v] * Bi[n];
                        const vec gp = g[n][v] * p;
                        sumA += gp * A[m + n][v];
                        dA[n][v] += dt * gp;
                        g[n][v] *= decay[j][m + n][v];
                    }
                    if (m + M < N) {
                        gB[j][v] = sumB, gpA[j][v] = sumA;
                        continue;
                    }
                    const vec ddt = (x * sumB + LN2 * sumA) * slope[j][v];
                    lanes.put(row(o.dx, i, v), dt * sumB + D[v] * dyi, first && o.dx.first(k));
                    lanes.put(row(o.ddt, i, v), ddt, first && o.ddt.first(k));
                    dD[v] += dyi * x;
                    dbias[v] += ddt;
                }
                sums.dB[j * R + m / M] += fold<M>(eB);
                sums.dC[j * R + m / M] += fold<M>(eC);
            }
            for (int v = 0; v < V; v++)
                for (int n = 0; n < M; n++) {
                    lanes.put(sums.params + at(m + n, v), dA[n][v], fresh);
                    lanes.store(sums.g + at(m + n, v), g[n][v]);
                    if (c == 0 && o.dh0) lanes.scatter(o.dh0 + state(m + n, v), s.N, g[n][v]);
                }
        }
        float* rows = sums.params + s.N * s.E + e0;
        for (int v = 0; v < V; v++) {
            if (first) lanes.put(rows + v * W, dD[v], fresh);
            lanes.put(rows + s.E + v * W, dbias[v], fresh && first);
        }
    }
};

// Calls f(Pass) for every pass that the tile of N states from n0 needs over channels [begin, end).
template <int N, class F>
static void passes(const Inputs& s, const float* A2, i64 b, i64 k, i64 n0, i64 begin, i64 end,
                   F f) {
    constexpr int V = N == 1 ? 4 : N == 4 ? 2 : 1;
    i64 e = begin;
    for (; e + V * W <= end; e += V * W) f(Pass<N, V, false>(s, A2, b, k, n0, e));
    for (; e < end; e += W) f(Pass<N, 1, true>(s, A2, b, k, n0, e));
}

// Calls f(tile as an integral constant, n0) for the tiles that make up N.
template <class F>
static void tiles(i64 N, F f) {
    i64 n = 0;
    for (; n + 16 <= N; n += 16) f(std::integral_constant<int, 16>(), n);
    for (; n + 8 <= N; n += 8) f(std::integral_constant<int, 8>(), n);
    for (; n + 4 <= N; n += 4) f(std::integral_constant<int, 4>(), n);
    for (; n < N; n++) f(std::integral_constant<int, 1>(), n);
}

// The channels that a pass of the widest tile takes: the unit in which work is shared out.
static i64 span_of(i64 N) { return N < 4 ? 4 * W : N < 8 ? 2 * W : W; }

static i64 ceil_div(i64 a, i64 b) { return (a + b - 1) / b; }

// A as (K, N, E), times log2(e).
static std::vector<float> transposed_A(const Inputs& s) {
    std::vector<float> A2(s.K * s.N * s.E);
    for (i64 ke = 0; ke < s.K * s.E; ke++)
        for (i64 n = 0; n < s.N; n++)
            A2[(ke / s.E * s.N + n) * s.E + ke % s.E] = s.A[ke * s.N + n] * LOG2E;
    return A2;
}

// Every row of order must be a permutation: an index out of range would write to foreign memory.
static bool valid(const Inputs& s) {
    std::vector<char> seen;
    for (i64 k = 0; k < s.K; k++) {
        seen.assign(s.L, 0);
        for (i64 t = 0; t < s.L; t++) {
            const i64 i = s.order[k * s.L + t];
            if (i < 0 || i >= s.L || seen[i]++) return false;
        }
    }
    return true;
}

// Returns 0, or 1 when `order` holds no permutations (nothing is written then).
extern "C" int scan_forward(const Forward* call) {
    const Forward& s = *call;
    if (!valid(s)) return 1;
    const std::vector<float> A2 = transposed_A(s);
    const i64 span = span_of(s.N), spans = ceil_div(s.E, span);
#pragma omp parallel for num_threads(s.threads) schedule(dynamic) if (s.threads > 1)
    for (i64 item = 0; item < s.B * spans; item++) {
        const i64 b = item / spans, e = item % spans * span;
        for (i64 k = 0; k < s.K; k++)
            tiles(s.N, [&](auto tile, i64 n0) {
                passes<decltype(tile)::value>(s, A2.data(), b, k, n0, e, std::min(s.E, e + span),
                                              [&](const auto& pass) { pass.forward(s); });
            });
    }
    return 0;
}

// As scan_forward.
extern "C" int scan_backward(const Backward* call) {
    const Backward& s = *call;
    if (!valid(s)) return 1;
    const std::vector<float> A2 = transposed_A(s);
    // An item is a group of batches times a group of channels; about 8 to 32, whatever the threads.
    const i64 span = span_of(s.N), batch_groups = std::min<i64>(s.B, 32);
    const i64 wanted = s.B < 8 ? 8 / std::max<i64>(s.B, 1) : 1;
    const i64 width = std::max(span, ceil_div(ceil_div(s.E, span), wanted) * span);
    const i64 groups = ceil_div(s.E, width);
    const i64 rows = s.B * s.K * s.L * s.N, params = (s.N + 2) * s.E;
    // The slots: (groups, 2, B, K, L, N) and (batch_groups, K, N + 2, E).
    const std::unique_ptr<float[]> dBC(new float[groups * 2 * rows]);
    const std::unique_ptr<float[]> slots(new float[batch_groups * s.K * params]);
#pragma omp parallel num_threads(s.threads) if (s.threads > 1)
    {
        std::vector<float> g(s.N * s.E);
#pragma omp for schedule(dynamic)
        for (i64 item = 0; item < batch_groups * groups; item++) {
            const i64 batch_group = item / groups, group = item % groups;
            const i64 begin = group * width, end = std::min(s.E, begin + width);
            const i64 first_b = batch_group * s.B / batch_groups;
            const i64 last_b = (batch_group + 1) * s.B / batch_groups;
            for (i64 bk = first_b * s.K; bk < last_b * s.K; bk++)
                tiles(s.N, [&](auto tile, i64 n0) {
                    constexpr int N = decltype(tile)::value;
                    using P = Pass<N, 1, true>;
                    const i64 b = bk / s.K, k = bk % s.K;
                    for (i64 c = s.chunks() - 1; c >= 0; c--) {
                        vec dB[P::STEPS * P::R] = {}, dC[P::STEPS * P::R] = {};
                        float* slot = &slots[(batch_group * s.K + k) * params];
                        const Sums sums = {dB, dC, slot, g.data(), b == first_b};
                        for (i64 e = begin; e < end; e += span)
                            passes<N>(s, A2.data(), b, k, n0, e, std::min(end, e + span),
                                      [&](const auto& p) { p.backward(s, c, begin, end, sums); });
                        for (i64 t = c * s.chunk; t < std::min(s.L, (c + 1) * s.chunk); t++) {
                            const i64 i = s.order[k * s.L + t], j = t - c * s.chunk;
                            float* to = &dBC[group * 2 * rows + (bk * s.L + i) * s.N + n0];
                            unfold<P::M, P::R>(dB + j * P::R, to);
                            unfold<P::M, P::R>(dC + j * P::R, to + rows);
                        }
                    }
                });
        }
        // The slots, added up in one fixed order.
#pragma omp for
        for (i64 bi = 0; bi < s.B * s.L; bi++)
            for (i64 k = 0; k < s.K; k++)
                for (i64 n = 0; n < s.N; n++) {
                    const i64 b = bi / s.L, i = bi % s.L, at = ((b * s.K + k) * s.L + i) * s.N + n;
                    float sumB = 0, sumC = 0;
                    for (i64 group = 0; group < groups; group++) {
                        const float* from = &dBC[group * 2 * rows + at];
                        sumB += from[0], sumC += from[rows];
                    }
                    float &toB = s.dBm.at(b, k)[i * s.dBm.token + n];
                    float &toC = s.dCm.at(b, k)[i * s.dCm.token + n];
                    toB = s.dBm.first(k) ? sumB : toB + sumB;
                    toC = s.dCm.first(k) ? sumC : toC + sumC;
                }
#pragma omp for
        for (i64 ke = 0; ke < s.K * s.E; ke++)
            for (i64 n = 0; n < s.N + 2; n++) {
                const i64 k = ke / s.E, e = ke % s.E;
                float sum = 0;
                for (i64 bg = 0; bg < batch_groups; bg++)
                    sum += slots[(bg * s.K + k) * params + n * s.E + e];
                if (n < s.N) s.dA[ke * s.N + n] = sum;
                else if (n == s.N && s.dD) s.dD[ke] = sum;
                else if (n > s.N && s.dbias) s.dbias[ke] = sum;
            }
    }
    return 0;
}
