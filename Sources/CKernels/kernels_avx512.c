// AVX-512 with VNNI (Ice Lake, Zen 4 and later).
#if defined(__x86_64__)
#pragma clang attribute push(                                                                                          \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,bmi,bmi2"))),                   \
    apply_to = function)
#define CK_TARGET_AVX512 1
#include "vector16.h"

#define CK_NAME(x) x##_avx512
#define CK_ISA CK_AVX512
#define CK_FLOAT_TILE 6
#define CK_ATTENTION_ROWS 8
#define CK_LATENT_POSITIONS 2

#include "matmul_avx512.h"
#include "twins.h"
#pragma clang attribute pop
#endif
