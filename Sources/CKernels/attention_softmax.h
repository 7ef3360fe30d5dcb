// What both forms of paged attention share: the running softmax, the merging of partitions, and numbers of a cache;
// included once per instruction set with CK_NAME(x) giving x its suffix and CK_ATTENTION_ROWS the most rows that are
// attended together.
//
// A row's arithmetic is fixed. Positions form partitions of CK_KV_PARTITION. Within one: blocks in pairs (2i, 2i + 1),
// in order; the running maximum, sum and output are corrected once per pair; values are added position by position.
// Partitions are merged in order. So neither how rows are grouped nor which thread computes which partition can be seen
// in the result. A block that a row may not look at leaves it as it was to the bit, whether it is read or not.

enum { CK_NAME(PARTITION_BLOCKS) = CK_KV_PARTITION / CK_KV_BLOCK };

typedef struct CK_NAME(attention_row) {
    const float *query;
    float *output;
    size_t first, limit; // visible positions, both included
    float maximum, sum;
} CK_NAME(attention_row);

/// Scores of the block that starts at position `start`, -inf where the row may not look.
CK_INLINE v16 CK_NAME(visible)(const CK_NAME(attention_row) * row, size_t start, v16 score) {
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    if (row->limit < start + CK_KV_BLOCK - 1) {
        const v16i last = (v16i){0} + (int32_t)(row->limit - start);
        score = v16_select(lane > last, v16_splat(-__builtin_inff()), score);
    }
    if (row->first > start) {
        const v16i first = (v16i){0} + (int32_t)(row->first - start);
        score = v16_select(lane < first, v16_splat(-__builtin_inff()), score);
    }
    return score;
}

/// Takes a pair of blocks into the running softmax: scores become weights, and the outputs so far are to be multiplied
/// by the corrections.
CK_INLINE void CK_NAME(softmax_pair)(v16 score[2][CK_ATTENTION_ROWS], CK_NAME(attention_row) * row,
                                     float weights[CK_ATTENTION_ROWS][32], float correction[16], const size_t rows) {
    v16_store(correction, v16_splat(0));
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        const float pair_maximum = v16_max_lane(v16_max(score[0][r], score[1][r]));
        const float maximum = row[r].maximum > pair_maximum ? row[r].maximum : pair_maximum;
        // A row that has seen nothing yet, because its window begins later, gets weights of 0.
        const float shift = maximum == -__builtin_inff() ? 0 : maximum;
        correction[r] = row[r].maximum - shift;
        row[r].maximum = maximum;
        v16_store(weights[r], v16_exp(score[0][r] - shift));
        v16_store(weights[r] + 16, v16_exp(score[1][r] - shift));
    }
    v16_store(correction, v16_exp(v16_load(correction)));
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        const float sum = v16_sum(v16_load(weights[r]) + v16_load(weights[r] + 16));
        row[r].sum = __builtin_fmaf(row[r].sum, correction[r], sum);
    }
}

/// Merges a partition into what came before it: [maximum, sum, outputs * sum]. One without a visible position is passed
/// over.
CK_INLINE void CK_NAME(merge)(float maximum, float sum, const float *output, size_t width, float *total_maximum,
                              float *total_sum, float *total) {
    if (maximum == -__builtin_inff()) return;
    const float largest = *total_maximum > maximum ? *total_maximum : maximum;
    const v16 factors = v16_exp((v16){*total_maximum - largest, maximum - largest});
    *total_sum = __builtin_fmaf(*total_sum, factors[0], sum * factors[1]);
    for (size_t d = 0; d < width; d += 16) {
        v16_store(total + d, v16_fma(v16_load(total + d), v16_splat(factors[0]), v16_load(output + d) * factors[1]));
    }
    *total_maximum = largest;
}

/// output = total / sum; `total` has whole vectors, `output` only `width` values.
CK_INLINE void CK_NAME(divide)(const float *total, float sum, size_t width, float *output) {
    const float inverse = 1.0f / sum;
    size_t d = 0;
    for (; d + 16 <= width; d += 16) v16_store(output + d, v16_load(total + d) * inverse);
    if (d < width) v16_store_part(output + d, width - d, v16_load(total + d) * inverse);
}

static void CK_NAME(ck_merge_partitions)(const float *partials, size_t partitions, size_t stride, size_t head_width,
                                         float *output) {
    const size_t width = ck_kv_width(head_width);
    float total[CK_VALUE_WIDTH] __attribute__((aligned(64)));
    float maximum = -__builtin_inff(), sum = 0;
    memset(total, 0, width * sizeof(float));
    for (size_t p = 0; p < partitions; p++, partials += stride) {
        CK_NAME(merge)(partials[width], partials[width + 1], partials, width, &maximum, &sum, total);
    }
    CK_NAME(divide)(total, sum, head_width, output);
}

/// Sixteen numbers from `index` on.
CK_INLINE v16 CK_NAME(load_kv)(const uint8_t *numbers, size_t index, const ck_kv_kind kind) {
    typedef int8_t i8x16 __attribute__((vector_size(16), aligned(1)));
    if (kind == CK_KV_INT8) return __builtin_convertvector(*(const i8x16 *)(numbers + index), v16);
    if (kind == CK_KV_F32) return v16_load((const float *)numbers + index);
    return v16_load_half((const uint16_t *)numbers + index);
}

/// The largest finite size a kind holds; with int8 the range of f16, as its scale would allow more than scores can
/// bear.
CK_INLINE float CK_NAME(kv_limit)(const ck_kv_kind kind) {
    return kind == CK_KV_F32 ? 0x1.fffffep127f : 65504.0f;
}

/// Both comparisons are written so that NaN becomes a bound.
CK_INLINE v16 CK_NAME(finite)(v16 x, float limit) {
    x = v16_select(x > v16_splat(-limit), x, v16_splat(-limit));
    return v16_select(x < v16_splat(limit), x, v16_splat(limit));
}

/// The vector at `x + d` of a row of `n` values, finite, zeros past the end.
CK_INLINE v16 CK_NAME(load_finite)(const float *x, size_t d, size_t n, float limit) {
    return CK_NAME(finite)(d + 16 <= n ? v16_load(x + d) : v16_load_part(x + d, n - d, 0), limit);
}
