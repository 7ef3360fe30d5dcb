// The body of attention over a latent cache (multi-head latent attention with absorbed matrices, DeepSeek-V2,
// arXiv:2405.04434): all heads read the same row of a position, which is key and value at once and is stored once.
//
// Rows of the cache lie as they are, [16 positions, width] a block. A score is summed over the width in 16 lanes
// (element i in lane i mod 16) that end in v16_sums, times scale; attention_softmax.h says what else is fixed. Past the
// end of a width that is not whole vectors the query counts as zero, and what the cache has there is always finite.
//
// Measured with AVX-512, width 576, value width 512, f16, partitions, one core of Zen 5, in Gflop/s: 5 heads 197, 16
// heads 210, 128 heads 214; 16 heads over 16,000 positions 207, and 140 without the prefetch of the next pair. f32:
// 201. AVX2: 86 to 99.

/// A row and what its query has past its whole vectors, filled up with zeros.
typedef struct CK_NAME(latent_row) {
    float tail[16];
} CK_NAME(latent_row);

// Scores of one block for `rows` rows (a constant after inlining). `next` is the block that will be needed in its
// place.
CK_INLINE void CK_NAME(latent_scores)(const ck_latent *a, const uint8_t *block, const uint8_t *next, size_t start,
                                      const CK_NAME(attention_row) * row, const CK_NAME(latent_row) * extra, v16 *out,
                                      const size_t rows, const ck_kv_kind kind) {
    float lanes[CK_ATTENTION_ROWS][16][16] __attribute__((aligned(64)));
    const size_t whole = a->width / 16 * 16, bytes = ck_kv_element_bytes(kind);
    for (size_t j = 0; j < CK_KV_BLOCK; j += CK_LATENT_POSITIONS) {
        v16 sum[CK_ATTENTION_ROWS][CK_LATENT_POSITIONS], c[CK_LATENT_POSITIONS];
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            _Pragma("clang loop unroll(full)") for (size_t p = 0; p < CK_LATENT_POSITIONS; p++) {
                sum[r][p] = v16_splat(0);
            }
        }
        for (size_t d = 0; d < a->width; d += 16) {
            _Pragma("clang loop unroll(full)") for (size_t p = 0; p < CK_LATENT_POSITIONS; p++) {
                c[p] = CK_NAME(load_kv)(block, (j + p) * a->width + d, kind);
            }
            // As many bytes as were just read, a line at a time.
            const size_t read = (j * a->width + d * CK_LATENT_POSITIONS) * bytes;
            for (size_t line = 0; line < 16 * CK_LATENT_POSITIONS * bytes; line += 64) {
                __builtin_prefetch(next + read + line);
            }
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                const v16 q = v16_load(d < whole ? row[r].query + d : extra[r].tail);
                _Pragma("clang loop unroll(full)") for (size_t p = 0; p < CK_LATENT_POSITIONS; p++) {
                    sum[r][p] = v16_fma(q, c[p], sum[r][p]);
                }
            }
        }
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            _Pragma("clang loop unroll(full)") for (size_t p = 0; p < CK_LATENT_POSITIONS; p++) {
                v16_store(lanes[r][j + p], sum[r][p]);
            }
        }
    }
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        out[r] = CK_NAME(visible)(row + r, start, v16_sums(lanes[r]) * a->scale);
    }
}

// Adds the values of one block's positions from column `d` on, `vectors` vectors wide (a constant after inlining).
CK_INLINE void CK_NAME(latent_values)(const ck_latent *a, const uint8_t *block, size_t d, const float (*weights)[32],
                                      size_t first_weight, v16 sum[CK_ATTENTION_ROWS][CK_LATENT_POSITIONS],
                                      const size_t rows, const size_t vectors, const ck_kv_kind kind) {
    for (size_t j = 0; j < CK_KV_BLOCK; j++) {
        v16 v[CK_LATENT_POSITIONS];
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < vectors; i++) {
            v[i] = CK_NAME(load_kv)(block, j * a->width + d + i * 16, kind);
        }
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            const v16 w = v16_splat(weights[r][first_weight + j]);
            _Pragma("clang loop unroll(full)") for (size_t i = 0; i < vectors; i++) {
                sum[r][i] = v16_fma(w, v[i], sum[r][i]);
            }
        }
    }
}

CK_INLINE void CK_NAME(latent_add)(const ck_latent *a, const uint8_t *block0, const uint8_t *block1, size_t d,
                                   const float (*weights)[32], const float *correction, float (*sums)[CK_VALUE_WIDTH],
                                   const size_t rows, const size_t vectors, const ck_kv_kind kind) {
    v16 sum[CK_ATTENTION_ROWS][CK_LATENT_POSITIONS];
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < vectors; i++) {
            sum[r][i] = v16_load(sums[r] + d + i * 16) * correction[r];
        }
    }
    CK_NAME(latent_values)(a, block0, d, weights, 0, sum, rows, vectors, kind);
    if (block1 != NULL) CK_NAME(latent_values)(a, block1, d, weights, CK_KV_BLOCK, sum, rows, vectors, kind);
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        _Pragma("clang loop unroll(full)") for (size_t i = 0; i < vectors; i++) {
            v16_store(sums[r] + d + i * 16, sum[r][i]);
        }
    }
}

// Blocks `first` and, when `both`, `first + 1` for `rows` rows. Blocks below `known` may be fetched ahead.
CK_INLINE void CK_NAME(latent_pair)(const ck_latent *a, size_t first, const bool both, size_t known,
                                    CK_NAME(attention_row) * row, const CK_NAME(latent_row) * extra,
                                    float (*sums)[CK_VALUE_WIDTH], const size_t rows, const ck_kv_kind kind) {
    const size_t block_bytes = CK_KV_BLOCK * a->width * ck_kv_element_bytes(kind);
    const uint8_t *block0 = a->cache + (size_t)a->block_table[first] * block_bytes;
    const uint8_t *block1 = both ? a->cache + (size_t)a->block_table[first + 1] * block_bytes : NULL;
    const uint8_t *next0 = first + 2 < known ? a->cache + (size_t)a->block_table[first + 2] * block_bytes : block0;
    const uint8_t *next1 = first + 3 < known ? a->cache + (size_t)a->block_table[first + 3] * block_bytes : block0;
    v16 score[2][CK_ATTENTION_ROWS];
    CK_NAME(latent_scores)(a, block0, next0, first * CK_KV_BLOCK, row, extra, score[0], rows, kind);
    if (both) {
        CK_NAME(latent_scores)(a, block1, next1, (first + 1) * CK_KV_BLOCK, row, extra, score[1], rows, kind);
    } else {
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            score[1][r] = v16_splat(-__builtin_inff());
        }
    }
    float weights[CK_ATTENTION_ROWS][32] __attribute__((aligned(64)));
    float correction[16] __attribute__((aligned(64)));
    CK_NAME(softmax_pair)(score, row, weights, correction, rows);
    size_t d = 0;
    const size_t width = ck_kv_width(a->value_width), step = 16 * CK_LATENT_POSITIONS;
    for (; d + step <= width; d += step) {
        CK_NAME(latent_add)(a, block0, block1, d, weights, correction, sums, rows, CK_LATENT_POSITIONS, kind);
    }
    for (; d < width; d += 16) CK_NAME(latent_add)(a, block0, block1, d, weights, correction, sums, rows, 1, kind);
}

CK_INLINE void CK_NAME(latent_start)(const ck_latent *a, size_t first_row, CK_NAME(attention_row) * row,
                                     CK_NAME(latent_row) * extra, const size_t rows) {
    const size_t whole = a->width / 16 * 16;
    for (size_t r = 0; r < rows; r++) {
        const size_t query = (first_row + r) / a->heads, head = (first_row + r) % a->heads;
        row[r].query = a->query + query * a->query_stride + head * a->width;
        row[r].output = a->output + query * a->output_stride + head * a->value_width;
        row[r].limit = a->first_position + query;
        row[r].first = 0;
        memset(extra[r].tail, 0, sizeof extra[r].tail);
        memcpy(extra[r].tail, row[r].query + whole, (a->width - whole) * sizeof(float));
    }
}

// Attends `rows` rows within one partition; rows that end before it are left with maximum -inf and sum 0.
CK_INLINE void CK_NAME(latent_partition)(const ck_latent *a, size_t partition, CK_NAME(attention_row) * row,
                                         const CK_NAME(latent_row) * extra, float (*sums)[CK_VALUE_WIDTH],
                                         const size_t rows, const ck_kv_kind kind) {
    for (size_t r = 0; r < rows; r++) {
        row[r].maximum = -__builtin_inff();
        row[r].sum = 0;
        memset(sums[r], 0, ck_kv_width(a->value_width) * sizeof(float));
    }
    // As in attention_kernels.h: together as far as every row has the blocks, then one by one.
    const size_t begin = partition * CK_NAME(PARTITION_BLOCKS), limit = begin + CK_NAME(PARTITION_BLOCKS);
    const size_t least = row[0].limit / CK_KV_BLOCK, most = row[rows - 1].limit / CK_KV_BLOCK;
    size_t common = least == most ? most + 1 : (least + 1) / 2 * 2;
    if (common > limit) common = limit;
    size_t b = begin;
    for (; b < common; b += 2) {
        CK_NAME(latent_pair)(a, b, b + 1 < common, most + 1, row, extra, sums, rows, kind);
    }
    for (size_t r = 0; r < rows; r++) {
        size_t end = row[r].limit / CK_KV_BLOCK + 1;
        if (end > limit) end = limit;
        for (size_t rest = b; rest < end; rest += 2) {
            CK_NAME(latent_pair)(a, rest, rest + 1 < end, end, row + r, extra + r, sums + r, 1, kind);
        }
    }
}

CK_INLINE void CK_NAME(latent_rows)(const ck_latent *a, size_t first_row, const size_t rows, const ck_kv_kind kind) {
    CK_NAME(attention_row) row[CK_ATTENTION_ROWS];
    CK_NAME(latent_row) extra[CK_ATTENTION_ROWS];
    float sums[CK_ATTENTION_ROWS][CK_VALUE_WIDTH] __attribute__((aligned(64)));
    float totals[CK_ATTENTION_ROWS][CK_VALUE_WIDTH] __attribute__((aligned(64)));
    float maxima[CK_ATTENTION_ROWS], divisors[CK_ATTENTION_ROWS];
    const size_t width = ck_kv_width(a->value_width);
    CK_NAME(latent_start)(a, first_row, row, extra, rows);
    for (size_t r = 0; r < rows; r++) {
        maxima[r] = -__builtin_inff();
        divisors[r] = 0;
        memset(totals[r], 0, width * sizeof(float));
    }
    const size_t last = row[rows - 1].limit / CK_KV_PARTITION;
    for (size_t partition = 0; partition <= last; partition++) {
        CK_NAME(latent_partition)(a, partition, row, extra, sums, rows, kind);
        for (size_t r = 0; r < rows; r++) {
            CK_NAME(merge)(row[r].maximum, row[r].sum, sums[r], width, &maxima[r], &divisors[r], totals[r]);
        }
    }
    for (size_t r = 0; r < rows; r++) CK_NAME(divide)(totals[r], divisors[r], a->value_width, row[r].output);
}

CK_INLINE void CK_NAME(latent_part)(const ck_latent *a, size_t first_row, size_t partition, float *partial,
                                    const size_t rows, const ck_kv_kind kind) {
    CK_NAME(attention_row) row[CK_ATTENTION_ROWS];
    CK_NAME(latent_row) extra[CK_ATTENTION_ROWS];
    float sums[CK_ATTENTION_ROWS][CK_VALUE_WIDTH] __attribute__((aligned(64)));
    const size_t width = ck_kv_width(a->value_width);
    CK_NAME(latent_start)(a, first_row, row, extra, rows);
    CK_NAME(latent_partition)(a, partition, row, extra, sums, rows, kind);
    for (size_t r = 0; r < rows; r++, partial += width + CK_PARTIAL_EXTRA) {
        memcpy(partial, sums[r], width * sizeof(float));
        partial[width] = row[r].maximum;
        partial[width + 1] = row[r].sum;
    }
}

#define CK_LATENT_ROWS(N, NAME, KIND)                                                                                  \
    static __attribute__((noinline)) void CK_NAME(latent_rows_##NAME##_##N)(const ck_latent *a, size_t first_row) {    \
        CK_NAME(latent_rows)(a, first_row, N, KIND);                                                                   \
    }                                                                                                                  \
    static __attribute__((noinline)) void CK_NAME(latent_part_##NAME##_##N)(const ck_latent *a, size_t first_row,      \
                                                                            size_t partition, float *partial) {        \
        CK_NAME(latent_part)(a, first_row, partition, partial, N, KIND);                                               \
    }
#define CK_LATENT_FOUR(NAME, KIND)                                                                                     \
    CK_LATENT_ROWS(1, NAME, KIND)                                                                                      \
    CK_LATENT_ROWS(2, NAME, KIND) CK_LATENT_ROWS(3, NAME, KIND) CK_LATENT_ROWS(4, NAME, KIND)
CK_LATENT_FOUR(f16, CK_KV_F16)
CK_LATENT_FOUR(f32, CK_KV_F32)
#if CK_ATTENTION_ROWS >= 8
#define CK_LATENT_EIGHT(NAME, KIND)                                                                                    \
    CK_LATENT_ROWS(5, NAME, KIND)                                                                                      \
    CK_LATENT_ROWS(6, NAME, KIND) CK_LATENT_ROWS(7, NAME, KIND) CK_LATENT_ROWS(8, NAME, KIND)
CK_LATENT_EIGHT(f16, CK_KV_F16)
CK_LATENT_EIGHT(f32, CK_KV_F32)
#endif
// [kind][rows - 1]
static void (*const CK_NAME(latent_rows_table)[3][CK_ATTENTION_ROWS])(const ck_latent *, size_t) = {
    [CK_KV_F16] = CK_ATTEND_TABLE(latent_rows_f16), [CK_KV_F32] = CK_ATTEND_TABLE(latent_rows_f32)};
static void (*const CK_NAME(latent_part_table)[3][CK_ATTENTION_ROWS])(const ck_latent *, size_t, size_t, float *) = {
    [CK_KV_F16] = CK_ATTEND_TABLE(latent_part_f16), [CK_KV_F32] = CK_ATTEND_TABLE(latent_part_f32)};

static void CK_NAME(ck_latent_attend)(const ck_latent *a, size_t row_begin, size_t row_end) {
    while (row_begin < row_end) {
        const size_t left = row_end - row_begin, rows = left < CK_ATTENTION_ROWS ? left : CK_ATTENTION_ROWS;
        CK_NAME(latent_rows_table)[a->kind][rows - 1](a, row_begin);
        row_begin += rows;
    }
}

static void CK_NAME(ck_latent_attend_part)(const ck_latent *a, size_t row_begin, size_t row_end, size_t partition,
                                           float *partials) {
    while (row_begin < row_end) {
        const size_t left = row_end - row_begin, rows = left < CK_ATTENTION_ROWS ? left : CK_ATTENTION_ROWS;
        CK_NAME(latent_part_table)[a->kind][rows - 1](a, row_begin, partition, partials);
        partials += rows * (ck_kv_width(a->value_width) + CK_PARTIAL_EXTRA);
        row_begin += rows;
    }
}

static void CK_NAME(ck_latent_write)(ck_kv_kind kind, const float *x, size_t n, uint8_t *row) {
    const float limit = CK_NAME(kv_limit)(kind);
    for (size_t d = 0; d < n; d += 16) {
        const size_t count = n - d < 16 ? n - d : 16, bytes = ck_kv_element_bytes(kind);
        const v16 v = CK_NAME(load_finite)(x, d, n, limit);
        uint8_t lanes[64];
        if (kind == CK_KV_F32) {
            v16_store((float *)lanes, v);
        } else {
            v16_store_half((uint16_t *)lanes, v);
        }
        memcpy(row + d * bytes, lanes, count * bytes);
    }
}
