// The body of paged attention; included once per instruction set with CK_NAME(x) giving x its suffix and
// CK_ATTENTION_ROWS the most rows that are attended together.
//
// A row's arithmetic is fixed. Positions form partitions of CK_KV_PARTITION. Within one: blocks in pairs (2i, 2i + 1),
// in order; a score is (even d sum) + (odd d sum), times scale; the running maximum, sum and output are corrected once
// per pair; values are added position by position. Partitions are merged in order. So neither how rows are grouped nor
// which thread computes which partition can be seen in the result. Two score chains per row keep the multipliers busy
// at 4 rows and more and still leave registers for 8 rows.
//
// Measured with AVX-512, dh 64, 500 positions, one core: 33 Gflop/s for 1 row, 74 for 4, 98 for 8 (the conversions from
// f16 are shared). Version tried: a correction per block instead of per pair, 90 Gflop/s at 8 rows.
// Keys and values lie 2 KiB here and 2 KiB there, too short for the hardware's prefetcher, and a decode reads each
// once: see docs/engine-performance.md for what the prefetch of the next pair brings.

typedef struct CK_NAME(attention_row) {
    const float *query;
    float *output;
    size_t limit; // last visible position
    float maximum, sum;
} CK_NAME(attention_row);

// Scores of one block: out[r] for `rows` rows (a constant after inlining), -inf where a row may not look.
/// Sixteen numbers of a row of 16 * `row` that a block's keys or values begin with.
CK_INLINE v16 CK_NAME(load_kv)(const uint8_t *block, size_t row, const bool int8) {
    typedef int8_t i8x16 __attribute__((vector_size(16), aligned(1)));
    if (int8) return __builtin_convertvector(*(const i8x16 *)(block + row * 16), v16);
    return v16_load_half((const uint16_t *)block + row * 16);
}

/// The scales of a block's 16 positions, which follow its int8 numbers.
CK_INLINE v16 CK_NAME(load_kv_scales)(const uint8_t *block, size_t head_width) {
    return v16_load((const float *)(block + head_width * CK_KV_BLOCK));
}

// `ahead` is how far the block lies, in bytes, that will be needed in place of this one; 0 fetches nothing new.
CK_INLINE void CK_NAME(score_block)(const ck_attention *a, size_t offset, ptrdiff_t ahead, size_t start,
                                    const CK_NAME(attention_row) * row, v16 *out, const size_t rows, const bool int8) {
    const size_t dh = a->head_width;
    const uint8_t *keys = a->keys + offset, *next_keys = keys + ahead, *next_values = a->values + offset + ahead;
    const size_t row_bytes = int8 ? 16 : 32;
    v16 even[CK_ATTENTION_ROWS], odd[CK_ATTENTION_ROWS];
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) even[r] = odd[r] = v16_splat(0);
    for (size_t d = 0; d < dh; d += 2) {
        const v16 k0 = CK_NAME(load_kv)(keys, d, int8), k1 = CK_NAME(load_kv)(keys, d + 1, int8);
        if (!int8 || d % 4 == 0) {
            __builtin_prefetch(next_keys + d * row_bytes);
            __builtin_prefetch(next_values + d * row_bytes);
        }
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            even[r] = v16_fma(v16_splat(row[r].query[d]), k0, even[r]);
            odd[r] = v16_fma(v16_splat(row[r].query[d + 1]), k1, odd[r]);
        }
    }
    const v16 scale = int8 ? CK_NAME(load_kv_scales)(keys, dh) * a->scale : v16_splat(a->scale);
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        out[r] = (even[r] + odd[r]) * scale;
        if (row[r].limit < start + CK_KV_BLOCK - 1) {
            const v16i last = (v16i){0} + (int32_t)(row[r].limit - start);
            out[r] = v16_select(lane > last, v16_splat(-__builtin_inff()), out[r]);
        }
    }
}

// Blocks `first` and, when `both`, `first + 1` for `rows` rows. Blocks below `known` may be fetched ahead.
CK_INLINE void CK_NAME(attend_pair)(const ck_attention *a, size_t first, bool both, size_t known,
                                    CK_NAME(attention_row) * row, float (*sums)[256], const size_t rows,
                                    const bool int8) {
    const size_t dh = a->head_width;
    const size_t offset0 = (size_t)a->block_table[first] * a->block_stride;
    const size_t offset1 = both ? (size_t)a->block_table[first + 1] * a->block_stride : 0;
    const ptrdiff_t stride = (ptrdiff_t)a->block_stride;
    const ptrdiff_t ahead0 = first + 2 < known ? (a->block_table[first + 2] - a->block_table[first]) * stride : 0;
    const ptrdiff_t ahead1 =
        both && first + 3 < known ? (a->block_table[first + 3] - a->block_table[first + 1]) * stride : 0;
    v16 score[2][CK_ATTENTION_ROWS];
    CK_NAME(score_block)(a, offset0, ahead0, first * CK_KV_BLOCK, row, score[0], rows, int8);
    if (both) {
        CK_NAME(score_block)(a, offset1, ahead1, (first + 1) * CK_KV_BLOCK, row, score[1], rows, int8);
    } else {
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            score[1][r] = v16_splat(-__builtin_inff());
        }
    }
    float weights[CK_ATTENTION_ROWS][32] __attribute__((aligned(64)));
    float correction[16] __attribute__((aligned(64)));
    v16_store(correction, v16_splat(0));
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        const float pair_maximum = v16_max_lane(v16_max(score[0][r], score[1][r]));
        const float maximum = row[r].maximum > pair_maximum ? row[r].maximum : pair_maximum;
        correction[r] = row[r].maximum - maximum;
        row[r].maximum = maximum;
        v16_store(weights[r], v16_exp(score[0][r] - maximum));
        v16_store(weights[r] + 16, v16_exp(score[1][r] - maximum));
    }
    v16_store(correction, v16_exp(v16_load(correction)));
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        const float sum = v16_sum(v16_load(weights[r]) + v16_load(weights[r] + 16));
        row[r].sum = __builtin_fmaf(row[r].sum, correction[r], sum);
    }
    const uint8_t *values0 = a->values + offset0, *values1 = a->values + offset1;
    if (int8) {
        const v16 scale0 = CK_NAME(load_kv_scales)(values0, dh);
        const v16 scale1 = both ? CK_NAME(load_kv_scales)(values1, dh) : v16_splat(0);
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            v16_store(weights[r], v16_load(weights[r]) * scale0);
            v16_store(weights[r] + 16, v16_load(weights[r] + 16) * scale1);
        }
    }
    for (size_t d = 0; d < dh; d += 16) {
        v16 sum[CK_ATTENTION_ROWS];
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            sum[r] = v16_load(sums[r] + d) * correction[r];
        }
        for (size_t j = 0; j < CK_KV_BLOCK; j++) {
            const v16 v = CK_NAME(load_kv)(values0, (j * dh + d) / 16, int8);
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                sum[r] = v16_fma(v16_splat(weights[r][j]), v, sum[r]);
            }
        }
        for (size_t j = 0; both && j < CK_KV_BLOCK; j++) {
            const v16 v = CK_NAME(load_kv)(values1, (j * dh + d) / 16, int8);
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                sum[r] = v16_fma(v16_splat(weights[r][16 + j]), v, sum[r]);
            }
        }
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) v16_store(sums[r] + d, sum[r]);
    }
}

enum { CK_NAME(PARTITION_BLOCKS) = CK_KV_PARTITION / CK_KV_BLOCK };

/// Merges a partition into what came before it: [maximum, sum, outputs * sum].
CK_INLINE void CK_NAME(merge)(float maximum, float sum, const float *output, size_t head_width, float *total_maximum,
                              float *total_sum, float *total) {
    const float largest = *total_maximum > maximum ? *total_maximum : maximum;
    const v16 factors = v16_exp((v16){*total_maximum - largest, maximum - largest});
    *total_sum = __builtin_fmaf(*total_sum, factors[0], sum * factors[1]);
    for (size_t d = 0; d < head_width; d += 16) {
        v16_store(total + d, v16_fma(v16_load(total + d), v16_splat(factors[0]), v16_load(output + d) * factors[1]));
    }
    *total_maximum = largest;
}

CK_INLINE void CK_NAME(start_rows)(const ck_attention *a, size_t first_row, CK_NAME(attention_row) * row,
                                   const size_t rows) {
    for (size_t r = 0; r < rows; r++) {
        const size_t query = (first_row + r) / a->group, head = (first_row + r) % a->group;
        row[r].query = a->query + query * a->query_stride + head * a->head_width;
        row[r].output = a->output + query * a->output_stride + head * a->head_width;
        row[r].limit = a->first_position + query;
    }
}

// Attends `rows` rows within one partition; rows that end before it are left with sum 0.
CK_INLINE void CK_NAME(attend_partition)(const ck_attention *a, size_t partition, CK_NAME(attention_row) * row,
                                         float (*sums)[256], const size_t rows, const bool int8) {
    for (size_t r = 0; r < rows; r++) {
        row[r].maximum = -__builtin_inff();
        row[r].sum = 0;
        memset(sums[r], 0, a->head_width * sizeof(float));
    }
    const size_t begin = partition * CK_NAME(PARTITION_BLOCKS), limit = begin + CK_NAME(PARTITION_BLOCKS);
    // Limits grow with the row. Rows that end in one block go together to the end; otherwise together as far as every
    // row has both blocks of a pair, then one by one, so that no row ever meets a block beyond its limit.
    const size_t least = row[0].limit / CK_KV_BLOCK, most = row[rows - 1].limit / CK_KV_BLOCK;
    size_t common = least == most ? most + 1 : (least + 1) / 2 * 2;
    if (common > limit) common = limit;
    size_t b = begin;
    for (; b < common; b += 2) CK_NAME(attend_pair)(a, b, b + 1 < common, most + 1, row, sums, rows, int8);
    for (size_t r = 0; r < rows; r++) {
        size_t end = row[r].limit / CK_KV_BLOCK + 1;
        if (end > limit) end = limit;
        for (size_t rest = b; rest < end; rest += 2) {
            CK_NAME(attend_pair)(a, rest, rest + 1 < end, end, row + r, sums + r, 1, int8);
        }
    }
}

CK_INLINE void CK_NAME(attend_rows)(const ck_attention *a, size_t first_row, const size_t rows, const bool int8) {
    CK_NAME(attention_row) row[CK_ATTENTION_ROWS];
    float sums[CK_ATTENTION_ROWS][256] __attribute__((aligned(64)));
    float totals[CK_ATTENTION_ROWS][256] __attribute__((aligned(64)));
    float maxima[CK_ATTENTION_ROWS], divisors[CK_ATTENTION_ROWS];
    CK_NAME(start_rows)(a, first_row, row, rows);
    for (size_t r = 0; r < rows; r++) {
        maxima[r] = -__builtin_inff();
        divisors[r] = 0;
        memset(totals[r], 0, a->head_width * sizeof(float));
    }
    const size_t last = row[rows - 1].limit / CK_KV_PARTITION;
    for (size_t partition = 0; partition <= last; partition++) {
        CK_NAME(attend_partition)(a, partition, row, sums, rows, int8);
        for (size_t r = 0; r < rows; r++) {
            if (partition * CK_KV_PARTITION > row[r].limit) continue;
            CK_NAME(merge)
            (row[r].maximum, row[r].sum, sums[r], a->head_width, &maxima[r], &divisors[r], totals[r]);
        }
    }
    for (size_t r = 0; r < rows; r++) {
        const float inverse = 1.0f / divisors[r];
        for (size_t d = 0; d < a->head_width; d += 16) v16_store(row[r].output + d, v16_load(totals[r] + d) * inverse);
    }
}

// One partition alone: each row's [dh] outputs times sum, then maximum and sum.
CK_INLINE void CK_NAME(attend_part)(const ck_attention *a, size_t first_row, size_t partition, float *partial,
                                    const size_t rows, const bool int8) {
    CK_NAME(attention_row) row[CK_ATTENTION_ROWS];
    float sums[CK_ATTENTION_ROWS][256] __attribute__((aligned(64)));
    CK_NAME(start_rows)(a, first_row, row, rows);
    CK_NAME(attend_partition)(a, partition, row, sums, rows, int8);
    for (size_t r = 0; r < rows; r++, partial += a->head_width + CK_PARTIAL_EXTRA) {
        memcpy(partial, sums[r], a->head_width * sizeof(float));
        partial[a->head_width] = row[r].maximum;
        partial[a->head_width + 1] = row[r].sum;
    }
}

static void CK_NAME(ck_merge_partitions)(const float *partials, size_t partitions, size_t stride, size_t head_width,
                                         float *output) {
    float total[256] __attribute__((aligned(64)));
    float maximum = -__builtin_inff(), sum = 0;
    memset(total, 0, head_width * sizeof(float));
    for (size_t p = 0; p < partitions; p++, partials += stride) {
        CK_NAME(merge)(partials[head_width], partials[head_width + 1], partials, head_width, &maximum, &sum, total);
    }
    const float inverse = 1.0f / sum;
    for (size_t d = 0; d < head_width; d += 16) v16_store(output + d, v16_load(total + d) * inverse);
}

// Out of line, so that the register allocator sees one row count at a time.
#define CK_ATTEND_ROWS(N, KIND, INT8)                                                                                  \
    static __attribute__((noinline)) void CK_NAME(attend_rows_##KIND##_##N)(const ck_attention *a, size_t first_row) { \
        CK_NAME(attend_rows)(a, first_row, N, INT8);                                                                   \
    }                                                                                                                  \
    static __attribute__((noinline)) void CK_NAME(attend_part_##KIND##_##N)(const ck_attention *a, size_t first_row,   \
                                                                            size_t partition, float *partial) {        \
        CK_NAME(attend_part)(a, first_row, partition, partial, N, INT8);                                               \
    }
#define CK_ATTEND_FOUR(KIND, INT8)                                                                                     \
    CK_ATTEND_ROWS(1, KIND, INT8)                                                                                      \
    CK_ATTEND_ROWS(2, KIND, INT8) CK_ATTEND_ROWS(3, KIND, INT8) CK_ATTEND_ROWS(4, KIND, INT8)
#define CK_FOUR_OF(NAME) CK_NAME(NAME##_1), CK_NAME(NAME##_2), CK_NAME(NAME##_3), CK_NAME(NAME##_4)
CK_ATTEND_FOUR(f16, false)
CK_ATTEND_FOUR(int8, true)
#if CK_ATTENTION_ROWS >= 8
#define CK_ATTEND_EIGHT(KIND, INT8)                                                                                    \
    CK_ATTEND_ROWS(5, KIND, INT8)                                                                                      \
    CK_ATTEND_ROWS(6, KIND, INT8) CK_ATTEND_ROWS(7, KIND, INT8) CK_ATTEND_ROWS(8, KIND, INT8)
CK_ATTEND_EIGHT(f16, false)
CK_ATTEND_EIGHT(int8, true)
#define CK_ATTEND_TABLE(NAME)                                                                                          \
    {CK_FOUR_OF(NAME), CK_NAME(NAME##_5), CK_NAME(NAME##_6), CK_NAME(NAME##_7), CK_NAME(NAME##_8)}
#else
#define CK_ATTEND_TABLE(NAME) {CK_FOUR_OF(NAME)}
#endif
// [kind][rows - 1]
static void (*const CK_NAME(attend_rows_table)[2][CK_ATTENTION_ROWS])(const ck_attention *, size_t) = {
    CK_ATTEND_TABLE(attend_rows_f16), CK_ATTEND_TABLE(attend_rows_int8)};
static void (*const CK_NAME(attend_part_table)[2][CK_ATTENTION_ROWS])(const ck_attention *, size_t, size_t, float *) = {
    CK_ATTEND_TABLE(attend_part_f16), CK_ATTEND_TABLE(attend_part_int8)};

static void CK_NAME(ck_attend)(const ck_attention *a, size_t row_begin, size_t row_end) {
    while (row_begin < row_end) {
        const size_t left = row_end - row_begin, rows = left < CK_ATTENTION_ROWS ? left : CK_ATTENTION_ROWS;
        CK_NAME(attend_rows_table)[a->kind][rows - 1](a, row_begin);
        row_begin += rows;
    }
}

static void CK_NAME(ck_attend_part)(const ck_attention *a, size_t row_begin, size_t row_end, size_t partition,
                                    float *partials) {
    while (row_begin < row_end) {
        const size_t left = row_end - row_begin, rows = left < CK_ATTENTION_ROWS ? left : CK_ATTENTION_ROWS;
        CK_NAME(attend_part_table)[a->kind][rows - 1](a, row_begin, partition, partials);
        partials += rows * (a->head_width + CK_PARTIAL_EXTRA);
        row_begin += rows;
    }
}
