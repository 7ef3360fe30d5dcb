// Block records of packed panels, and half-precision conversions in plain C.
#ifndef CK_RECORDS_H
#define CK_RECORDS_H

#include <stdbool.h>
#include <string.h>

#include "CKernels.h"

#pragma STDC FP_CONTRACT OFF

// Bytes of the pieces that records are made of; CKernels.h draws them.
enum {
    CK_ROWS = 16,        // rows of a panel
    CK_BLOCK = 32,       // columns of a block
    CK_BYTES = 512,      // 8 bits for each weight of a block
    CK_NIBBLES = 256,    // 4 bits
    CK_PAIRS = 128,      // 2 bits
    CK_PLANE = 64,       // 1 bit
    CK_HALVES = 32,      // an f16 for each row
    CK_CODES = CK_ROWS,  // an 8-bit scale for each row
    CK_SUPERBLOCK = 256, // columns of a K-quant's record
    CK_SUPERBLOCK_BLOCKS = CK_SUPERBLOCK / CK_BLOCK,
};

/// The values that the nibbles of IQ4_NL stand for, plus 128.
#define CK_IQ4_LEVELS 1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241

/// The same bytes as signed ones, for intrinsics.
#define CK_IQ4_SIGNED 1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15

/// How a kind's weights, bytes of 0...255, become numbers: weight = scale * (q - zero) - minimum.
typedef struct ck_layout {
    size_t blocks;      ///< blocks in one record
    size_t header;      ///< bytes before the first block
    size_t block_bytes; ///< bytes from one block to the next: its quants
    size_t trailer;     ///< bytes after the last block
    bool halved;        ///< columns 0..<16 and 16..<32 of a block have scales of their own
    bool minimum;       ///< has a minimum instead of a zero point
} ck_layout;

/// The layout of a quantised kind; folds to constants where the kind is one.
static inline __attribute__((always_inline)) ck_layout ck_layout_of(ck_weight_kind kind) {
    const size_t super = CK_SUPERBLOCK_BLOCKS, super_codes = CK_SUPERBLOCK_BLOCKS * 2 * CK_CODES;
    switch (kind) {
    case CK_Q4_0:
    case CK_IQ4_NL:
        return (ck_layout){1, 0, CK_NIBBLES, CK_HALVES, false, false};
    case CK_Q4_1:
        return (ck_layout){1, 0, CK_NIBBLES, 2 * CK_HALVES, false, true};
    case CK_Q5_0:
        return (ck_layout){1, 0, CK_NIBBLES + CK_PLANE, CK_HALVES, false, false};
    case CK_Q5_1:
        return (ck_layout){1, 0, CK_NIBBLES + CK_PLANE, 2 * CK_HALVES, false, true};
    case CK_Q8_0:
        return (ck_layout){1, 0, CK_BYTES, CK_HALVES, false, false};
    case CK_Q2_K:
        return (ck_layout){super, 2 * CK_HALVES + super_codes, CK_PAIRS, 0, true, true};
    case CK_Q3_K:
        return (ck_layout){super, CK_HALVES + super_codes, CK_PAIRS + CK_PLANE, 0, true, false};
    case CK_Q4_K:
        return (ck_layout){super, 2 * CK_HALVES + super_codes, CK_NIBBLES, 0, false, true};
    case CK_Q5_K:
        return (ck_layout){super, 2 * CK_HALVES + super_codes, CK_NIBBLES + CK_PLANE, 0, false, true};
    case CK_Q6_K:
        return (ck_layout){super, CK_HALVES + super_codes, CK_NIBBLES + CK_PAIRS, 0, true, false};
    default:
        return (ck_layout){1, 0, 0, 0, false, false};
    }
}

static inline __attribute__((always_inline)) size_t ck_layout_bytes(ck_layout layout) {
    return layout.header + layout.blocks * layout.block_bytes + layout.trailer;
}

/// What the zero point of a kind adds to the integer sum of part `part` (0 unless halved): -zero * sum(a).
static inline __attribute__((always_inline)) int32_t ck_zero_sum(ck_weight_kind kind, const ck_act_block *a,
                                                                 size_t part) {
    switch (kind) {
    case CK_Q4_0:
        return a->neg8_sum;
    case CK_Q5_0:
        return a->neg16_sum;
    case CK_Q8_0:
    case CK_IQ4_NL:
        return a->neg128_sum;
    case CK_Q3_K:
    case CK_Q6_K:
        return part == 0 ? a->neg32_low : a->neg32_high;
    default:
        return 0;
    }
}

/// scale * sum(a) of part `part`, the factor of a minimum. Per 16 columns only one kind needs it, and it is made from
/// what the others have. `refinement` may be all zeros; then NULL gives the same bits.
static inline __attribute__((always_inline)) float ck_scaled_sum(bool halved, const ck_act_block *a,
                                                                 const ck_act_block *refinement, size_t part) {
    if (!halved) return a->scaled_sum;
    const int32_t sum = part == 0 ? a->neg32_low : a->neg32_high;
    if (refinement == NULL) return (float)sum * (a->scale * -0x1p-5f);
    return (float)(sum * 256 + (part == 0 ? refinement->neg32_low : refinement->neg32_high)) * (a->scale * -0x1p-13f);
}

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
