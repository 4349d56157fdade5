// Views of tensors, and vectors of W neighboring channels: memory, elementary functions, sums.
// GCC's vector extensions make one source serve AVX512, AVX2, NEON and plain C++.

#pragma once

#include <cstdint>
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

// A (B, K, L, features) tensor of last stride 1; direction = 0 where all K share one slice.
struct View {
    float* data;
    i64 batch, direction, token;
    float* at(i64 b, i64 k) const { return data + b * batch + k * direction; }
    bool first(i64 k) const { return direction || k == 0; }  // does direction k write here first?
};

// W channels; the last ones may be beyond E when `Rest`.
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

// 2^x = 2^n 2^f, and 2^f = 1 + f q(f) by a minimax q. The exact 1 matters: an error in decays close
// to 1 would add up over thousands of steps.
#ifdef __AVX512F__
// n is a multiple of 1/16, its fraction looked up; with |f| <= 1/32 a parabola is enough (2e-9).
static inline vec exp2(vec x) {
    const vec table = {1.f,         1.04427378f, 1.09050773f, 1.13878863f, 1.18920712f, 1.24185781f,
                       1.29683955f, 1.35425555f, 1.41421354f, 1.47682619f, 1.54221082f, 1.61049032f,
                       1.68179283f, 1.75625217f, 1.83400810f, 1.91520655f};
    const vec shifted = x + 786432.f;  // 1.5 2^19: the sum's lowest four bits are n's fraction
    const vec n = shifted - 786432.f, f = x - n;
    const vec root = (vec)_mm512_permutexvar_ps((__m512i)shifted, (__m512)table);
    const vec q = (f * 5.55024818e-2f + 2.40233555e-1f) * f + 6.93147182e-1f;
    return (vec)_mm512_scalef_ps((__m512)(root + root * (f * q)), (__m512)n);
}
#else
// n is an integer, |f| <= 1/2 and q of degree 5 (2e-9).
static inline vec exp2(vec x) {
    x = x < -126.f ? splat(-126.f) : x > 127.f ? splat(127.f) : x;
    const vec shifted = x + 12582912.f;  // 1.5 2^23: the sum holds round(x) in its lowest bits
    const vec f = x - (shifted - 12582912.f);
    vec q = f * 1.53536006e-4f + 1.33988512e-3f;
    q = q * f + 9.61843599e-3f;
    q = q * f + 5.55033237e-2f;
    q = q * f + 2.40226477e-1f;
    q = q * f + 6.93147182e-1f;
    return (vec)((ivec)(q * f + 1.f) + ((ivec)shifted << 23));
}
#endif

constexpr float LOG2E = 1.44269504f, LN2 = 0.693147181f;

static inline vec sigmoid(vec x) { return 1.f / (1.f + exp2(x * -LOG2E)); }

static inline vec silu(vec x) { return x * sigmoid(x); }

static inline vec silu_slope(vec x) {
    const vec s = sigmoid(x);
    return s * (1.f + x * (1.f - s));
}

// softplus(x) = max(x, 0) + log1p(u) with u = exp(-|x|), and log1p(u) = 2 atanh(s) with
// s = u / (2 + u) <= 1/3, which keeps the relative error small where softplus is small.
// slope: its derivative, the sigmoid.
static inline vec softplus(vec x, vec& slope) {
    const vec u = exp2((x < 0.f ? x : -x) * LOG2E);
    const vec s = u / (2.f + u), s2 = s * s;
    vec p = s2 * 0.244136531f + 0.213932559f;
    p = p * s2 + 0.286207229f;
    p = p * s2 + 0.399986923f;
    p = p * s2 + 0.666666806f;
    p = p * s2 + 2.f;
    slope = (x < 0.f ? u : splat(1.f)) / (1.f + u);
    return (x < 0.f ? splat(0.f) : x) + s * p;
}

// Lane i of a or, where bit S of i is set, of b; Swap: the lane whose bit S is flipped instead.
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

// Sums the lanes of M vectors (a power of two, at most W): lane i gets a share of number i mod M.
template <int M>
static inline vec fold(const vec* v) {
    if constexpr (M == 1) {
        return v[0];
    } else {
        const vec a = fold<M / 2>(v), b = fold<M / 2>(v + M / 2);
        return mix<M / 2, false>(a, b) + mix<M / 2, true>(a, b);
    }
}

// Finishes the sums: lane i of folded vector r holds a share of number r M + i mod M.
template <int M, int R>
static inline void unfold(const vec* v, float* to) {
    for (int r = 0; r < R; r++)
        for (int m = 0; m < M; m++) {
            float sum = 0;
            for (int i = m; i < W; i += M) sum += v[r][i];
            to[r * M + m] = sum;
        }
}
