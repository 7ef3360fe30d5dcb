// Probes of what a core can do at best, to hold measured kernels against: how fast it reads memory, and how many int8
// products it adds up in the way of each twin's matmul_q when nothing has to be loaded, unpacked or scaled.
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "CKernels.h"
#include "vector16.h"

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double ck_probe_read_bytes_per_second(const void *memory, size_t bytes) {
    typedef uint32_t line __attribute__((vector_size(64), aligned(1)));
    const size_t step = 4 * sizeof(line);
    const uint8_t *p = memory, *end = p + bytes / step * step;
    v16u sum[4] = {{0}};
    const double start = seconds_now();
    for (; p < end; p += step) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < 4; i++) {
            // As far ahead as the AVX-512 product does; past the end it is harmless.
            __builtin_prefetch((const void *)((uintptr_t)p + 4096 + i * sizeof(line)));
            sum[i] += *(const line *)(p + i * sizeof(line));
        }
    }
    const v16u total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    volatile uint32_t used = total[0];
    for (int i = 1; i < 16; i++) used += total[i];
    const double elapsed = seconds_now() - start;
    return elapsed > 0 ? (double)(bytes / step * step) / elapsed : 0;
}

/// Products in one call of a round function.
enum { ROUND_PRODUCTS = 1 << 20 };

/// Keeps the compiler from doing a round's work ahead or not at all.
#define USE(x) __asm__ volatile("" ::"r"(&(x)) : "memory")

static void round_generic(void) {
    uint8_t w[CK_ROWS][CK_BLOCK];
    int8_t x[CK_BLOCK];
    int32_t sum[CK_ROWS] = {0};
    memset(w, 3, sizeof w);
    memset(x, 5, sizeof x);
    for (size_t n = 0; n < ROUND_PRODUCTS; n += sizeof w) {
        USE(w);
        USE(x);
        for (size_t r = 0; r < CK_ROWS; r++) {
            for (size_t i = 0; i < CK_BLOCK; i++) sum[r] += w[r][i] * x[i];
        }
    }
    USE(sum);
}

#if defined(__x86_64__)
/// 8 groups of nibbles summed in 16 bits, then widened, for 4 tokens.
__attribute__((target("avx2"))) static void round_avx2(void) {
    __m256i w = _mm256_set1_epi8(3), x[4], sum[4];
    for (int t = 0; t < 4; t++) {
        x[t] = _mm256_set1_epi8((char)(t + 1));
        sum[t] = _mm256_setzero_si256();
    }
    for (size_t n = 0; n < ROUND_PRODUCTS; n += 8 * 4 * 32) {
        __m256i part[4];
#pragma clang loop unroll(full)
        for (int g = 0; g < 8; g++) {
            __asm__ volatile("" : "+x"(w));
#pragma clang loop unroll(full)
            for (int t = 0; t < 4; t++) {
                const __m256i product = _mm256_maddubs_epi16(w, x[t]);
                part[t] = g == 0 ? product : _mm256_add_epi16(part[t], product);
            }
        }
#pragma clang loop unroll(full)
        for (int t = 0; t < 4; t++) {
            sum[t] = _mm256_add_epi32(sum[t], _mm256_madd_epi16(part[t], _mm256_set1_epi16(1)));
        }
    }
    USE(sum);
}

/// One weight register for 16 accumulators at a time.
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void round_avx512(void) {
    __m512i w = _mm512_set1_epi8(3), x = _mm512_set1_epi8(5), sum[16];
    for (int t = 0; t < 16; t++) sum[t] = _mm512_setzero_si512();
    for (size_t n = 0; n < ROUND_PRODUCTS; n += 16 * 64) {
#pragma clang loop unroll(full)
        for (int t = 0; t < 16; t++) sum[t] = _mm512_dpbusd_epi32(sum[t], w, x);
    }
    USE(sum);
}
#endif

double ck_probe_int8_ops_per_second(ck_isa isa, double seconds) {
    if (ck_kernels_for(isa) == NULL) return 0;
    void (*round)(void) = round_generic;
#if defined(__x86_64__)
    if (isa == CK_AVX2) round = round_avx2;
    if (isa == CK_AVX512) round = round_avx512;
#endif
    double rounds = 0, elapsed = 0;
    const double start = seconds_now();
    do {
        round();
        rounds++;
        elapsed = seconds_now() - start;
    } while (elapsed < seconds);
    return elapsed > 0 ? 2.0 * ROUND_PRODUCTS * rounds / elapsed : 0;
}
