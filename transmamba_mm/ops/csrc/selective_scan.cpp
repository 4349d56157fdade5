// The selective scan of Mamba (arXiv 2312.00752, eq. 2) along K directions, forward and backward.
//
// For batch b, direction k and channel e, step t visits token i = order[k][t]:
//
//     h_t = exp(dt_i A) h_{t-1} + dt_i x_i B_i          state, N numbers
//     y_i = C_i . h_t + D x_i                           summed over k, times scale and SiLU(z_i)
//
// and backward, with g_t = dL/dh_t and p_t = exp(dt_i A) h_{t-1}:
//
//     g_t  = dy_i C_i + exp(dt_{i+1} A) g_{t+1}         dC_i = sum_e dy_i h_t     dB_i = sum_e dt_i x_i g_t
//     dx_i = dt_i (g_t . B_i) + D dy_i                  ddt_i = x_i (g_t . B_i) + (g_t p_t) . A
//     dA   = sum_i dt_i g_t p_t
//
// Time runs sequentially; the lanes of a vector are W neighbouring channels, and the N states of a
// channel stay in registers. An N the templates do not know is a sum of tiles that they do (24 = 16 + 8):
// every output is linear in the tiles, so later tiles and directions add to what earlier ones wrote.
// The forward keeps h once per chunk of steps; the backward recomputes the rest from there.
// Sums over batch and channels go to slots that depend on the shapes alone, never on the threads.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif

using i64 = int64_t;

#if defined(__AVX512F__)
constexpr int W = 16;
#elif defined(__AVX__)
constexpr int W = 8;
#else
constexpr int W = 4;
#endif
typedef float vec __attribute__((vector_size(4 * W)));
typedef int32_t ivec __attribute__((vector_size(4 * W)));
typedef float loose_vec __attribute__((vector_size(4 * W), aligned(4), may_alias));

// A (B, K, tokens, features) tensor whose last stride is 1; direction = 0 where all K share one slice.
struct View {
    float* data;
    i64 batch, direction, token;
    float* at(i64 b, i64 k) const { return data + b * batch + k * direction; }
    bool owns(i64 k) const { return direction || k == 0; }  // is direction k the first to write here?
};

// The fields in the order in which cpp.py's _Call lists them; a null pointer means: not given.
struct Inputs {
    i64 B, K, L, E, N, chunk, threads, softplus, mean;
    View x, dt, Bm, Cm, z;               // (B, [K,] L, E or N)
    const float *A, *D, *bias, *h0;      // (K, E, N), (K, E), (K, E), (B, K, E, N)
    const i64* order;                    // (K, L)

    i64 chunks() const { return (L + chunk - 1) / chunk; }
    i64 row(i64 b, i64 k, i64 e) const { return ((b * K + k) * E + e) * N; }
    // Where in states, (B, K, chunks - 1, N, E), the state before chunk c > 0 is kept.
    i64 saved(i64 b, i64 k, i64 c, i64 n) const {
        return (((b * K + k) * (chunks() - 1) + c - 1) * N + n) * E;
    }
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

// W channels, the last of which may lie beyond E when `Rest`.
template <bool Rest>
struct Lanes {
    int count;
    bool full() const { return !Rest || count == W; }
    vec load(const float* p) const {
        if (full()) return *(const loose_vec*)p;
        vec v = {};
        for (int i = 0; i < count; i++) v[i] = p[i];
        return v;
    }
    void store(float* p, vec v) const {
        if (full()) *(loose_vec*)p = v;
        else for (int i = 0; i < count; i++) p[i] = v[i];
    }
    void put(float* p, vec v, bool first) const { store(p, first ? v : load(p) + v); }
    vec gather(const float* p, i64 stride) const {
        vec v = {};
        for (int i = 0; i < count; i++) v[i] = p[i * stride];
        return v;
    }
    void scatter(float* p, i64 stride, vec v) const {
        for (int i = 0; i < count; i++) p[i * stride] = v[i];
    }
};

static inline vec splat(float x) { return vec{} + x; }

// 2^x = 2^n 2^f with f in [-1/2, 1/2], and 2^f = 1 + f q(f) by a minimax q (relative error 2e-9). The
// exact 1 matters: an error in decays close to 1 would add up over thousands of steps.
static inline vec exp2(vec x) {
#ifdef __AVX512F__
    vec n = (vec)_mm512_roundscale_ps((__m512)x, 0);
#else
    x = x < -126.f ? splat(-126.f) : x > 127.f ? splat(127.f) : x;
    const float magic = 12582912.f;  // 1.5 2^23: adding it leaves round(x) in the low bits
    vec shifted = x + magic, n = shifted - magic;
#endif
    vec f = x - n;
    vec p = f * 1.53536006e-4f + 1.33988512e-3f;
    p = p * f + 9.61843599e-3f;
    p = p * f + 5.55033237e-2f;
    p = p * f + 2.40226477e-1f;
    p = p * f + 6.93147182e-1f;
    p = p * f + 1.f;
#ifdef __AVX512F__
    return (vec)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return (vec)((ivec)p + ((ivec)shifted << 23));
#endif
}

constexpr float LOG2E = 1.44269504f, LN2 = 0.693147181f;

static inline vec sigmoid(vec x) { return 1.f / (1.f + exp2(x * -LOG2E)); }

// softplus(x) = max(x, 0) + log1p(u), u = exp(-|x|), and log1p(u) = 2 atanh(s) with s = u / (2 + u) <= 1/3.
static inline vec softplus(vec x, vec& slope) {
    vec u = exp2((x < 0.f ? x : -x) * LOG2E);
    vec s = u / (2.f + u), s2 = s * s;
    vec p = s2 * 0.244136531f + 0.213932559f;
    p = p * s2 + 0.286207229f;
    p = p * s2 + 0.399986923f;
    p = p * s2 + 0.666666806f;
    p = p * s2 + 2.f;
    slope = (x < 0.f ? u : splat(1.f)) / (1.f + u);
    return (x < 0.f ? splat(0.f) : x) + s * p;
}

// Lane i of a or, where bit S of i is set, of b; `Swap` takes the lane whose bit S is flipped instead.
template <int S, bool Swap>
static inline vec mix(vec a, vec b) {
#ifdef __clang__
    vec r;
    for (int i = 0; i < W; i++) r[i] = (i & S ? b : a)[Swap ? i ^ S : i];
    return r;
#else
    ivec index;
    for (int i = 0; i < W; i++) index[i] = (i & S ? W : 0) + (Swap ? i ^ S : i);
    return __builtin_shuffle(a, b, index);
#endif
}

// Sums the lanes of M vectors (a power of two, at most W) until lane i holds a share of vector i mod M.
template <int M>
static inline vec fold(const vec* v) {
    if constexpr (M == 1) {
        return v[0];
    } else {
        vec a = fold<M / 2>(v), b = fold<M / 2>(v + M / 2);
        return mix<M / 2, false>(a, b) + mix<M / 2, true>(a, b);
    }
}

// One direction, one tile of N states from n0, V vectors of channels from e0.
template <int N, int V, bool Rest>
struct Pass {
    static constexpr int M = N < W ? N : W;  // states per folded vector
    const Inputs& s;
    const i64 b, k, n0, e0;
    const Lanes<Rest> lanes;
    const i64* order;
    const float *x, *dt, *Bm, *Cm, *z;
    vec A[N][V], D[V], bias[V];  // A times log2(e)

    Pass(const Inputs& s, const float* A2, i64 b, i64 k, i64 n0, i64 e0)
        : s(s), b(b), k(k), n0(n0), e0(e0), lanes{int(std::min<i64>(W, s.E - e0))},
          order(s.order + k * s.L), x(s.x.at(b, k) + e0), dt(s.dt.at(b, k) + e0),
          Bm(s.Bm.at(b, k) + n0), Cm(s.Cm.at(b, k) + n0), z(s.z.data ? s.z.at(b, k) + e0 : nullptr) {
        for (int v = 0; v < V; v++) {
            const i64 e = e0 + v * W;
            for (int n = 0; n < N; n++) A[n][v] = lanes.load(A2 + (k * s.N + n0 + n) * s.E + e);
            D[v] = s.D && n0 == 0 ? lanes.load(s.D + k * s.E + e) : vec{};
            bias[v] = s.bias ? lanes.load(s.bias + k * s.E + e) : vec{};
        }
    }

    vec step_size(i64 i, int v, vec& slope) const {
        vec raw = lanes.load(dt + i * s.dt.token + v * W) + bias[v];
        slope = splat(1.f);
        return s.softplus ? softplus(raw, slope) : raw;
    }

    void forward(const Forward& o) const {
        float* y = o.y.at(b, k) + e0;
        const bool first = n0 == 0 && o.y.owns(k);
        const vec scale = splat(s.mean ? 1.f / s.K : 1.f);
        vec h[N][V] = {}, slope;
        if (s.h0)
            for (int v = 0; v < V; v++)
                for (int n = 0; n < N; n++)
                    h[n][v] = lanes.gather(s.h0 + s.row(b, k, e0 + v * W) + n0 + n, s.N);
        for (i64 c = 0; c < s.chunks(); c++) {
            if (c && o.states)
                for (int n = 0; n < N; n++)
                    for (int v = 0; v < V; v++) lanes.store(o.states + s.saved(b, k, c, n0 + n) + e0 + v * W, h[n][v]);
            for (i64 t = c * s.chunk; t < std::min(s.L, (c + 1) * s.chunk); t++) {
                const i64 i = order[t];
                const float *Bi = Bm + i * s.Bm.token, *Ci = Cm + i * s.Cm.token;
                for (int v = 0; v < V; v++) {
                    const vec dti = step_size(i, v, slope), xi = lanes.load(x + i * s.x.token + v * W);
                    const vec u = dti * xi;
                    vec yi = D[v] * xi;
                    for (int n = 0; n < N; n++) {
                        h[n][v] = exp2(dti * A[n][v]) * h[n][v] + u * Bi[n];
                        yi += h[n][v] * Ci[n];
                    }
                    vec weight = scale;
                    if (z) {
                        const vec zi = lanes.load(z + i * s.z.token + v * W);
                        weight *= zi * sigmoid(zi);
                    }
                    lanes.put(y + i * o.y.token + v * W, weight * yi, first);
                }
            }
        }
        if (o.last)
            for (int v = 0; v < V; v++)
                for (int n = 0; n < N; n++)
                    lanes.scatter(o.last + s.row(b, k, e0 + v * W) + n0 + n, s.N, h[n][v]);
    }

    // dB and dC (per step, N / M folded vectors each) gather this pass's share; `sums` is the slot of
    // the parameters, (K, N + 2, E): the rows of dA, then dD, then dbias.
    void backward(const Backward& o, vec* dB, vec* dC, float* sums, bool first_sum) const {
        constexpr int STEPS = 512 / (N * V);
        vec decay[STEPS][N][V], kept[STEPS][N][V], size[STEPS][V], slope[STEPS][V];
        vec g[N][V] = {}, dA[N][V] = {}, dD[V] = {}, dbias[V] = {};
        const float* dy = o.dy.at(b, k) + e0;
        float *dx = o.dx.at(b, k) + e0, *ddt = o.ddt.at(b, k) + e0, *dz = z ? o.dz.at(b, k) + e0 : nullptr;
        const bool first = n0 == 0;
        const vec scale = splat(s.mean ? 1.f / s.K : 1.f);
        if (o.dlast)
            for (int v = 0; v < V; v++)
                for (int n = 0; n < N; n++)
                    g[n][v] = lanes.gather(o.dlast + s.row(b, k, e0 + v * W) + n0 + n, s.N);
        for (i64 c = s.chunks() - 1; c >= 0; c--) {
            const i64 begin = c * s.chunk, end = std::min(s.L, begin + s.chunk);
            vec h[N][V] = {};
            if (c || s.h0)
                for (int v = 0; v < V; v++)
                    for (int n = 0; n < N; n++)
                        h[n][v] = c ? lanes.load(o.states + s.saved(b, k, c, n0 + n) + e0 + v * W)
                                    : lanes.gather(s.h0 + s.row(b, k, e0 + v * W) + n0 + n, s.N);
            for (i64 t = begin; t < end; t++) {
                const i64 i = order[t], j = t - begin;
                const float* Bi = Bm + i * s.Bm.token;
                for (int v = 0; v < V; v++) {
                    const vec dti = size[j][v] = step_size(i, v, slope[j][v]);
                    const vec u = dti * lanes.load(x + i * s.x.token + v * W);
                    for (int n = 0; n < N; n++) {
                        const vec a = exp2(dti * A[n][v]), p = a * h[n][v];
                        decay[j][n][v] = a;
                        kept[j][n][v] = p;
                        h[n][v] = p + u * Bi[n];
                    }
                }
            }
            for (i64 t = end - 1; t >= begin; t--) {
                const i64 i = order[t], j = t - begin;
                const float *Bi = Bm + i * s.Bm.token, *Ci = Cm + i * s.Cm.token;
                vec eB[N] = {}, eC[N] = {};
                for (int v = 0; v < V; v++) {
                    const vec xi = lanes.load(x + i * s.x.token + v * W), dti = size[j][v], u = dti * xi;
                    const vec out = scale * lanes.load(dy + i * o.dy.token + v * W);
                    vec dyi = out, zi = {}, gate = {};
                    if (z) {
                        zi = lanes.load(z + i * s.z.token + v * W);
                        gate = sigmoid(zi);
                        dyi *= zi * gate;
                    }
                    vec gB = {}, gpA = {}, yi = D[v] * xi;
                    for (int n = 0; n < N; n++) {
                        const vec p = kept[j][n][v], h = p + u * Bi[n];
                        g[n][v] += dyi * Ci[n];
                        eC[n] += dyi * h;
                        eB[n] += g[n][v] * u;
                        if (z) yi += h * Ci[n];
                        gB += g[n][v] * Bi[n];
                        const vec gp = g[n][v] * p;
                        gpA += gp * A[n][v];
                        dA[n][v] += dti * gp;
                        g[n][v] *= decay[j][n][v];
                    }
                    const vec ddti = (xi * gB + LN2 * gpA) * slope[j][v];
                    dD[v] += dyi * xi;
                    dbias[v] += ddti;
                    lanes.put(dx + i * o.dx.token + v * W, dti * gB + D[v] * dyi, first && o.dx.owns(k));
                    lanes.put(ddt + i * o.ddt.token + v * W, ddti, first && o.ddt.owns(k));
                    if (z)  // SiLU'(z) = gate (1 + z (1 - gate))
                        lanes.put(dz + i * o.dz.token + v * W, out * yi * gate * (1.f + zi * (1.f - gate)),
                                  first && o.dz.owns(k));
                }
                for (int m = 0; m < N / M; m++) {
                    dB[t * (N / M) + m] += fold<M>(eB + m * M);
                    dC[t * (N / M) + m] += fold<M>(eC + m * M);
                }
            }
        }
        float* slot = sums + k * (s.N + 2) * s.E + e0;
        for (int v = 0; v < V; v++) {
            for (int n = 0; n < N; n++) lanes.put(slot + (n0 + n) * s.E + v * W, dA[n][v], first_sum);
            if (first) lanes.put(slot + s.N * s.E + v * W, dD[v], first_sum);
            lanes.put(slot + (s.N + 1) * s.E + v * W, dbias[v], first_sum && first);
            if (o.dh0)
                for (int n = 0; n < N; n++)
                    lanes.scatter(o.dh0 + s.row(b, k, e0 + v * W) + n0 + n, s.N, g[n][v]);
        }
    }
};

// Calls f(Pass) for every pass that tile (N from n0) needs over the channels [begin, end).
template <int N, class F>
static void passes(const Inputs& s, const float* A2, i64 b, i64 k, i64 n0, i64 begin, i64 end, F f) {
    constexpr int V = N == 1 ? 4 : N == 4 ? 2 : 1;
    i64 e = begin;
    for (; e + V * W <= end; e += V * W) f(Pass<N, V, false>(s, A2, b, k, n0, e));
    for (; e < end; e += W) f(Pass<N, 1, true>(s, A2, b, k, n0, e));
}

// Calls f(integral constant tile, n0) for the tiles that make up N.
template <class F>
static void tiles(i64 N, F f) {
    i64 n = 0;
    for (; n + 16 <= N; n += 16) f(std::integral_constant<int, 16>(), n);
    for (; n + 8 <= N; n += 8) f(std::integral_constant<int, 8>(), n);
    for (; n + 4 <= N; n += 4) f(std::integral_constant<int, 4>(), n);
    for (; n < N; n++) f(std::integral_constant<int, 1>(), n);
}

// Channels one pass of the widest tile takes: the unit in which work is shared out.
static i64 span_of(i64 N) { return N < 4 ? 4 * W : N < 8 ? 2 * W : W; }

// A as (K, N, E), times log2(e).
static std::vector<float> transposed_A(const Inputs& s) {
    std::vector<float> A2(s.K * s.N * s.E);
    for (i64 k = 0; k < s.K; k++)
        for (i64 e = 0; e < s.E; e++)
            for (i64 n = 0; n < s.N; n++) A2[(k * s.N + n) * s.E + e] = s.A[(k * s.E + e) * s.N + n] * LOG2E;
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
    const i64 span = span_of(s.N), spans = (s.E + span - 1) / span;
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

extern "C" int scan_backward(const Backward* call) {
    const Backward& s = *call;
    if (!valid(s)) return 1;
    const std::vector<float> A2 = transposed_A(s);
    // An item is a group of batches times a group of spans; about 16 to 32 of them whatever the threads.
    const i64 span = span_of(s.N), spans = (s.E + span - 1) / span;
    const i64 batch_groups = std::min<i64>(s.B, 32), wanted = s.B < 16 ? 16 / std::max<i64>(s.B, 1) : 1;
    const i64 per_group = std::max<i64>(1, (spans + wanted - 1) / wanted);
    const i64 groups = (spans + per_group - 1) / per_group;
    const i64 tokens = s.B * s.K * s.L * s.N, params = s.K * (s.N + 2) * s.E;
    std::unique_ptr<float[]> sums(new float[batch_groups * params]), dBC(new float[groups * 2 * tokens]);
#pragma omp parallel num_threads(s.threads) if (s.threads > 1)
    {
        std::vector<vec> dB(s.L * (16 / W)), dC(s.L * (16 / W));  // enough for the widest tile
#pragma omp for schedule(dynamic)
        for (i64 item = 0; item < batch_groups * groups; item++) {
            const i64 bg = item / groups, group = item % groups;
            const i64 begin = group * per_group * span, end = std::min(s.E, begin + per_group * span);
            const i64 b0 = bg * s.B / batch_groups, b1 = (bg + 1) * s.B / batch_groups;
            for (i64 bk = b0 * s.K; bk < b1 * s.K; bk++)
                tiles(s.N, [&](auto tile, i64 n0) {
                    constexpr int N = decltype(tile)::value, M = N < W ? N : W;
                    const i64 b = bk / s.K, k = bk % s.K;
                    std::fill(dB.begin(), dB.begin() + s.L * (N / M), vec{});
                    std::fill(dC.begin(), dC.begin() + s.L * (N / M), vec{});
                    for (i64 e = begin; e < end; e += span)
                        passes<N>(s, A2.data(), b, k, n0, e, std::min(end, e + span), [&](const auto& pass) {
                            pass.backward(s, dB.data(), dC.data(), &sums[bg * params], b == b0);
                        });
                    float* slot = &dBC[group * 2 * tokens + bk * s.L * s.N + n0];
                    for (i64 t = 0; t < s.L; t++)
                        for (int n = 0; n < N; n++) {
                            const i64 at = s.order[k * s.L + t] * s.N + n, from = t * (N / M) + n / M;
                            float sumB = 0, sumC = 0;
                            for (int i = n % M; i < W; i += M) sumB += dB[from][i], sumC += dC[from][i];
                            slot[at] = sumB, slot[at + tokens] = sumC;
                        }
                });
        }
        // The slots, added up in one fixed order.
#pragma omp for
        for (i64 bi = 0; bi < s.B * s.L; bi++)
            for (i64 k = 0; k < s.K; k++) {
                const i64 b = bi / s.L, i = bi % s.L;
                float *toB = s.dBm.at(b, k) + i * s.dBm.token, *toC = s.dCm.at(b, k) + i * s.dCm.token;
                for (i64 n = 0; n < s.N; n++) {
                    float sumB = 0, sumC = 0;
                    for (i64 group = 0; group < groups; group++) {
                        const float* from = &dBC[group * 2 * tokens + ((b * s.K + k) * s.L + i) * s.N + n];
                        sumB += from[0], sumC += from[tokens];
                    }
                    toB[n] = s.dBm.owns(k) ? sumB : toB[n] + sumB;
                    toC[n] = s.dCm.owns(k) ? sumC : toC[n] + sumC;
                }
            }
#pragma omp for
        for (i64 ke = 0; ke < s.K * s.E; ke++)
            for (i64 n = 0; n < s.N + 2; n++) {
                float sum = 0;
                for (i64 bg = 0; bg < batch_groups; bg++)
                    sum += sums[bg * params + (ke / s.E * (s.N + 2) + n) * s.E + ke % s.E];
                if (n < s.N) s.dA[ke * s.N + n] = sum;
                else if (n == s.N && s.dD) s.dD[ke] = sum;
                else if (n > s.N && s.dbias) s.dbias[ke] = sum;
            }
    }
    return 0;
}
