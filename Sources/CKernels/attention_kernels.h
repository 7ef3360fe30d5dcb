// The body of paged attention with keys and values for each kv head.
//
// A score is (even d sum) + (odd d sum), times scale: two chains per row keep the multipliers busy at 4 rows and more
// and still leave registers for 8 rows. attention_softmax.h says what else is fixed.
//
// Measured with AVX-512, dh 64, 500 positions, one core: 33 Gflop/s for 1 row, 74 for 4, 98 for 8 (the conversions from
// f16 are shared). Version tried: a correction per block instead of per pair, 90 Gflop/s at 8 rows.
// Keys and values lie 2 KiB here and 2 KiB there, too short for the hardware's prefetcher, and a decode reads each
// once: see docs/engine-performance.md for what the prefetch of the next pair brings.

/// The scales of a block's 16 positions, which follow its int8 numbers.
CK_INLINE v16 CK_NAME(load_kv_scales)(const uint8_t *block, size_t head_width) {
    return v16_load((const float *)(block + ck_kv_width(head_width) * CK_KV_BLOCK));
}

// Scores of one block: out[r] for `rows` rows (a constant after inlining). `ahead` is how far the block lies, in bytes,
// that will be needed in place of this one; 0 fetches nothing new.
CK_INLINE void CK_NAME(score_block)(const ck_attention *a, size_t offset, ptrdiff_t ahead, size_t start,
                                    const CK_NAME(attention_row) * row, v16 *out, const size_t rows,
                                    const ck_kv_kind kind) {
    const size_t dh = a->head_width, row_bytes = CK_KV_BLOCK * ck_kv_element_bytes(kind);
    const uint8_t *keys = a->keys + offset, *next_keys = keys + ahead, *next_values = a->values + offset + ahead;
    v16 even[CK_ATTENTION_ROWS], odd[CK_ATTENTION_ROWS];
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) even[r] = odd[r] = v16_splat(0);
    size_t d = 0;
    for (; d + 2 <= dh; d += 2) {
        const v16 k0 = CK_NAME(load_kv)(keys, d * 16, kind), k1 = CK_NAME(load_kv)(keys, (d + 1) * 16, kind);
        if (kind != CK_KV_INT8 || d % 4 == 0) {
            __builtin_prefetch(next_keys + d * row_bytes);
            __builtin_prefetch(next_values + d * row_bytes);
        }
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            even[r] = v16_fma(v16_splat(row[r].query[d]), k0, even[r]);
            odd[r] = v16_fma(v16_splat(row[r].query[d + 1]), k1, odd[r]);
        }
    }
    if (d < dh) {
        const v16 k = CK_NAME(load_kv)(keys, d * 16, kind);
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            even[r] = v16_fma(v16_splat(row[r].query[d]), k, even[r]);
        }
    }
    const v16 scale = kind == CK_KV_INT8 ? CK_NAME(load_kv_scales)(keys, dh) * a->scale : v16_splat(a->scale);
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        out[r] = CK_NAME(visible)(row + r, start, (even[r] + odd[r]) * scale);
    }
}

// Blocks `first` and `first + 1`, each if its flag says so, for `rows` rows. Blocks below `known` may be fetched ahead.
CK_INLINE void CK_NAME(attend_pair)(const ck_attention *a, size_t first, const bool has0, const bool has1, size_t known,
                                    CK_NAME(attention_row) * row, float (*sums)[256], const size_t rows,
                                    const ck_kv_kind kind) {
    const size_t dh = a->head_width, width = ck_kv_width(dh);
    const size_t offset0 = has0 ? (size_t)a->block_table[first] * a->block_stride : 0;
    const size_t offset1 = has1 ? (size_t)a->block_table[first + 1] * a->block_stride : 0;
    const ptrdiff_t stride = (ptrdiff_t)a->block_stride;
    const ptrdiff_t ahead0 = first + 2 < known ? (a->block_table[first + 2] - a->block_table[first]) * stride : 0;
    const ptrdiff_t ahead1 =
        has1 && first + 3 < known ? (a->block_table[first + 3] - a->block_table[first + 1]) * stride : 0;
    v16 score[2][CK_ATTENTION_ROWS];
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        score[0][r] = score[1][r] = v16_splat(-__builtin_inff());
    }
    if (has0) {
        CK_NAME(score_block)(a, offset0, ahead0, first * CK_KV_BLOCK, row, score[0], rows, kind);
    }
    if (has1) {
        CK_NAME(score_block)(a, offset1, ahead1, (first + 1) * CK_KV_BLOCK, row, score[1], rows, kind);
    }
    float weights[CK_ATTENTION_ROWS][32] __attribute__((aligned(64)));
    float correction[16] __attribute__((aligned(64)));
    CK_NAME(softmax_pair)(score, row, weights, correction, rows);
    const uint8_t *values0 = a->values + offset0, *values1 = a->values + offset1;
    if (kind == CK_KV_INT8) {
        const v16 scale0 = has0 ? CK_NAME(load_kv_scales)(values0, dh) : v16_splat(0);
        const v16 scale1 = has1 ? CK_NAME(load_kv_scales)(values1, dh) : v16_splat(0);
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            v16_store(weights[r], v16_load(weights[r]) * scale0);
            v16_store(weights[r] + 16, v16_load(weights[r] + 16) * scale1);
        }
    }
    for (size_t d = 0; d < width; d += 16) {
        v16 sum[CK_ATTENTION_ROWS];
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            sum[r] = v16_load(sums[r] + d) * correction[r];
        }
        for (size_t j = 0; has0 && j < CK_KV_BLOCK; j++) {
            const v16 v = CK_NAME(load_kv)(values0, j * width + d, kind);
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                sum[r] = v16_fma(v16_splat(weights[r][j]), v, sum[r]);
            }
        }
        for (size_t j = 0; has1 && j < CK_KV_BLOCK; j++) {
            const v16 v = CK_NAME(load_kv)(values1, j * width + d, kind);
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                sum[r] = v16_fma(v16_splat(weights[r][16 + j]), v, sum[r]);
            }
        }
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) v16_store(sums[r] + d, sum[r]);
    }
}

CK_INLINE void CK_NAME(start_rows)(const ck_attention *a, size_t first_row, CK_NAME(attention_row) * row,
                                   const size_t rows) {
    for (size_t r = 0; r < rows; r++) {
        const size_t query = (first_row + r) / a->group, head = (first_row + r) % a->group;
        row[r].query = a->query + query * a->query_stride + head * a->head_width;
        row[r].output = a->output + query * a->output_stride + head * a->head_width;
        row[r].limit = a->first_position + query;
        row[r].first = row[r].limit < a->window ? 0 : row[r].limit - a->window + 1;
    }
}

// Attends `rows` rows within one partition; rows that see nothing of it are left with maximum -inf and sum 0.
CK_INLINE void CK_NAME(attend_partition)(const ck_attention *a, size_t partition, CK_NAME(attention_row) * row,
                                         float (*sums)[256], const size_t rows, const ck_kv_kind kind) {
    for (size_t r = 0; r < rows; r++) {
        row[r].maximum = -__builtin_inff();
        row[r].sum = 0;
        memset(sums[r], 0, ck_kv_width(a->head_width) * sizeof(float));
    }
    const size_t begin = partition * CK_NAME(PARTITION_BLOCKS), limit = begin + CK_NAME(PARTITION_BLOCKS);
    // Limits grow with the row, and so do the windows' beginnings: what lies before the first row's is not touched.
    // Rows that end in one block go together to the end; otherwise together as far as every row has both blocks of a
    // pair, then one by one, so that no row ever meets a block beyond its limit.
    const size_t least = row[0].limit / CK_KV_BLOCK, most = row[rows - 1].limit / CK_KV_BLOCK;
    const size_t visible = row[0].first / CK_KV_BLOCK;
    size_t common = least == most ? most + 1 : (least + 1) / 2 * 2;
    if (common > limit) common = limit;
    size_t b = visible > begin ? visible / 2 * 2 : begin;
    for (; b < common; b += 2) {
        CK_NAME(attend_pair)(a, b, b >= visible, b + 1 < common, most + 1, row, sums, rows, kind);
    }
    for (size_t r = 0; r < rows; r++) {
        const size_t own = row[r].first / CK_KV_BLOCK;
        size_t end = row[r].limit / CK_KV_BLOCK + 1;
        if (end > limit) end = limit;
        for (size_t rest = own > b ? own / 2 * 2 : b; rest < end; rest += 2) {
            CK_NAME(attend_pair)(a, rest, rest >= own, rest + 1 < end, end, row + r, sums + r, 1, kind);
        }
    }
}

CK_INLINE void CK_NAME(attend_rows)(const ck_attention *a, size_t first_row, const size_t rows, const ck_kv_kind kind) {
    CK_NAME(attention_row) row[CK_ATTENTION_ROWS];
    float sums[CK_ATTENTION_ROWS][256] __attribute__((aligned(64)));
    float totals[CK_ATTENTION_ROWS][256] __attribute__((aligned(64)));
    float maxima[CK_ATTENTION_ROWS], divisors[CK_ATTENTION_ROWS];
    const size_t width = ck_kv_width(a->head_width);
    CK_NAME(start_rows)(a, first_row, row, rows);
    for (size_t r = 0; r < rows; r++) {
        maxima[r] = -__builtin_inff();
        divisors[r] = 0;
        memset(totals[r], 0, width * sizeof(float));
    }
    const size_t last = row[rows - 1].limit / CK_KV_PARTITION;
    for (size_t partition = row[0].first / CK_KV_PARTITION; partition <= last; partition++) {
        CK_NAME(attend_partition)(a, partition, row, sums, rows, kind);
        for (size_t r = 0; r < rows; r++) {
            CK_NAME(merge)(row[r].maximum, row[r].sum, sums[r], width, &maxima[r], &divisors[r], totals[r]);
        }
    }
    for (size_t r = 0; r < rows; r++) CK_NAME(divide)(totals[r], divisors[r], a->head_width, row[r].output);
}

// One partition alone: each row's outputs times sum, then maximum and sum.
CK_INLINE void CK_NAME(attend_part)(const ck_attention *a, size_t first_row, size_t partition, float *partial,
                                    const size_t rows, const ck_kv_kind kind) {
    CK_NAME(attention_row) row[CK_ATTENTION_ROWS];
    float sums[CK_ATTENTION_ROWS][256] __attribute__((aligned(64)));
    const size_t width = ck_kv_width(a->head_width);
    CK_NAME(start_rows)(a, first_row, row, rows);
    CK_NAME(attend_partition)(a, partition, row, sums, rows, kind);
    for (size_t r = 0; r < rows; r++, partial += width + CK_PARTIAL_EXTRA) {
        memcpy(partial, sums[r], width * sizeof(float));
        partial[width] = row[r].maximum;
        partial[width + 1] = row[r].sum;
    }
}

// Out of line, so that the register allocator sees one row count at a time.
#define CK_ATTEND_ROWS(N, NAME, KIND)                                                                                  \
    static __attribute__((noinline)) void CK_NAME(attend_rows_##NAME##_##N)(const ck_attention *a, size_t first_row) { \
        CK_NAME(attend_rows)(a, first_row, N, KIND);                                                                   \
    }                                                                                                                  \
    static __attribute__((noinline)) void CK_NAME(attend_part_##NAME##_##N)(const ck_attention *a, size_t first_row,   \
                                                                            size_t partition, float *partial) {        \
        CK_NAME(attend_part)(a, first_row, partition, partial, N, KIND);                                               \
    }
#define CK_ATTEND_FOUR(NAME, KIND)                                                                                     \
    CK_ATTEND_ROWS(1, NAME, KIND)                                                                                      \
    CK_ATTEND_ROWS(2, NAME, KIND) CK_ATTEND_ROWS(3, NAME, KIND) CK_ATTEND_ROWS(4, NAME, KIND)
#define CK_FOUR_OF(NAME) CK_NAME(NAME##_1), CK_NAME(NAME##_2), CK_NAME(NAME##_3), CK_NAME(NAME##_4)
CK_ATTEND_FOUR(f16, CK_KV_F16)
CK_ATTEND_FOUR(int8, CK_KV_INT8)
CK_ATTEND_FOUR(f32, CK_KV_F32)
#if CK_ATTENTION_ROWS >= 8
#define CK_ATTEND_EIGHT(NAME, KIND)                                                                                    \
    CK_ATTEND_ROWS(5, NAME, KIND)                                                                                      \
    CK_ATTEND_ROWS(6, NAME, KIND) CK_ATTEND_ROWS(7, NAME, KIND) CK_ATTEND_ROWS(8, NAME, KIND)
CK_ATTEND_EIGHT(f16, CK_KV_F16)
CK_ATTEND_EIGHT(int8, CK_KV_INT8)
CK_ATTEND_EIGHT(f32, CK_KV_F32)
#define CK_ATTEND_TABLE(NAME)                                                                                          \
    {CK_FOUR_OF(NAME), CK_NAME(NAME##_5), CK_NAME(NAME##_6), CK_NAME(NAME##_7), CK_NAME(NAME##_8)}
#else
#define CK_ATTEND_TABLE(NAME) {CK_FOUR_OF(NAME)}
#endif
// [kind][rows - 1]
static void (*const CK_NAME(attend_rows_table)[3][CK_ATTENTION_ROWS])(const ck_attention *, size_t) = {
    CK_ATTEND_TABLE(attend_rows_f16), CK_ATTEND_TABLE(attend_rows_int8), CK_ATTEND_TABLE(attend_rows_f32)};
static void (*const CK_NAME(attend_part_table)[3][CK_ATTENTION_ROWS])(const ck_attention *, size_t, size_t, float *) = {
    CK_ATTEND_TABLE(attend_part_f16), CK_ATTEND_TABLE(attend_part_int8), CK_ATTEND_TABLE(attend_part_f32)};

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
        partials += rows * (ck_kv_width(a->head_width) + CK_PARTIAL_EXTRA);
        row_begin += rows;
    }
}

/// Quantises [dh] values to int8 with one scale for all; q: [width].
CK_INLINE float CK_NAME(quantize_head)(const float *x, size_t head_width, int8_t *q) {
    typedef int8_t i8x16 __attribute__((vector_size(16), aligned(1)));
    const float limit = CK_NAME(kv_limit)(CK_KV_INT8);
    v16 most = v16_splat(0);
    for (size_t d = 0; d < head_width; d += 16) {
        const v16 v = CK_NAME(load_finite)(x, d, head_width, limit);
        most = v16_max(v16_select(v < v16_splat(0), -v, v), most);
    }
    const float largest = v16_max_lane(most);
    // Below, the reciprocal would overflow; such a row counts as zero.
    const float factor = largest > 0x1p-100f ? 127.0f / largest : 0;
    const v16 magic = v16_splat(12582912.0f); // 1.5 * 2^23: adding it rounds to an integer, nearest even
    for (size_t d = 0; d < head_width; d += 16) {
        const v16 rounded = CK_NAME(load_finite)(x, d, head_width, limit) * factor + magic;
        *(i8x16 *)(q + d) = __builtin_convertvector((v16i)rounded - (v16i)magic, i8x16);
    }
    return largest > 0x1p-100f ? largest / 127.0f : 0;
}

static void CK_NAME(write_int8)(const float *key, const float *value, size_t head_width, size_t offset,
                                uint8_t *key_block, uint8_t *value_block) {
    const size_t width = ck_kv_width(head_width);
    int8_t q[256];
    float *key_scales = (float *)(key_block + width * CK_KV_BLOCK);
    float *value_scales = (float *)(value_block + width * CK_KV_BLOCK);
    key_scales[offset] = CK_NAME(quantize_head)(key, head_width, q);
    for (size_t d = 0; d < head_width; d++) key_block[d * CK_KV_BLOCK + offset] = (uint8_t)q[d];
    value_scales[offset] = CK_NAME(quantize_head)(value, head_width, (int8_t *)value_block + offset * width);
}

static void CK_NAME(ck_kv_write)(ck_kv_kind kind, const float *key, const float *value, size_t head_width,
                                 size_t offset, uint8_t *key_block, uint8_t *value_block) {
    if (kind == CK_KV_INT8) {
        CK_NAME(write_int8)(key, value, head_width, offset, key_block, value_block);
        return;
    }
    const size_t width = ck_kv_width(head_width), bytes = ck_kv_element_bytes(kind);
    const float limit = CK_NAME(kv_limit)(kind);
    for (size_t d = 0; d < head_width; d += 16) {
        const v16 k = CK_NAME(load_finite)(key, d, head_width, limit);
        const v16 v = CK_NAME(load_finite)(value, d, head_width, limit);
        uint8_t *slot = value_block + (offset * width + d) * bytes;
        if (kind == CK_KV_F32) {
            float lanes[16];
            v16_store(lanes, k);
            for (size_t i = 0; i < 16; i++) ((float *)key_block)[(d + i) * CK_KV_BLOCK + offset] = lanes[i];
            v16_store((float *)slot, v);
        } else {
            uint16_t lanes[16];
            v16_store_half(lanes, k);
            for (size_t i = 0; i < 16; i++) ((uint16_t *)key_block)[(d + i) * CK_KV_BLOCK + offset] = lanes[i];
            v16_store_half((uint16_t *)slot, v);
        }
    }
}
