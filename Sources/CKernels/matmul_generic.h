// The quantised product in plain C: the definition the SIMD twins are held to, bit by bit.
//
// A part is a block of 32 columns, or each 16 of it where the kind has scales per 16. Per row, part and token:
//   dot = sum of (q - zero) * a, an exact int32; of a refined token 256 times that, plus the same sum over the
//   refinement sum = fma((float)dot, scale * token scale, sum)         both scales divided by 256 for a refined token
//   sum = fma(-minimum, token scale * token sum, sum)       for the kinds with minimums
// Weight scales are exact in f32 (f16 times at most 8 bits). Dividing by 256 is exact as well, so that a token without
// refinement may be computed either way: its result does not depend on its company in a tile.

/// One block of a panel, unpacked.
typedef struct CK_NAME(block) {
    uint8_t q[CK_ROWS][CK_BLOCK];
    float scale[2][CK_ROWS];
    float minimum[2][CK_ROWS];
} CK_NAME(block);

/// The bits of `mask` in the 4 bytes of group `g` and row `r`, after a shift to the right.
static uint32_t CK_NAME(bits)(const uint8_t *piece, size_t g, size_t r, size_t shift, uint32_t mask) {
    uint32_t four;
    memcpy(&four, piece + g * 64 + r * 4, sizeof four);
    return four >> shift & mask * 0x01010101u;
}

/// The 4 weights of group `g` and row `r`, a byte each.
static uint32_t CK_NAME(four)(ck_weight_kind kind, const uint8_t *quants, size_t g, size_t r) {
    const size_t pair = g % 4 * 2;
    switch (kind) {
    case CK_Q8_0:
        return CK_NAME(bits)(quants, g, r, 0, 255);
    case CK_Q2_K:
        return CK_NAME(bits)(quants, g / 4, r, pair, 3);
    case CK_Q3_K: // times 8, which makes its zero point that of Q6_K
        return CK_NAME(bits)(quants, g / 4, r, pair, 3) << 3 | CK_NAME(bits)(quants + CK_PAIRS, 0, r, g, 1) << 5;
    default:
        break;
    }
    uint32_t nibbles = CK_NAME(bits)(quants, g % 4, r, g / 4 * 4, 15);
    if (kind == CK_IQ4_NL) {
        static const uint8_t levels[16] = {CK_IQ4_LEVELS};
        uint8_t four[4];
        memcpy(four, &nibbles, sizeof four);
        for (size_t i = 0; i < 4; i++) four[i] = levels[four[i]];
        memcpy(&nibbles, four, sizeof nibbles);
        return nibbles;
    }
    quants += CK_NIBBLES;
    switch (kind) {
    case CK_Q5_0:
    case CK_Q5_1:
    case CK_Q5_K:
        return nibbles | CK_NAME(bits)(quants, 0, r, g, 1) << 4;
    case CK_Q6_K:
        return nibbles | CK_NAME(bits)(quants, g / 4, r, pair, 3) << 4;
    default:
        return nibbles;
    }
}

static float CK_NAME(half)(const uint8_t *halves, size_t row) {
    return ck_half_to_float(ck_load_u16(halves + row * 2));
}

/// Block `i` of a record.
static void CK_NAME(read_block)(ck_weight_kind kind, const uint8_t *record, size_t i, CK_NAME(block) * block) {
    const ck_layout layout = ck_layout_of(kind);
    const uint8_t *quants = record + layout.header + i * layout.block_bytes;
    const uint8_t *trailer = quants + layout.block_bytes;
    const uint8_t *codes = record + (layout.minimum ? 2 : 1) * CK_HALVES;
    for (size_t r = 0; r < CK_ROWS; r++) {
        for (size_t g = 0; g < 8; g++) {
            const uint32_t four = CK_NAME(four)(kind, quants, g, r);
            memcpy(block->q[r] + g * 4, &four, sizeof four);
        }
    }
    for (size_t part = 0; part < (layout.halved ? 2 : 1); part++) {
        for (size_t r = 0; r < CK_ROWS; r++) {
            float scale = 0, minimum = 0;
            const uint8_t code = layout.halved ? codes[(i * 2 + part) * CK_CODES + r] : codes[i * CK_CODES + r];
            switch (kind) {
            case CK_Q4_1:
            case CK_Q5_1:
                minimum = -CK_NAME(half)(trailer + CK_HALVES, r);
                scale = CK_NAME(half)(trailer, r);
                break;
            case CK_Q4_0:
            case CK_Q5_0:
            case CK_Q8_0:
            case CK_IQ4_NL:
                scale = CK_NAME(half)(trailer, r);
                break;
            case CK_Q4_K:
            case CK_Q5_K:
                scale = CK_NAME(half)(record, r) * (float)code;
                minimum =
                    CK_NAME(half)(record + CK_HALVES, r) * (float)codes[(CK_SUPERBLOCK_BLOCKS + i) * CK_CODES + r];
                break;
            case CK_Q6_K:
                scale = CK_NAME(half)(record, r) * (float)(int8_t)code;
                break;
            case CK_Q3_K:
                scale = CK_NAME(half)(record, r) * 0.125f * (float)(int8_t)code;
                break;
            case CK_Q2_K:
                scale = CK_NAME(half)(record, r) * (float)(code & 15);
                minimum = CK_NAME(half)(record + CK_HALVES, r) * (float)(code >> 4);
                break;
            default:
                break;
            }
            block->scale[part][r] = scale;
            block->minimum[part][r] = minimum;
        }
    }
}

/// The products of `count` columns of a row with one token's.
static int32_t CK_NAME(dot)(const uint8_t *q, const int8_t *a, size_t count) {
    int32_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += q[i] * a[i];
    return sum;
}

/// Adds one block of one token to the sums of 16 rows; `refinement` is NULL when it has none.
static void CK_NAME(add_block)(ck_weight_kind kind, const CK_NAME(block) * block, const ck_act_block *a,
                               const ck_act_block *refinement, float sum[CK_ROWS]) {
    const ck_layout layout = ck_layout_of(kind);
    const float token_scale = refinement == NULL ? a->scale : a->scale * 0x1p-8f;
    for (size_t part = 0; part < (layout.halved ? 2 : 1); part++) {
        const size_t first = part * 16, count = layout.halved ? 16 : CK_BLOCK;
        const float token_sum = layout.minimum ? ck_scaled_sum(layout.halved, a, refinement, part) : 0;
        for (size_t r = 0; r < CK_ROWS; r++) {
            const uint8_t *q = block->q[r] + first;
            int32_t dot = ck_zero_sum(kind, a, part) + CK_NAME(dot)(q, a->q + first, count);
            if (refinement != NULL) {
                dot = dot * 256 + ck_zero_sum(kind, refinement, part);
                dot += CK_NAME(dot)(q, refinement->q + first, count);
            }
            sum[r] = __builtin_fmaf((float)dot, block->scale[part][r] * token_scale, sum[r]);
            if (layout.minimum) sum[r] = __builtin_fmaf(-block->minimum[part][r], token_sum, sum[r]);
        }
    }
}

#define CK_TILE 16

static void CK_NAME(ck_matmul_q)(const ck_matrix *w, size_t panel_begin, size_t panel_end,
                                 const ck_act_block *activations, size_t tokens, float *out, size_t out_stride,
                                 ck_store store) {
    const ck_layout layout = ck_layout_of(w->kind);
    const size_t stride = 2 * w->blocks;
    CK_NAME(block) block;
    for (size_t p = panel_begin; p < panel_end; p++) {
        const uint8_t *panel = w->panels + p * ck_panel_bytes(w->kind, w->blocks);
        const size_t valid = w->rows - p * CK_ROWS < CK_ROWS ? w->rows - p * CK_ROWS : CK_ROWS;
        for (size_t first = 0; first < tokens; first += CK_TILE) {
            const size_t count = tokens - first < CK_TILE ? tokens - first : CK_TILE;
            float sum[CK_TILE][CK_ROWS] = {{0}};
            for (size_t b = 0; b < w->blocks; b++) {
                CK_NAME(read_block)
                (w->kind, panel + b / layout.blocks * ck_layout_bytes(layout), b % layout.blocks, &block);
                for (size_t t = 0; t < count; t++) {
                    const ck_act_block *a = activations + (first + t) * stride + b;
                    const ck_act_block *refinement = a->refined ? a + w->blocks : NULL;
                    CK_NAME(add_block)(w->kind, &block, a, refinement, sum[t]);
                }
            }
            for (size_t t = 0; t < count; t++) {
                float *target = out + (first + t) * out_stride + p * CK_ROWS;
                for (size_t r = 0; r < valid; r++) {
                    target[r] = store == CK_ACCUMULATE ? target[r] + sum[t][r] : sum[t][r];
                }
            }
        }
    }
}
