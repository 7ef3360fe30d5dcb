// The quantised product with AVX-512 VNNI: one register is 16 rows x 4 columns of weights, multiplied by 4 activations
// of one token broadcast from memory.
//
// A tile is 2 panels x 2 to 4 tokens, or 1 panel x 1 token: the weights are unpacked once for all its tokens, and each
// activation feeds both panels. One function per token count, so that the accumulators stay in registers. The zero
// point enters as the start value of the integer sum, which saves a fused multiply-add per token.
//
// Measured on one core of Zen 5 (at best 1,060 Gop/s of vpdpbusd and 41 GB/s from main memory), in Gop/s; before: 1
// panel x 8 tokens, and the refinement of a block as a second product.
//                                                 Q4_0 Q4_1 Q8_0 Q4_K Q6_K   before: Q4_0 Q4_1 Q8_0 Q6_K
//     4 or more tokens, no block refined           825  750  750  695  585            615  620  550  410
//     14 % of a token's blocks, 35 % of a tile's   625  585  610  540  465            430  425  395  275
//     all blocks refined                           460  430  455  410  340            350  355  330  225
// and Q5_0 740, Q5_1 700, Q5_K 665, Q3_K 575, Q2_K 500 without refinement. One token streams 36-41 GB/s from main
// memory (before: 35-41) and 115-170 GB/s from the caches with 4 and 8 bits, 90-115 with Q6_K.
//
// The limit of a tile is 8 vpdpbusd + multiply + fma (+ fma for a minimum) per block, panel and token on two ports: 848
// Gop/s, 771 with minimums. Versions tried:
// - 1 panel x up to 6 or 8 tokens: 5-16 % slower. For one token 2 panels are slower, 35 GB/s.
// - 2 panels x up to 5 or 6 tokens: up to 10 % faster with Q8_0 and 2 % with 4 bits when nothing is refined; but more
//   tokens share a refined block, and at 14 % refined that costs 3-8 %.
// - A refined block in a second pass that unpacks the weights again: 10-25 % slower than both sums in one. For a lone
//   refined token, a product with the unpacked weights kept (refine_few) is 8-15 % faster where tokens are refined in
//   different blocks, equal where in the same ones; for two or more it is slower. The table's second row is from
//   before.
// - Halved kinds: joining both parts before the token's scale: equal.
// - Prefetch 2, 4, 6, 8, 12, 16 KiB ahead: 4 to 8 are best with one token, 4 with several. Groups of panels of 128 to
//   512 KiB: equal.

#define CK_TILE 4
// Far enough ahead to hide main memory when weights are used once; past the last panel it is harmless.
#define CK_AHEAD 4096
#define CK_GROUP_BYTES ((size_t)256 << 10)
#define CK_PREFETCH(address) _mm_prefetch((const char *)(address) + CK_AHEAD, _MM_HINT_T0)
#define CK_UNROLL _Pragma("clang loop unroll(full)")

CK_INLINE __m512i CK_NAME(four)(const ck_act_block *a, size_t group) {
    int32_t q;
    memcpy(&q, a->q + group * 4, 4);
    return _mm512_set1_epi32(q);
}

/// The bits of `mask` in each byte, after a shift by `left` (negative: to the right).
CK_INLINE __m512i CK_NAME(bits)(const uint8_t *p, const int left, const char mask) {
    __m512i x = _mm512_loadu_si512(p);
    if (left > 0) x = _mm512_slli_epi16(x, (unsigned)left);
    if (left < 0) x = _mm512_srli_epi16(x, (unsigned)-left);
    return _mm512_and_si512(x, _mm512_set1_epi8(mask));
}

/// Group `g` of a block's quants, as bytes.
CK_INLINE __m512i CK_NAME(group)(const ck_weight_kind kind, const uint8_t *quants, const size_t g) {
    const uint8_t *nibbles = quants + g % 4 * 64, *pairs = quants + g / 4 * 64;
    const int nibble = -(int)(g / 4 * 4), pair = -(int)(g % 4 * 2), bit = -(int)g;
    switch (kind) {
    case CK_Q8_0:
        return _mm512_loadu_si512(quants + g * 64);
    case CK_Q5_0:
    case CK_Q5_1:
    case CK_Q5_K:
        return _mm512_or_si512(CK_NAME(bits)(nibbles, nibble, 15), CK_NAME(bits)(quants + CK_NIBBLES, bit + 4, 16));
    case CK_Q6_K:
        return _mm512_or_si512(CK_NAME(bits)(nibbles, nibble, 15), CK_NAME(bits)(pairs + CK_NIBBLES, pair + 4, 48));
    case CK_Q3_K: // times 8
        return _mm512_or_si512(CK_NAME(bits)(pairs, pair + 3, 24), CK_NAME(bits)(quants + CK_PAIRS, bit + 5, 32));
    case CK_Q2_K:
        return CK_NAME(bits)(pairs, pair, 3);
    case CK_IQ4_NL: {
        const __m512i levels = _mm512_broadcast_i32x4(_mm_setr_epi8(CK_IQ4_SIGNED));
        return _mm512_shuffle_epi8(levels, CK_NAME(bits)(nibbles, nibble, 15));
    }
    default:
        return CK_NAME(bits)(nibbles, nibble, 15);
    }
}

CK_INLINE __m512 CK_NAME(halves)(const uint8_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/// Scales of part `part` of block `i` of a record.
CK_INLINE __m512 CK_NAME(scales)(const ck_weight_kind kind, const uint8_t *record, size_t i, const size_t part) {
    const ck_layout layout = ck_layout_of(kind);
    if (layout.blocks == 1) return CK_NAME(halves)(record + layout.block_bytes);
    const uint8_t *codes = record + (layout.minimum ? 2 : 1) * CK_HALVES;
    const __m128i code = _mm_loadu_si128((const __m128i *)(codes + (layout.halved ? i * 2 + part : i) * CK_CODES));
    __m512i s = layout.minimum ? _mm512_cvtepu8_epi32(code) : _mm512_cvtepi8_epi32(code);
    __m512 d = CK_NAME(halves)(record);
    if (kind == CK_Q2_K) s = _mm512_and_si512(s, _mm512_set1_epi32(15));
    if (kind == CK_Q3_K) d = _mm512_mul_ps(d, _mm512_set1_ps(0.125f));
    return _mm512_mul_ps(d, _mm512_cvtepi32_ps(s));
}

/// Their minimums: added in the 32-column kinds, subtracted in the K-quants.
CK_INLINE __m512 CK_NAME(minimums)(const ck_weight_kind kind, const uint8_t *record, size_t i, const size_t part) {
    const ck_layout layout = ck_layout_of(kind);
    if (layout.blocks == 1) return CK_NAME(halves)(record + layout.block_bytes + CK_HALVES);
    const uint8_t *codes = record + 2 * CK_HALVES;
    const size_t index = layout.halved ? i * 2 + part : CK_SUPERBLOCK_BLOCKS + i;
    __m512i n = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(codes + index * CK_CODES)));
    if (kind == CK_Q2_K) n = _mm512_srli_epi32(n, 4);
    return _mm512_mul_ps(CK_NAME(halves)(record + CK_HALVES), _mm512_cvtepi32_ps(n));
}

/// The start of one part's sums, dot[panel][token]; `a` is token 0's block.
CK_INLINE void CK_NAME(start_dots)(const ck_weight_kind kind, const ck_act_block *a, size_t stride, const size_t panels,
                                   const size_t tokens, const size_t part, __m512i dot[2][CK_TILE]) {
    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
        const __m512i start = _mm512_set1_epi32(ck_zero_sum(kind, a + t * stride, part));
        CK_UNROLL for (size_t p = 0; p < panels; p++) dot[p][t] = start;
    }
}

/// Adds the products of one part's groups with token blocks `a` to `dot` and, if given, with `b` to `rest`; keeps the
/// unpacked weights if `kept` is given. `quants[p]` are those of a block of panel p.
CK_INLINE void CK_NAME(add_dots)(const ck_weight_kind kind, const uint8_t *const quants[2], const ck_act_block *a,
                                 const ck_act_block *b, size_t stride, const size_t panels, const size_t tokens,
                                 const size_t part, __m512i dot[2][CK_TILE], __m512i rest[2][CK_TILE],
                                 __m512i (*kept)[2]) {
    const ck_layout layout = ck_layout_of(kind);
    CK_UNROLL for (size_t g = part * 4; g < (layout.halved ? part * 4 + 4 : 8); g++) {
        __m512i w[2];
        CK_UNROLL for (size_t p = 0; p < panels; p++) {
            w[p] = CK_NAME(group)(kind, quants[p], g);
            if (kept != NULL) kept[g][p] = w[p];
            if (g * 64 < layout.block_bytes) CK_PREFETCH(quants[p] + g * 64);
        }
        CK_UNROLL for (size_t t = 0; t < tokens; t++) {
            const __m512i x = CK_NAME(four)(a + t * stride, g);
            CK_UNROLL for (size_t p = 0; p < panels; p++) dot[p][t] = _mm512_dpbusd_epi32(dot[p][t], w[p], x);
            if (rest == NULL) continue;
            const __m512i y = CK_NAME(four)(b + t * stride, g);
            CK_UNROLL for (size_t p = 0; p < panels; p++) rest[p][t] = _mm512_dpbusd_epi32(rest[p][t], w[p], y);
        }
    }
}

/// dot = 256 dot + the products of the refinements `r` of the tokens in `refined`, with the weights that `add_dots`
/// kept.
CK_INLINE void CK_NAME(refine_few)(const ck_weight_kind kind, const __m512i (*kept)[2], const ck_act_block *r,
                                   size_t stride, const size_t panels, const size_t tokens, uint32_t refined,
                                   __m512i dot[2][CK_TILE]) {
    // By way of memory, because the index of a token is not a constant; masked additions are up to 15 % slower.
    __m512i rest[CK_TILE][2];
    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
        CK_UNROLL for (size_t p = 0; p < panels; p++) rest[t][p] = _mm512_setzero_si512();
    }
    for (; refined != 0; refined &= refined - 1) {
        const size_t t = (size_t)__builtin_ctz(refined);
        // Two chains of sums for each panel, because little else is at hand to hide their latency.
        __m512i sum[2][2];
        CK_UNROLL for (size_t p = 0; p < panels; p++) {
            sum[0][p] = _mm512_set1_epi32(ck_zero_sum(kind, r + t * stride, 0));
            sum[1][p] = _mm512_setzero_si512();
        }
        CK_UNROLL for (size_t g = 0; g < 8; g++) {
            const __m512i x = CK_NAME(four)(r + t * stride, g);
            CK_UNROLL for (size_t p = 0; p < panels; p++) {
                sum[g % 2][p] = _mm512_dpbusd_epi32(sum[g % 2][p], kept[g][p], x);
            }
        }
        CK_UNROLL for (size_t p = 0; p < panels; p++) rest[t][p] = _mm512_add_epi32(sum[0][p], sum[1][p]);
    }
    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
        CK_UNROLL for (size_t p = 0; p < panels; p++) {
            dot[p][t] = _mm512_add_epi32(_mm512_slli_epi32(dot[p][t], 8), rest[t][p]);
        }
    }
}

/// `panels` panels for `tokens` tokens (constants after inlining). Bit 16 p + r of `valid`: row r of panel p is stored.
CK_INLINE void CK_NAME(tile)(const ck_weight_kind kind, const size_t panels, const size_t tokens, const uint8_t *panel0,
                             const uint8_t *panel1, size_t blocks, const ck_act_block *a, uint32_t valid, float *out,
                             size_t out_stride, ck_store store) {
    const ck_layout layout = ck_layout_of(kind);
    const size_t stride = 2 * blocks;
    __m512 sum[2][CK_TILE];
    const uint8_t *record[2] = {panel0, panel1};
    CK_UNROLL for (size_t p = 0; p < panels; p++) {
        CK_UNROLL for (size_t t = 0; t < tokens; t++) sum[p][t] = _mm512_setzero_ps();
    }
    for (size_t b = 0; b < blocks; b += layout.blocks) {
        for (size_t i = 0; i < layout.blocks; i++, a++) {
            // Bit t: token t's block has a refinement. Then all tokens of the tile are summed in its finer steps.
            uint32_t refined = 0;
            CK_UNROLL for (size_t t = 0; t < tokens; t++) refined |= (uint32_t)a[t * stride].refined << t;
            const uint8_t *quants[2];
            CK_UNROLL for (size_t p = 0; p < panels; p++) {
                quants[p] = record[p] + layout.header + i * layout.block_bytes;
                if (layout.trailer > 0) CK_PREFETCH(quants[p] + layout.block_bytes + layout.trailer - 32);
            }
            CK_UNROLL for (size_t part = 0; part < (layout.halved ? 2 : 1); part++) {
                __m512i dot[2][CK_TILE];
                __m512 d[2];
                CK_NAME(start_dots)(kind, a, stride, panels, tokens, part, dot);
                const ck_act_block *r = a + blocks;
                // A single refined token takes a product of its own; of two or more the sums of all tokens are made at
                // once, where the others add exact zeros.
                if (refined == 0) {
                    CK_NAME(add_dots)(kind, quants, a, NULL, stride, panels, tokens, part, dot, NULL, NULL);
                } else if (!layout.halved && tokens > 2 && (refined & (refined - 1)) == 0) {
                    __m512i kept[8][2];
                    CK_NAME(add_dots)(kind, quants, a, NULL, stride, panels, tokens, part, dot, NULL, kept);
                    CK_NAME(refine_few)(kind, kept, r, stride, panels, tokens, refined, dot);
                } else {
                    __m512i rest[2][CK_TILE];
                    CK_NAME(start_dots)(kind, r, stride, panels, tokens, part, rest);
                    CK_NAME(add_dots)(kind, quants, a, r, stride, panels, tokens, part, dot, rest, NULL);
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                        CK_UNROLL for (size_t p = 0; p < panels; p++) {
                            dot[p][t] = _mm512_add_epi32(_mm512_slli_epi32(dot[p][t], 8), rest[p][t]);
                        }
                    }
                }
                CK_UNROLL for (size_t p = 0; p < panels; p++) {
                    d[p] = CK_NAME(scales)(kind, record[p], i, part);
                    if (refined != 0) d[p] = _mm512_mul_ps(d[p], _mm512_set1_ps(0x1p-8f));
                }
                CK_UNROLL for (size_t p = 0; p < panels; p++) {
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                        const __m512 ds = _mm512_mul_ps(d[p], _mm512_set1_ps(a[t * stride].scale));
                        sum[p][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[p][t]), ds, sum[p][t]);
                    }
                }
                if (!layout.minimum) continue;
                __m512 m[2];
                CK_UNROLL for (size_t p = 0; p < panels; p++) {
                    m[p] = CK_NAME(minimums)(kind, record[p], i, part);
                }
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    const ck_act_block *x = a + t * stride;
                    const float scaled_sum = ck_scaled_sum(layout.halved, x, refined ? x + blocks : NULL, part);
                    const __m512 token_sum = _mm512_set1_ps(scaled_sum);
                    CK_UNROLL for (size_t p = 0; p < panels; p++) {
                        sum[p][t] = layout.blocks == 1 ? _mm512_fmadd_ps(m[p], token_sum, sum[p][t])
                                                       : _mm512_fnmadd_ps(m[p], token_sum, sum[p][t]);
                    }
                }
            }
        }
        CK_UNROLL for (size_t p = 0; p < panels; p++) record[p] += ck_layout_bytes(layout);
    }
    CK_UNROLL for (size_t p = 0; p < panels; p++) {
        const __mmask16 rows = (__mmask16)(valid >> (16 * p));
        CK_UNROLL for (size_t t = 0; t < tokens; t++) {
            float *target = out + t * out_stride + p * CK_ROWS;
            if (store == CK_ACCUMULATE) sum[p][t] = _mm512_add_ps(_mm512_maskz_loadu_ps(rows, target), sum[p][t]);
            _mm512_mask_storeu_ps(target, rows, sum[p][t]);
        }
    }
}

typedef void (*CK_NAME(tile_function))(const uint8_t *, const uint8_t *, size_t, const ck_act_block *, uint32_t,
                                       float *, size_t, ck_store);

#define CK_ONE_TILE(KIND, PANELS, N)                                                                                   \
    static __attribute__((noinline)) void CK_NAME(tile_##KIND##_##N)(                                                  \
        const uint8_t *panel0, const uint8_t *panel1, size_t blocks, const ck_act_block *a, uint32_t valid,            \
        float *out, size_t out_stride, ck_store store) {                                                               \
        CK_NAME(tile)(KIND, PANELS, N, panel0, panel1, blocks, a, valid, out, out_stride, store);                      \
    }
#define CK_TILES(KIND) CK_ONE_TILE(KIND, 1, 1) CK_ONE_TILE(KIND, 2, 2) CK_ONE_TILE(KIND, 2, 3) CK_ONE_TILE(KIND, 2, 4)
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
    // An even number of panels at a time that stay in the second-level cache while all tokens pass over them.
    const size_t pairs = CK_GROUP_BYTES / (2 * panel_bytes), group = pairs > 1 ? 2 * pairs : 2;
    for (size_t first = panel_begin; first < panel_end; first += group) {
        const size_t end = first + group < panel_end ? first + group : panel_end;
        for (size_t t = 0; t < tokens;) {
            // Equal tiles rather than full ones and a small rest: 9 tokens are 5 + 4.
            const size_t tiles = (tokens - t + CK_TILE - 1) / CK_TILE;
            const size_t count = (tokens - t + tiles - 1) / tiles;
            const CK_NAME(tile_function) tile = CK_NAME(tiles)[w->kind][count - 1];
            const ck_act_block *a = activations + t * 2 * w->blocks;
            for (size_t p = first; p < end;) {
                const size_t panels = count > 1 && p + 1 < end ? 2 : 1, row = p * CK_ROWS;
                const size_t rows = w->rows - row < panels * CK_ROWS ? w->rows - row : panels * CK_ROWS;
                const uint8_t *panel0 = w->panels + p * panel_bytes;
                // The last of an odd number keeps itself company, unstored.
                const uint8_t *panel1 = panels == 2 ? panel0 + panel_bytes : panel0;
                tile(panel0, panel1, w->blocks, a, (uint32_t)((1ull << rows) - 1), out + t * out_stride + row,
                     out_stride, store);
                p += panels;
            }
            t += count;
        }
    }
}
