// The quantised product with AVX2: one register is 8 rows x 4 columns, so a panel is done in two halves.
//
// vpmaddubsw adds pairs of u8 x s8 products in 16 bits with saturation at 32,767, so only as many groups are summed
// there as their largest weight allows (2 * weight * 127 each): all 8 of a block for nibbles (30,480), 4 for 5 bits
// (31,496) and 2 bits, 2 for 6 bits (32,004). 8-bit weights could reach it in one, therefore their signed value w = q -
// 128 is split: |w| <= 128 times the activation with w's sign, 2 * 128 * 127 = 32,512.

#define CK_TILE 4
#define CK_UNROLL _Pragma("clang loop unroll(full)")

CK_INLINE __m256i CK_NAME(four)(const ck_act_block *a, size_t group) {
    int32_t q;
    memcpy(&q, a->q + group * 4, 4);
    return _mm256_set1_epi32(q);
}

CK_INLINE __m256 CK_NAME(halves)(const uint8_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/// The bits of `mask` in each byte, after a shift by `left` (negative: to the right).
CK_INLINE __m256i CK_NAME(bits)(const uint8_t *p, const int left, const char mask) {
    __m256i x = _mm256_loadu_si256((const __m256i *)p);
    if (left > 0) x = _mm256_slli_epi16(x, left);
    if (left < 0) x = _mm256_srli_epi16(x, -left);
    return _mm256_and_si256(x, _mm256_set1_epi8(mask));
}

/// Group `g` of a block's quants, as bytes. `quants` is already offset to the half's rows.
CK_INLINE __m256i CK_NAME(group)(const ck_weight_kind kind, const uint8_t *quants, const size_t g) {
    const uint8_t *nibbles = quants + g % 4 * 64, *pairs = quants + g / 4 * 64;
    const int nibble = -(int)(g / 4 * 4), pair = -(int)(g % 4 * 2), bit = -(int)g;
    switch (kind) {
    case CK_Q8_0:
        return _mm256_loadu_si256((const __m256i *)(quants + g * 64));
    case CK_Q5_0:
    case CK_Q5_1:
    case CK_Q5_K:
        return _mm256_or_si256(CK_NAME(bits)(nibbles, nibble, 15), CK_NAME(bits)(quants + CK_NIBBLES, bit + 4, 16));
    case CK_Q6_K:
        return _mm256_or_si256(CK_NAME(bits)(nibbles, nibble, 15), CK_NAME(bits)(pairs + CK_NIBBLES, pair + 4, 48));
    case CK_Q3_K: // times 8
        return _mm256_or_si256(CK_NAME(bits)(pairs, pair + 3, 24), CK_NAME(bits)(quants + CK_PAIRS, bit + 5, 32));
    case CK_Q2_K:
        return CK_NAME(bits)(pairs, pair, 3);
    case CK_IQ4_NL: {
        const __m256i levels = _mm256_broadcastsi128_si256(_mm_setr_epi8(CK_IQ4_SIGNED));
        return _mm256_shuffle_epi8(levels, CK_NAME(bits)(nibbles, nibble, 15));
    }
    default:
        return CK_NAME(bits)(nibbles, nibble, 15);
    }
}

/// Whether weights may take all of a byte.
CK_INLINE bool CK_NAME(wide)(const ck_weight_kind kind) {
    return kind == CK_Q8_0 || kind == CK_IQ4_NL;
}

/// The start of a sum: nothing for wide weights, which are made signed.
CK_INLINE __m256i CK_NAME(start)(const ck_weight_kind kind, const ck_act_block *a, const size_t part) {
    return _mm256_set1_epi32(CK_NAME(wide)(kind) ? 0 : ck_zero_sum(kind, a, part));
}

/// Scales of part `part` of block `i` of a record, rows 8 * half..<8 * half + 8.
CK_INLINE __m256 CK_NAME(scales)(const ck_weight_kind kind, const uint8_t *record, size_t i, const size_t part,
                                 size_t half) {
    const ck_layout layout = ck_layout_of(kind);
    if (layout.blocks == 1) return CK_NAME(halves)(record + layout.block_bytes + half * 16);
    const uint8_t *codes = record + (layout.minimum ? 2 : 1) * CK_HALVES + half * 8;
    const __m128i code = _mm_loadl_epi64((const __m128i *)(codes + (layout.halved ? i * 2 + part : i) * CK_CODES));
    __m256i s = layout.minimum ? _mm256_cvtepu8_epi32(code) : _mm256_cvtepi8_epi32(code);
    __m256 d = CK_NAME(halves)(record + half * 16);
    if (kind == CK_Q2_K) s = _mm256_and_si256(s, _mm256_set1_epi32(15));
    if (kind == CK_Q3_K) d = _mm256_mul_ps(d, _mm256_set1_ps(0.125f));
    return _mm256_mul_ps(d, _mm256_cvtepi32_ps(s));
}

/// Their minimums, to be subtracted.
CK_INLINE __m256 CK_NAME(minimums)(const ck_weight_kind kind, const uint8_t *record, size_t i, const size_t part,
                                   size_t half) {
    const ck_layout layout = ck_layout_of(kind);
    if (layout.blocks == 1) {
        const __m256 m = CK_NAME(halves)(record + layout.block_bytes + CK_HALVES + half * 16);
        return _mm256_xor_ps(m, _mm256_set1_ps(-0.0f));
    }
    const uint8_t *codes = record + 2 * CK_HALVES + half * 8;
    const size_t index = layout.halved ? i * 2 + part : CK_SUPERBLOCK_BLOCKS + i;
    __m256i n = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(codes + index * CK_CODES)));
    if (kind == CK_Q2_K) n = _mm256_srli_epi32(n, 4);
    return _mm256_mul_ps(CK_NAME(halves)(record + CK_HALVES + half * 16), _mm256_cvtepi32_ps(n));
}

/// Adds the products of one part's groups to dot[token]; `a` is token 0's block.
CK_INLINE void CK_NAME(dots)(const ck_weight_kind kind, const uint8_t *quants, const ck_act_block *a, size_t stride,
                             const size_t tokens, const size_t part, __m256i dot[CK_TILE]) {
    const __m256i ones = _mm256_set1_epi16(1), offset = _mm256_set1_epi8(-128);
    const bool halved = ck_layout_of(kind).halved;
    const bool nibbles = kind == CK_Q4_0 || kind == CK_Q4_1 || kind == CK_Q4_K;
    const bool wide = CK_NAME(wide)(kind);
    const size_t run = nibbles ? 8 : wide ? 1 : kind == CK_Q3_K || kind == CK_Q6_K ? 2 : 4;
    __m256i sum[CK_TILE];
    CK_UNROLL for (size_t g = part * 4; g < (halved ? part * 4 + 4 : 8); g++) {
        const __m256i w = CK_NAME(group)(kind, quants, g), value = _mm256_xor_si256(w, offset);
        const __m256i magnitude = wide ? _mm256_abs_epi8(value) : w;
        CK_UNROLL for (size_t t = 0; t < tokens; t++) {
            __m256i x = CK_NAME(four)(a + t * stride, g);
            if (wide) x = _mm256_sign_epi8(x, value);
            const __m256i product = _mm256_maddubs_epi16(magnitude, x);
            sum[t] = g % run == 0 ? product : _mm256_add_epi16(sum[t], product);
            if (g % run == run - 1) dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(sum[t], ones));
        }
    }
}

/// Rows 8 * half..<8 * half + 8 of one panel for `tokens` tokens (constants after inlining).
CK_INLINE void CK_NAME(tile)(const ck_weight_kind kind, const uint8_t *record, size_t blocks, size_t half,
                             const ck_act_block *a, const size_t tokens, size_t valid, float *out, size_t out_stride,
                             ck_store store) {
    const ck_layout layout = ck_layout_of(kind);
    const size_t stride = 2 * blocks;
    __m256 sum[CK_TILE];
    CK_UNROLL for (size_t t = 0; t < tokens; t++) sum[t] = _mm256_setzero_ps();
    for (size_t b = 0; b < blocks; b += layout.blocks, record += ck_layout_bytes(layout)) {
        for (size_t i = 0; i < layout.blocks; i++, a++) {
            // As in the AVX-512 twin: refined when any token of the tile has a refinement.
            int32_t refined = 0;
            CK_UNROLL for (size_t t = 0; t < tokens; t++) refined |= a[t * stride].refined;
            const uint8_t *quants = record + layout.header + i * layout.block_bytes + half * 32;
            CK_UNROLL for (size_t part = 0; part < (layout.halved ? 2 : 1); part++) {
                __m256i dot[CK_TILE];
                __m256 factor = _mm256_set1_ps(1.0f);
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    dot[t] = CK_NAME(start)(kind, a + t * stride, part);
                }
                CK_NAME(dots)(kind, quants, a, stride, tokens, part, dot);
                if (refined) {
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                        const __m256i start = CK_NAME(start)(kind, a + t * stride + blocks, part);
                        dot[t] = _mm256_add_epi32(_mm256_slli_epi32(dot[t], 8), start);
                    }
                    CK_NAME(dots)(kind, quants, a + blocks, stride, tokens, part, dot);
                    factor = _mm256_set1_ps(0x1p-8f);
                }
                const __m256 d = _mm256_mul_ps(CK_NAME(scales)(kind, record, i, part, half), factor);
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    const __m256 ds = _mm256_mul_ps(d, _mm256_set1_ps(a[t * stride].scale));
                    sum[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[t]), ds, sum[t]);
                }
                if (!layout.minimum) continue;
                const __m256 m = CK_NAME(minimums)(kind, record, i, part, half);
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    const ck_act_block *x = a + t * stride;
                    const float token_sum = ck_scaled_sum(layout.halved, x, refined ? x + blocks : NULL, part);
                    sum[t] = _mm256_fnmadd_ps(m, _mm256_set1_ps(token_sum), sum[t]);
                }
            }
        }
    }
    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
        float *target = out + t * out_stride;
        float lanes[8];
        if (store == CK_ACCUMULATE) {
            for (size_t i = 0; i < 8; i++) lanes[i] = i < valid ? target[i] : 0;
            sum[t] = _mm256_add_ps(_mm256_loadu_ps(lanes), sum[t]);
        }
        if (valid == 8) {
            _mm256_storeu_ps(target, sum[t]);
        } else {
            _mm256_storeu_ps(lanes, sum[t]);
            for (size_t i = 0; i < valid; i++) target[i] = lanes[i];
        }
    }
}

typedef void (*CK_NAME(tile_function))(const uint8_t *, size_t, size_t, const ck_act_block *, size_t, float *, size_t,
                                       ck_store);

#define CK_ONE_TILE(KIND, N)                                                                                           \
    static __attribute__((noinline)) void CK_NAME(tile_##KIND##_##N)(const uint8_t *record, size_t blocks,             \
                                                                     size_t half, const ck_act_block *a, size_t valid, \
                                                                     float *out, size_t out_stride, ck_store store) {  \
        CK_NAME(tile)(KIND, record, blocks, half, a, N, valid, out, out_stride, store);                                \
    }
#define CK_TILES(KIND) CK_ONE_TILE(KIND, 1) CK_ONE_TILE(KIND, 2) CK_ONE_TILE(KIND, 3) CK_ONE_TILE(KIND, 4)
CK_TILES(CK_Q4_0)
CK_TILES(CK_Q4_1)
CK_TILES(CK_Q5_0)
CK_TILES(CK_Q5_1)
CK_TILES(CK_Q8_0)
CK_TILES(CK_Q2_K)
CK_TILES(CK_Q3_K)
CK_TILES(CK_Q4_K)
CK_TILES(CK_Q5_K)
CK_TILES(CK_Q6_K)
CK_TILES(CK_IQ4_NL)

#define CK_TILE_ROW(KIND)                                                                                              \
    [KIND] = {CK_NAME(tile_##KIND##_1), CK_NAME(tile_##KIND##_2), CK_NAME(tile_##KIND##_3), CK_NAME(tile_##KIND##_4)}
static const CK_NAME(tile_function) CK_NAME(tiles)[CK_F32][CK_TILE] = {
    CK_TILE_ROW(CK_Q4_0), CK_TILE_ROW(CK_Q4_1), CK_TILE_ROW(CK_Q5_0),  CK_TILE_ROW(CK_Q5_1),
    CK_TILE_ROW(CK_Q8_0), CK_TILE_ROW(CK_Q2_K), CK_TILE_ROW(CK_Q3_K),  CK_TILE_ROW(CK_Q4_K),
    CK_TILE_ROW(CK_Q5_K), CK_TILE_ROW(CK_Q6_K), CK_TILE_ROW(CK_IQ4_NL)};

static void CK_NAME(ck_matmul_q)(const ck_matrix *w, size_t panel_begin, size_t panel_end,
                                 const ck_act_block *activations, size_t tokens, float *out, size_t out_stride,
                                 ck_store store) {
    const size_t panel_bytes = ck_panel_bytes(w->kind, w->blocks);
    for (size_t p = panel_begin; p < panel_end; p++) {
        for (size_t half = 0; half < 2; half++) {
            const size_t row = p * CK_ROWS + half * 8;
            if (row >= w->rows) break;
            const size_t valid = w->rows - row < 8 ? w->rows - row : 8;
            for (size_t t = 0; t < tokens;) {
                const size_t tiles = (tokens - t + CK_TILE - 1) / CK_TILE;
                const size_t count = (tokens - t + tiles - 1) / tiles;
                CK_NAME(tiles)
                [w->kind][count - 1](w->panels + p * panel_bytes, w->blocks, half, activations + t * 2 * w->blocks,
                                     valid, out + t * out_stride + row, out_stride, store);
                t += count;
            }
        }
    }
}
