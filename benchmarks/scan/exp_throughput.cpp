// How many exps a second? For the benchmarks: what no scan on this machine can beat.

#include "lanes.h"

// Takes exp2 of `count` numbers (a multiple of 4 W) that stay in the first cache, `repeats` times
// on each thread; the sums go to `sink` (threads, W), so that nothing is optimized away.
extern "C" int exp_throughput(const float* numbers, i64 count, i64 repeats, i64 threads,
                              float* sink) {
#pragma omp parallel for num_threads(threads)
    for (i64 thread = 0; thread < threads; thread++) {
        vec sum[4] = {};
        for (i64 repeat = 0; repeat < repeats; repeat++) {
            asm volatile("" ::: "memory");
            for (i64 i = 0; i < count; i += 4 * W)
                for (int j = 0; j < 4; j++)
                    sum[j] += exp2(*(const loose_vec*)(numbers + i + j * W));
        }
        *(loose_vec*)(sink + thread * W) = sum[0] + sum[1] + sum[2] + sum[3];
    }
    return 0;
}
