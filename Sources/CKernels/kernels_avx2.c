// AVX2, FMA and F16C: machines since 2013, and the fallback for AVX-512 without VNNI.
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2"))), apply_to = function)
#define CK_TARGET_AVX2 1
#include "vector16.h"

#define CK_NAME(x) x##_avx2
#define CK_ISA CK_AVX2
#define CK_FLOAT_TILE 2
#define CK_ATTENTION_ROWS 4
#define CK_LATENT_POSITIONS 1

#include "matmul_avx2.h"
#include "twins.h"
#pragma clang attribute pop
#endif
