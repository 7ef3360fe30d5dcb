// The quantised product with AVX-512 VNNI: one register is 16 rows x 4 columns of weights, multiplied by 4 activations
// of one token broadcast from memory.
//
// A tile is one panel x up to CK_TILE tokens: the weights are unpacked once and used by every token of the tile.
//
// One function per token count, so that the accumulators stay in registers. The zero point enters as the start value of
// the integer sum, which saves a fused multiply-add per token. Scales stay f16, exact as in the file.
//
// Measured on one core with inputs that need hardly any refinement: 310-390 Gop/s from 8 tokens on, 300-340 with 4,
// 110-210 with 1 (380-440, 330-380 and 160-210 before refinement was added). Before it, one token streamed 28-29 GB/s
// from memory. Versions tried: prefetch 0, 1, 2, 4 and 8 KiB ahead are equal for one token; for
// 2 to 8 tokens any distance beats none (4-bit 7-20 %, 8-bit up to 28 % at 8 tokens), 4 KiB as good as any.

#define CK_TILE 8
// Far enough ahead to hide main memory when weights are used once; past the last panel it is harmless.
#define CK_AHEAD 4096
#define CK_PREFETCH(address) _mm_prefetch((const char *)(address) + CK_AHEAD, _MM_HINT_T0)
#define CK_UNROLL _Pragma("clang loop unroll(full)")

CK_INLINE __m512i CK_NAME(four)(const ck_act_block *a, size_t group) {
    int32_t q;
    memcpy(&q, a->q + group * 4, 4);
    return _mm512_set1_epi32(q);
}

CK_INLINE void CK_NAME(tile)(const ck_weight_kind kind, const uint8_t *record, size_t blocks, const ck_act_block *first,
                             const size_t tokens, __mmask16 valid, float *out, size_t out_stride, ck_store store) {
    const size_t stride = 2 * blocks;
    const __m512i low = _mm512_set1_epi8(15);
    const size_t record_bytes = kind == CK_Q4_MIN ? 320 : kind == CK_Q4_ZERO ? 288 : kind == CK_Q8_ZERO ? 544 : 640;
    __m512 sum[CK_TILE];
    CK_UNROLL for (size_t t = 0; t < tokens; t++) sum[t] = _mm512_setzero_ps();
    for (size_t b = 0; b < blocks; b++, record += record_bytes, first++) {
        // The refinement of a block is one more round with the same weights, taken when any token of the tile has one;
        // the others add exact zeros, so that a token's result does not depend on its company.
        int32_t refined = 0;
        CK_UNROLL for (size_t t = 0; t < tokens; t++) refined |= first[t * stride].refined;
        const ck_act_block *a = first;
    block:;
        __m512i dot[CK_TILE];
        CK_PREFETCH(record + record_bytes - 32);
        if (kind == CK_Q4_MIN || kind == CK_Q4_ZERO) {
            const __m512 d = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(record + CK_Q4_BYTES)));
            CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                dot[t] = kind == CK_Q4_MIN ? _mm512_setzero_si512() : _mm512_set1_epi32(a[t * stride].neg8_sum);
            }
            CK_UNROLL for (size_t g = 0; g < 4; g++) {
                const __m512i pair = _mm512_loadu_si512(record + g * 64);
                CK_PREFETCH(record + g * 64);
                const __m512i w0 = _mm512_and_si512(pair, low);
                const __m512i w1 = _mm512_and_si512(_mm512_srli_epi16(pair, 4), low);
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    dot[t] = _mm512_dpbusd_epi32(dot[t], w0, CK_NAME(four)(a + t * stride, g));
                }
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    dot[t] = _mm512_dpbusd_epi32(dot[t], w1, CK_NAME(four)(a + t * stride, g + 4));
                }
            }
            CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                const __m512 ds = _mm512_mul_ps(d, _mm512_set1_ps(a[t * stride].scale));
                sum[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t]), ds, sum[t]);
            }
            if (kind == CK_Q4_MIN) {
                const __m512 m = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(record + CK_Q4_BYTES + 32)));
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    sum[t] = _mm512_fmadd_ps(m, _mm512_set1_ps(a[t * stride].scaled_sum), sum[t]);
                }
            }
        } else {
            CK_UNROLL for (size_t half = 0; half < 2; half++) {
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    if (kind == CK_Q8_HALF) {
                        dot[t] = _mm512_set1_epi32(half ? a[t * stride].neg128_high : a[t * stride].neg128_low);
                    } else if (half == 0) {
                        dot[t] = _mm512_set1_epi32(a[t * stride].neg128_sum);
                    }
                }
                CK_UNROLL for (size_t g = half * 4; g < half * 4 + 4; g++) {
                    const __m512i w0 = _mm512_loadu_si512(record + g * 64);
                    CK_PREFETCH(record + g * 64);
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                        dot[t] = _mm512_dpbusd_epi32(dot[t], w0, CK_NAME(four)(a + t * stride, g));
                    }
                }
                if (kind == CK_Q8_HALF) {
                    const __m512 d = _mm512_loadu_ps(record + CK_Q8_BYTES + half * 64);
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                        const __m512 ds = _mm512_mul_ps(d, _mm512_set1_ps(a[t * stride].scale));
                        sum[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t]), ds, sum[t]);
                    }
                }
            }
            if (kind == CK_Q8_ZERO) {
                const __m512 d = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(record + CK_Q8_BYTES)));
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    const __m512 ds = _mm512_mul_ps(d, _mm512_set1_ps(a[t * stride].scale));
                    sum[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t]), ds, sum[t]);
                }
            }
        }
        if (refined) {
            refined = 0;
            a = first + blocks;
            goto block;
        }
    }
    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
        float *target = out + t * out_stride;
        if (store == CK_ACCUMULATE) sum[t] = _mm512_add_ps(_mm512_maskz_loadu_ps(valid, target), sum[t]);
        _mm512_mask_storeu_ps(target, valid, sum[t]);
    }
}

typedef void (*CK_NAME(tile_function))(const uint8_t *, size_t, const ck_act_block *, __mmask16, float *, size_t,
                                       ck_store);

#define CK_ONE_TILE(KIND, N)                                                                                           \
    static __attribute__((noinline)) void CK_NAME(tile_##KIND##_##N)(const uint8_t *record, size_t blocks,             \
                                                                     const ck_act_block *a, __mmask16 valid,           \
                                                                     float *out, size_t out_stride, ck_store store) {  \
        CK_NAME(tile)(KIND, record, blocks, a, N, valid, out, out_stride, store);                                      \
    }
#define CK_TILES(KIND)                                                                                                 \
    CK_ONE_TILE(KIND, 1)                                                                                               \
    CK_ONE_TILE(KIND, 2)                                                                                               \
    CK_ONE_TILE(KIND, 3)                                                                                               \
    CK_ONE_TILE(KIND, 4) CK_ONE_TILE(KIND, 5) CK_ONE_TILE(KIND, 6) CK_ONE_TILE(KIND, 7) CK_ONE_TILE(KIND, 8)
CK_TILES(CK_Q4_MIN)
CK_TILES(CK_Q4_ZERO)
CK_TILES(CK_Q8_ZERO)
CK_TILES(CK_Q8_HALF)

#define CK_TILE_ROW(KIND)                                                                                              \
    {CK_NAME(tile_##KIND##_1), CK_NAME(tile_##KIND##_2), CK_NAME(tile_##KIND##_3), CK_NAME(tile_##KIND##_4),           \
     CK_NAME(tile_##KIND##_5), CK_NAME(tile_##KIND##_6), CK_NAME(tile_##KIND##_7), CK_NAME(tile_##KIND##_8)}
static const CK_NAME(tile_function) CK_NAME(tiles)[4][CK_TILE] = {CK_TILE_ROW(CK_Q4_MIN), CK_TILE_ROW(CK_Q4_ZERO),
                                                                  CK_TILE_ROW(CK_Q8_ZERO), CK_TILE_ROW(CK_Q8_HALF)};

static void CK_NAME(ck_matmul_q)(const ck_matrix *w, size_t panel_begin, size_t panel_end,
                                 const ck_act_block *activations, size_t tokens, float *out, size_t out_stride,
                                 ck_store store) {
    const size_t panel_bytes = w->blocks * ck_record_bytes(w->kind);
    // Panels in groups that stay in the second-level cache while all tokens pass over them.
    const size_t group = panel_bytes > (256 << 10) ? 1 : (256 << 10) / panel_bytes;
    for (size_t first = panel_begin; first < panel_end; first += group) {
        const size_t end = first + group < panel_end ? first + group : panel_end;
        for (size_t t = 0; t < tokens;) {
            // Equal tiles rather than full ones and a small rest: 9 tokens are 5 + 4.
            const size_t tiles = (tokens - t + CK_TILE - 1) / CK_TILE;
            const size_t count = (tokens - t + tiles - 1) / tiles;
            const CK_NAME(tile_function) tile = CK_NAME(tiles)[w->kind][count - 1];
            for (size_t p = first; p < end; p++) {
                const size_t left = w->rows - p * CK_ROWS;
                const __mmask16 valid = left >= CK_ROWS ? 0xffff : (__mmask16)((1u << left) - 1);
                tile(w->panels + p * panel_bytes, w->blocks, activations + t * 2 * w->blocks, valid,
                     out + t * out_stride + p * CK_ROWS, out_stride, store);
            }
            t += count;
        }
    }
}
