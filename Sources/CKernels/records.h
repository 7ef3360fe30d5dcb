// Block records of packed panels, and half-precision conversions in plain C.
#ifndef CK_RECORDS_H
#define CK_RECORDS_H

#include <string.h>

#include "CKernels.h"

#pragma STDC FP_CONTRACT OFF

enum {
    CK_ROWS = 16,  // rows of a panel
    CK_BLOCK = 32, // columns of a record
    CK_Q4_BYTES = CK_ROWS * CK_BLOCK / 2,
    CK_Q8_BYTES = CK_ROWS * CK_BLOCK,
};

static inline float ck_bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t ck_float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float ck_half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    if (magnitude >= 0x7c00u << 13) { // infinity, NaN (made quiet as the hardware does)
        const uint32_t quiet = (magnitude & 0x7fffff) ? 0x400000 : 0;
        return ck_bits_to_float(sign | magnitude | 0x7f800000 | quiet);
    }
    // The exponent bias differs by 112; the product is exact for normal and subnormal halves alike.
    const float value = ck_bits_to_float(magnitude) * 0x1p112f;
    return ck_bits_to_float(ck_float_to_bits(value) | sign);
}

static inline uint16_t ck_float_to_half(float value) {
    const uint32_t bits = ck_float_to_bits(value);
    const uint16_t sign = (uint16_t)((bits >> 16) & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | ((magnitude >> 13) & 0x1ff));
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); // rounds to 65536 or is infinite
    if (magnitude < 0x38800000) {
        // Subnormal halves: adding 0.5 puts the rounding at bit 0 of the sum.
        const float sum = ck_bits_to_float(magnitude) + 0.5f;
        return (uint16_t)(sign | (ck_float_to_bits(sum) - 0x3f000000));
    }
    const uint32_t odd = (magnitude >> 13) & 1;
    return (uint16_t)(sign | ((magnitude - 0x38000000 + 0xfff + odd) >> 13));
}

static inline uint16_t ck_load_u16(const void *p) {
    uint16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

#endif
