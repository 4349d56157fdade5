// K causal depthwise convolutions of the same tokens, each along its own traversal, with SiLU.
//
// For batch b, direction k and channel e, with x_t the token that step t visits (t itself, or
// L - 1 - t when the direction is reversed) and T taps w, the last of them the token itself:
//
//     a_t = bias + sum_j w_j x_{t - (T - 1 - j)}        y_t = SiLU(a_t), or a_t
//
// and backward, with d_t = dL/da_t:
//
//     dx_s = sum_j w_j d_{s + (T - 1 - j)}              dw_j = sum_t d_t x_{t - (T - 1 - j)}
//
// A window of T - 1 tokens and the unfinished dx stay in registers while the steps go by; the lanes
// of a vector are channels. The backward computes a_t again, so nothing is kept between the two.

#include <algorithm>
#include <memory>

#include "lanes.h"

// The fields in the order in which cpp_conv.py lists them.
struct Conv {
    i64 K, B, L, E, T, silu, threads;
    const i64* reverse;          // (K)
    View x, y;                   // (B, L, E) and (K, B, L, E); y is dy in the backward
    const float *weight, *bias;  // (K, E, T), (K, E)
};

struct ConvBackward : Conv {
    View dx;
    float *dweight, *dbias;
};

// Direction k over V vectors of channels from e0.
template <int T, int V, bool Rest>
struct ConvPass {
    const Conv& s;
    const i64 b, k, e0;
    const Lanes<Rest> lanes;
    vec w[T][V], bias[V];

    ConvPass(const Conv& s, i64 b, i64 k, i64 e0)
        : s(s), b(b), k(k), e0(e0), lanes{int(std::min<i64>(W, s.E - e0))} {
        for (int v = 0; v < V; v++) {
            const i64 row = k * s.E + e0 + v * W;
            for (int j = 0; j < T; j++) w[j][v] = lanes.gather(s.weight + row * T + j, T);
            bias[v] = lanes.load(s.bias + row);
        }
    }

    i64 token(i64 t) const { return s.reverse[k] ? s.L - 1 - t : t; }
    float* row(const View& view, i64 t, int v) const {
        return view.at(b, k) + token(t) * view.token + e0 + v * W;
    }
    // Rows lie too far apart for the hardware to see them coming.
    i64 later(i64 t) const { return std::min(s.L - 1, t + 8); }

    // a_t; the window moves on.
    vec preactivation(vec (&past)[T][V], vec x, int v) const {
        vec a = bias[v];
        past[T - 1][v] = x;
        for (int j = 0; j < T; j++) a += w[j][v] * past[j][v];
        return a;
    }
    static void shift(vec (&values)[T][V], int v) {
        for (int j = 1; j < T; j++) values[j - 1][v] = values[j][v];
    }

    void forward() const {
        vec past[T][V] = {};
        for (i64 t = 0; t < s.L; t++)
            for (int v = 0; v < V; v++) {
                __builtin_prefetch(row(s.x, later(t), v));
                const vec a = preactivation(past, lanes.load(row(s.x, t, v)), v);
                lanes.store(row(s.y, t, v), s.silu ? silu(a) : a);
                shift(past, v);
            }
    }

    // `fresh`: the first batch that writes to these rows of dweight and dbias.
    void backward(const View& dx, float* dweight, float* dbias, bool fresh) const {
        vec past[T][V] = {}, open[T][V] = {}, dw[T][V] = {}, db[V] = {};
        for (i64 t = 0; t < s.L + T - 1; t++) {
            for (int v = 0; v < V; v++) {
                if (t < s.L) {
                    for (const View* from : {&s.x, &s.y})
                        __builtin_prefetch(row(*from, later(t), v));
                    const vec a = preactivation(past, lanes.load(row(s.x, t, v)), v);
                    vec d = lanes.load(row(s.y, t, v));
                    if (s.silu) d *= silu_slope(a);
                    for (int j = 0; j < T; j++) {
                        dw[j][v] += d * past[j][v];
                        open[j][v] += d * w[j][v];
                    }
                    db[v] += d;
                    shift(past, v);
                }
                if (t >= T - 1) lanes.put(row(dx, t - (T - 1), v), open[0][v], k == 0);
                shift(open, v);
                open[T - 1][v] = vec{};
            }
        }
        for (int v = 0; v < V; v++) {
            const i64 at = k * s.E + e0 + v * W;
            for (int j = 0; j < T; j++) lanes.put(dweight + j * s.K * s.E + at, dw[j][v], fresh);
            lanes.put(dbias + at, db[v], fresh);
        }
    }
};

constexpr int WIDE = 2;  // vectors of a pass

// Calls f(pass) for the passes over the channels of [e, e + WIDE W), in all directions.
template <int T, class F>
static void conv_passes(const Conv& s, i64 b, i64 e, F f) {
    for (i64 k = 0; k < s.K; k++) {
        if (e + WIDE * W <= s.E) f(ConvPass<T, WIDE, false>(s, b, k, e));
        else
            for (i64 rest = e; rest < s.E; rest += W) f(ConvPass<T, 1, true>(s, b, k, rest));
    }
}

template <int T>
static void conv_forward_taps(const Conv& s) {
    const i64 spans = (s.E + WIDE * W - 1) / (WIDE * W);
#pragma omp parallel for num_threads(s.threads) schedule(dynamic) if (s.threads > 1)
    for (i64 item = 0; item < s.B * spans; item++)
        conv_passes<T>(s, item / spans, item % spans * WIDE * W,
                       [](const auto& pass) { pass.forward(); });
}

template <int T>
static void conv_backward_taps(const ConvBackward& s) {
    // Sums over the batch go to slots that depend on the shapes alone, never on the threads.
    const i64 spans = (s.E + WIDE * W - 1) / (WIDE * W), groups = std::min<i64>(s.B, 32);
    const i64 KE = s.K * s.E;
    const std::unique_ptr<float[]> slots(new float[groups * (T + 1) * KE]);
#pragma omp parallel num_threads(s.threads) if (s.threads > 1)
    {
#pragma omp for schedule(dynamic)
        for (i64 item = 0; item < groups * spans; item++) {
            const i64 group = item / spans, first = group * s.B / groups;
            float* slot = &slots[group * (T + 1) * KE];
            for (i64 b = first; b < (group + 1) * s.B / groups; b++)
                conv_passes<T>(s, b, item % spans * WIDE * W, [&](const auto& pass) {
                    pass.backward(s.dx, slot, slot + T * KE, b == first);
                });
        }
#pragma omp for
        for (i64 ke = 0; ke < KE; ke++)
            for (int j = 0; j <= T; j++) {
                float sum = 0;
                for (i64 group = 0; group < groups; group++)
                    sum += slots[(group * (T + 1) + j) * KE + ke];
                if (j < T) s.dweight[ke * T + j] = sum;
                else s.dbias[ke] = sum;
            }
    }
}

// Both return 0, or 1 for a number of taps that no template knows.
extern "C" int conv_forward(const Conv* s) {
    switch (s->T) {
        case 2: conv_forward_taps<2>(*s); return 0;
        case 3: conv_forward_taps<3>(*s); return 0;
        case 4: conv_forward_taps<4>(*s); return 0;
        default: return 1;
    }
}

extern "C" int conv_backward(const ConvBackward* s) {
    switch (s->T) {
        case 2: conv_backward_taps<2>(*s); return 0;
        case 3: conv_backward_taps<3>(*s); return 0;
        case 4: conv_backward_taps<4>(*s); return 0;
        default: return 1;
    }
}
