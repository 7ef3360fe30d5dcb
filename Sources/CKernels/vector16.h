// Sixteen floats at once, written with compiler vectors so that one source gives every twin the same arithmetic.
//
// The including file sets the target (pragma clang attribute) and one of CK_TARGET_AVX512, CK_TARGET_AVX2 or neither.
// On targets without a 512-bit register the compiler splits a vector; lanes never mix, so results are the same bits.
#ifndef CK_VECTOR16_H
#define CK_VECTOR16_H

#if defined(CK_TARGET_AVX512) || defined(CK_TARGET_AVX2)
#include <immintrin.h>
#endif

#include "records.h"

// Every function that passes vectors is inlined, so no vector ever crosses a call.
#pragma clang diagnostic ignored "-Wpsabi"

#define CK_INLINE static inline __attribute__((always_inline))

typedef float v16 __attribute__((vector_size(64)));
typedef float v16_unaligned __attribute__((vector_size(64), aligned(4)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef int32_t v4i __attribute__((vector_size(16)));

CK_INLINE v16 v16_load(const float *p) {
    return *(const v16_unaligned *)p;
}
CK_INLINE void v16_store(float *p, v16 x) {
    *(v16_unaligned *)p = x;
}
CK_INLINE v16 v16_splat(float x) {
    return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}
CK_INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
    return __builtin_elementwise_fma(a, b, c);
}

/// mask lanes are all ones or all zeros.
CK_INLINE v16 v16_select(v16i mask, v16 yes, v16 no) {
    return (v16)((mask & (v16i)yes) | (~mask & (v16i)no));
}
CK_INLINE v16 v16_max(v16 a, v16 b) {
    return v16_select(a > b, a, b);
}

/// First `n` (below 16) values, the rest `fill`.
CK_INLINE v16 v16_load_part(const float *p, size_t n, float fill) {
    float lanes[16];
    for (size_t i = 0; i < 16; i++) lanes[i] = i < n ? p[i] : fill;
    return v16_load(lanes);
}
CK_INLINE void v16_store_part(float *p, size_t n, v16 x) {
    float lanes[16];
    v16_store(lanes, x);
    for (size_t i = 0; i < n; i++) p[i] = lanes[i];
}

/// The fixed tree: halves are added until one value is left.
CK_INLINE float v16_sum(v16 x) {
    const v8 a = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                 __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    const v4 b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    const float c0 = b[0] + b[2], c1 = b[1] + b[3];
    return c0 + c1;
}
/// The sums of 16 vectors, that of x[i] in lane i, each added as v16_sum does.
CK_INLINE v16 v16_sums(const float x[16][16]) {
    v16 a[8], b[4];
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 8; i++) {
        const v16 p = v16_load(x[2 * i]), q = v16_load(x[2 * i + 1]);
        a[i] = __builtin_shufflevector(p, q, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(p, q, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) {
        const v16 p = a[2 * i], q = a[2 * i + 1];
        b[i] = __builtin_shufflevector(p, q, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
               __builtin_shufflevector(p, q, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 2; i++) {
        const v16 p = b[2 * i], q = b[2 * i + 1];
        a[i] = __builtin_shufflevector(p, q, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
               __builtin_shufflevector(p, q, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
    }
    return __builtin_shufflevector(a[0], a[1], 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           __builtin_shufflevector(a[0], a[1], 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
CK_INLINE float v16_max_lane(v16 x) {
    const v8 a0 = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7);
    const v8 a1 = __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    const v8i ma = a0 > a1;
    const v8 a = (v8)((ma & (v8i)a0) | (~ma & (v8i)a1));
    const v4 b0 = __builtin_shufflevector(a, a, 0, 1, 2, 3), b1 = __builtin_shufflevector(a, a, 4, 5, 6, 7);
    const v4i mb = b0 > b1;
    const v4 b = (v4)((mb & (v4i)b0) | (~mb & (v4i)b1));
    const float c0 = b[0] > b[2] ? b[0] : b[2], c1 = b[1] > b[3] ? b[1] : b[3];
    return c0 > c1 ? c0 : c1;
}

/// exp(x): 2^n * p(r) with r = x - n ln 2 and a polynomial of degree 7; relative error below 2e-7, exp(0) exactly 1,
/// 0 below -87.33 and exp(88) above 88.
CK_INLINE v16 v16_exp(v16 x) {
    const v16 magic = v16_splat(12582912.0f); // 1.5 * 2^23: adding it rounds to an integer, nearest even
    const v16i tiny = x < v16_splat(-87.33f);
    x = v16_select(x > v16_splat(88.0f), v16_splat(88.0f), x);
    const v16 shifted = v16_fma(x, v16_splat(1.44269504088896341f), magic);
    const v16 n = shifted - magic;
    v16 r = v16_fma(n, v16_splat(-0.693359375f), x);
    r = v16_fma(n, v16_splat(2.12194440e-4f), r);
    v16 p = v16_splat(1.9875691500e-4f);
    p = v16_fma(p, r, v16_splat(1.3981999507e-3f));
    p = v16_fma(p, r, v16_splat(8.3334519073e-3f));
    p = v16_fma(p, r, v16_splat(4.1665795894e-2f));
    p = v16_fma(p, r, v16_splat(1.6666665459e-1f));
    p = v16_fma(p, r, v16_splat(5.0000001201e-1f));
    p = v16_fma(p, r * r, r) + v16_splat(1.0f);
    const v16u power = ((v16u)shifted - (v16u)magic + 127u) << 23;
    return v16_select(tiny, v16_splat(0.0f), p * (v16)power);
}

CK_INLINE v16 v16_load_half(const uint16_t *p) {
#if defined(CK_TARGET_AVX512)
    return (v16)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif defined(CK_TARGET_AVX2)
    const v8 low = (v8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
    const v8 high = (v8)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)));
    return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__aarch64__)
    typedef _Float16 half16 __attribute__((vector_size(32), aligned(2)));
    return __builtin_convertvector(*(const half16 *)p, v16);
#else
    float lanes[16];
    for (int i = 0; i < 16; i++) lanes[i] = ck_half_to_float(p[i]);
    return v16_load(lanes);
#endif
}

typedef uint16_t u16x16 __attribute__((vector_size(32)));

/// The values of 16 f16 in a register.
CK_INLINE v16 v16_from_half(u16x16 x) {
#if defined(CK_TARGET_AVX512)
    return (v16)_mm512_cvtph_ps((__m256i)x);
#else
    uint16_t halves[16] __attribute__((aligned(32)));
    *(u16x16 *)halves = x;
    return v16_load_half(halves);
#endif
}

CK_INLINE void v16_store_half(uint16_t *p, v16 x) {
#if defined(CK_TARGET_AVX512)
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT));
#elif defined(CK_TARGET_AVX2)
    const v8 low = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7);
    const v8 high = __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph((__m256)low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph((__m256)high, _MM_FROUND_TO_NEAREST_INT));
#else
    float lanes[16];
    v16_store(lanes, x);
    for (int i = 0; i < 16; i++) p[i] = ck_float_to_half(lanes[i]);
#endif
}

/// A bf16 is the upper half of an f32.
CK_INLINE v16 v16_load_bfloat(const uint16_t *p) {
    typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(2)));
    return (v16)(__builtin_convertvector(*(const u16x16 *)p, v16u) << 16);
}

#endif
