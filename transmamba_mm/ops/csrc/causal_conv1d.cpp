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

// Direction k, the W channels from e0.
template <int T, bool Rest>
struct ConvPass {
    const Conv& s;
    const i64 k, e0;
    const Lanes<Rest> lanes;
    vec w[T], bias;

    ConvPass(const Conv& s, i64 k, i64 e0)
        : s(s), k(k), e0(e0), lanes{int(std::min<i64>(W, s.E - e0))} {
        for (int j = 0; j < T; j++) w[j] = lanes.gather(s.weight + (k * s.E + e0) * T + j, T);
        bias = lanes.load(s.bias + k * s.E + e0);
    }

    float* row(const View& view, i64 b, i64 t) const {
        return view.at(b, k) + (s.reverse[k] ? s.L - 1 - t : t) * view.token + e0;
    }
    // Rows are too far apart for the hardware prefetcher.
    i64 later(i64 t) const { return std::min(s.L - 1, t + 8); }

    // a_t from x_t and the window before it.
    vec preactivation(vec (&past)[T], vec x) const {
        vec a = bias;
        past[T - 1] = x;
        for (int j = 0; j < T; j++) a += w[j] * past[j];
        return a;
    }
    static void shift(vec (&values)[T]) {
        for (int j = 1; j < T; j++) values[j - 1] = values[j];
    }

    void forward(i64 b) const {
        vec past[T] = {};
        for (i64 t = 0; t < s.L; t++) {
            __builtin_prefetch(row(s.x, b, later(t)));
            const vec a = preactivation(past, lanes.load(row(s.x, b, t)));
            lanes.store(row(s.y, b, t), s.silu ? silu(a) : a);
            shift(past);
        }
    }

    // Adds to dw and db.
    void backward(const View& dx, i64 b, vec (&dw)[T], vec& db) const {
        vec past[T] = {}, open[T] = {};  // dx_s is open until step s + T - 1
        for (i64 t = 0; t < s.L + T - 1; t++) {
            if (t < s.L) {
                for (const View* from : {&s.x, &s.y}) __builtin_prefetch(row(*from, b, later(t)));
                const vec a = preactivation(past, lanes.load(row(s.x, b, t)));
                vec d = lanes.load(row(s.y, b, t));
                if (s.silu) d *= silu_slope(a);
                for (int j = 0; j < T; j++) {
                    dw[j] += d * past[j];
                    open[j] += d * w[j];
                }
                db += d;
                shift(past);
            }
            if (t >= T - 1) lanes.put(row(dx, b, t - (T - 1)), open[0], k == 0);
            shift(open);
            open[T - 1] = vec{};
        }
    }
};

// Calls f(pass) for each direction over the channels from e.
template <int T, class F>
static void conv_passes(const Conv& s, i64 e, F f) {
    for (i64 k = 0; k < s.K; k++) {
        if (e + W <= s.E) f(ConvPass<T, false>(s, k, e));
        else f(ConvPass<T, true>(s, k, e));
    }
}

// Items of work are a group of batches times W channels, whatever the number of threads.
static i64 conv_groups(const Conv& s) { return std::min<i64>(s.B, 16); }
static i64 conv_spans(const Conv& s) { return (s.E + W - 1) / W; }

template <int T>
static void conv_forward_taps(const Conv& s) {
    const i64 groups = conv_groups(s), spans = conv_spans(s);
#pragma omp parallel for num_threads(s.threads) schedule(dynamic) if (s.threads > 1)
    for (i64 item = 0; item < groups * spans; item++) {
        const i64 group = item / spans;
        conv_passes<T>(s, item % spans * W, [&](const auto& pass) {
            for (i64 b = group * s.B / groups; b < (group + 1) * s.B / groups; b++) pass.forward(b);
        });
    }
}

template <int T>
static void conv_backward_taps(const ConvBackward& s) {
    // Sums over the batch go to slots, (groups, T + 1, K E), and are added up in one fixed order.
    const i64 groups = conv_groups(s), spans = conv_spans(s), KE = s.K * s.E;
    const std::unique_ptr<float[]> slots(new float[groups * (T + 1) * KE]);
#pragma omp parallel num_threads(s.threads) if (s.threads > 1)
    {
#pragma omp for schedule(dynamic)
        for (i64 item = 0; item < groups * spans; item++) {
            const i64 group = item / spans;
            conv_passes<T>(s, item % spans * W, [&](const auto& pass) {
                vec dw[T] = {}, db = {};
                for (i64 b = group * s.B / groups; b < (group + 1) * s.B / groups; b++)
                    pass.backward(s.dx, b, dw, db);
                float* slot = &slots[group * (T + 1) * KE] + pass.k * s.E + pass.e0;
                for (int j = 0; j < T; j++) pass.lanes.store(slot + j * KE, dw[j]);
                pass.lanes.store(slot + T * KE, db);
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

// Both return 0, or 1 for a number of taps without a template.
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
