// The quantised product with AVX2: one register is 8 rows x 4 columns, so a panel is done in two halves.
//
// vpmaddubsw adds pairs of u8 x s8 products in 16 bits with saturation. Nibbles cannot reach it: 8 groups of
// 2 * 15 * 127 are 30,480, so a whole block is summed in 16 bits. 8-bit weights could (2 * 255 * 127), therefore their
// signed value w = q - 128 is split: |w| <= 128 times the activation with w's sign, 2 * 128 * 127 = 32,512.

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

/// Rows 8 * half..<8 * half + 8 of one panel for `tokens` tokens (constants after inlining).
CK_INLINE void CK_NAME(tile)(const ck_weight_kind kind, const uint8_t *record, size_t blocks, size_t half,
                             const ck_act_block *first, const size_t tokens, size_t valid, float *out,
                             size_t out_stride, ck_store store) {
    const size_t record_bytes = kind == CK_Q4_MIN ? 320 : kind == CK_Q4_ZERO ? 288 : kind == CK_Q8_ZERO ? 544 : 640;
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1), offset = _mm256_set1_epi8(-128);
    __m256 sum[CK_TILE];
    CK_UNROLL for (size_t t = 0; t < tokens; t++) sum[t] = _mm256_setzero_ps();
    const size_t stride = 2 * blocks;
    for (size_t b = 0; b < blocks; b++, record += record_bytes, first++) {
        // As in the AVX-512 twin: one more round when any token of the tile has a refinement.
        int32_t refined = 0;
        CK_UNROLL for (size_t t = 0; t < tokens; t++) refined |= first[t * stride].refined;
        const ck_act_block *a = first;
    block:;
        __m256i dot[CK_TILE];
        const uint8_t *w = record + half * 32;
        if (kind == CK_Q4_MIN || kind == CK_Q4_ZERO) {
            CK_UNROLL for (size_t t = 0; t < tokens; t++) dot[t] = _mm256_setzero_si256();
            CK_UNROLL for (size_t g = 0; g < 4; g++) {
                const __m256i pair = _mm256_loadu_si256((const __m256i *)(w + g * 64));
                const __m256i w0 = _mm256_and_si256(pair, low);
                const __m256i w1 = _mm256_and_si256(_mm256_srli_epi16(pair, 4), low);
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    const ck_act_block *x = a + t * stride;
                    dot[t] = _mm256_add_epi16(dot[t], _mm256_maddubs_epi16(w0, CK_NAME(four)(x, g)));
                    dot[t] = _mm256_add_epi16(dot[t], _mm256_maddubs_epi16(w1, CK_NAME(four)(x, g + 4)));
                }
            }
            const __m256 d = CK_NAME(halves)(record + CK_Q4_BYTES + half * 16);
            CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                const ck_act_block *x = a + t * stride;
                __m256i exact = _mm256_madd_epi16(dot[t], ones);
                if (kind == CK_Q4_ZERO) exact = _mm256_add_epi32(exact, _mm256_set1_epi32(x->neg8_sum));
                const __m256 ds = _mm256_mul_ps(d, _mm256_set1_ps(x->scale));
                sum[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(exact), ds, sum[t]);
            }
            if (kind == CK_Q4_MIN) {
                const __m256 m = CK_NAME(halves)(record + CK_Q4_BYTES + 32 + half * 16);
                CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                    sum[t] = _mm256_fmadd_ps(m, _mm256_set1_ps(a[t * stride].scaled_sum), sum[t]);
                }
            }
        } else {
            CK_UNROLL for (size_t part = 0; part < 2; part++) {
                if (part == 0 || kind == CK_Q8_HALF) {
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) dot[t] = _mm256_setzero_si256();
                }
                CK_UNROLL for (size_t g = part * 4; g < part * 4 + 4; g++) {
                    const __m256i value = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(w + g * 64)), offset);
                    const __m256i magnitude = _mm256_abs_epi8(value);
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                        const __m256i x = _mm256_sign_epi8(CK_NAME(four)(a + t * stride, g), value);
                        dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, x), ones));
                    }
                }
                if (part == 1 || kind == CK_Q8_HALF) {
                    const __m256 d =
                        kind == CK_Q8_HALF
                            ? _mm256_loadu_ps((const float *)(record + CK_Q8_BYTES + part * 64 + half * 32))
                            : CK_NAME(halves)(record + CK_Q8_BYTES + half * 16);
                    CK_UNROLL for (size_t t = 0; t < tokens; t++) {
                        const __m256 ds = _mm256_mul_ps(d, _mm256_set1_ps(a[t * stride].scale));
                        sum[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot[t]), ds, sum[t]);
                    }
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
CK_TILES(CK_Q4_MIN)
CK_TILES(CK_Q4_ZERO)
CK_TILES(CK_Q8_ZERO)
CK_TILES(CK_Q8_HALF)

#define CK_TILE_ROW(KIND)                                                                                              \
    {CK_NAME(tile_##KIND##_1), CK_NAME(tile_##KIND##_2), CK_NAME(tile_##KIND##_3), CK_NAME(tile_##KIND##_4)}
static const CK_NAME(tile_function) CK_NAME(tiles)[4][CK_TILE] = {CK_TILE_ROW(CK_Q4_MIN), CK_TILE_ROW(CK_Q4_ZERO),
                                                                  CK_TILE_ROW(CK_Q8_ZERO), CK_TILE_ROW(CK_Q8_HALF)};

static void CK_NAME(ck_matmul_q)(const ck_matrix *w, size_t panel_begin, size_t panel_end,
                                 const ck_act_block *activations, size_t tokens, float *out, size_t out_stride,
                                 ck_store store) {
    const size_t panel_bytes = w->blocks * ck_record_bytes(w->kind);
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
