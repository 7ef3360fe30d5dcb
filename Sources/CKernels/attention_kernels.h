// The body of paged attention; included once per instruction set with CK_NAME(x) giving x its suffix and
// CK_ATTENTION_ROWS the most rows that are attended together.
//
// A row's arithmetic is fixed: blocks in order; a score is (even d sum) + (odd d sum), times scale; the running maximum,
// sum and output are corrected once per block; values are added position by position. Rows only share converted blocks,
// so how rows are grouped cannot be seen in the result. Versions tried: one score chain per row (latency bound when a
// decode has 3 rows), four chains (spills at 8 rows); two chains are as fast as four and leave registers for 8 rows.

typedef struct CK_NAME(attention_row) {
    const float *query;
    float *output;
    size_t limit;       // last visible position
    float maximum, sum;
} CK_NAME(attention_row);

// One block for `rows` rows (a constant after inlining).
CK_INLINE void CK_NAME(attend_block)(const ck_attention *a, const uint16_t *keys, const uint16_t *values,
                                     size_t start, CK_NAME(attention_row) *row, float (*sums)[256],
                                     const size_t rows) {
    const size_t dh = a->head_width;
    v16 even[CK_ATTENTION_ROWS], odd[CK_ATTENTION_ROWS];
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) even[r] = odd[r] = v16_splat(0);
    for (size_t d = 0; d < dh; d += 2) {
        const v16 k0 = v16_load_half(keys + d * CK_KV_BLOCK), k1 = v16_load_half(keys + (d + 1) * CK_KV_BLOCK);
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            even[r] = v16_fma(v16_splat(row[r].query[d]), k0, even[r]);
            odd[r] = v16_fma(v16_splat(row[r].query[d + 1]), k1, odd[r]);
        }
    }
    float weights[CK_ATTENTION_ROWS][16] __attribute__((aligned(64)));
    float correction[16] __attribute__((aligned(64)));
    for (size_t r = 0; r < 16; r++) correction[r] = 0;
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        v16 score = (even[r] + odd[r]) * a->scale;
        if (row[r].limit < start + CK_KV_BLOCK - 1) {
            const v16i last = (v16i){0} + (int32_t)(row[r].limit - start);
            score = v16_select(lane > last, v16_splat(-__builtin_inff()), score);
        }
        const float block_maximum = v16_max_lane(score);
        const float maximum = row[r].maximum > block_maximum ? row[r].maximum : block_maximum;
        correction[r] = row[r].maximum - maximum;
        row[r].maximum = maximum;
        const v16 weight = v16_exp(score - maximum);
        v16_store(weights[r], weight);
    }
    v16_store(correction, v16_exp(v16_load(correction)));
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        row[r].sum = __builtin_fmaf(row[r].sum, correction[r], v16_sum(v16_load(weights[r])));
    }
    for (size_t d = 0; d < dh; d += 16) {
        v16 sum[CK_ATTENTION_ROWS];
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            sum[r] = v16_load(sums[r] + d) * correction[r];
        }
        for (size_t j = 0; j < CK_KV_BLOCK; j++) {
            const v16 v = v16_load_half(values + j * dh + d);
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                sum[r] = v16_fma(v16_splat(weights[r][j]), v, sum[r]);
            }
        }
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) v16_store(sums[r] + d, sum[r]);
    }
}

CK_INLINE void CK_NAME(attend_rows)(const ck_attention *a, size_t first_row, const size_t rows) {
    CK_NAME(attention_row) row[CK_ATTENTION_ROWS];
    float sums[CK_ATTENTION_ROWS][256] __attribute__((aligned(64)));
    for (size_t r = 0; r < rows; r++) {
        const size_t query = (first_row + r) / a->group, head = (first_row + r) % a->group;
        row[r].query = a->query + query * a->query_stride + head * a->head_width;
        row[r].output = a->output + query * a->output_stride + head * a->head_width;
        row[r].limit = a->first_position + query;
        row[r].maximum = -__builtin_inff();
        row[r].sum = 0;
        memset(sums[r], 0, a->head_width * sizeof(float));
    }
    // Limits grow with the row, so the first row is the first to run out of blocks; the others then go on one by one,
    // which happens at most once or twice per sequence of rows.
    const size_t common = row[0].limit / CK_KV_BLOCK;
    for (size_t b = 0; b <= common; b++) {
        const size_t offset = (size_t)a->block_table[b] * a->block_stride;
        CK_NAME(attend_block)(a, a->keys + offset, a->values + offset, b * CK_KV_BLOCK, row, sums, rows);
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t b = common + 1; b <= row[r].limit / CK_KV_BLOCK; b++) {
            const size_t offset = (size_t)a->block_table[b] * a->block_stride;
            CK_NAME(attend_block)(a, a->keys + offset, a->values + offset, b * CK_KV_BLOCK, row + r, sums + r, 1);
        }
        const float inverse = 1.0f / row[r].sum;
        for (size_t d = 0; d < a->head_width; d += 16) v16_store(row[r].output + d, v16_load(sums[r] + d) * inverse);
    }
}

// Out of line, so that the register allocator sees one row count at a time.
#define CK_ATTEND_ROWS(N)                                                                                            \
    static __attribute__((noinline)) void CK_NAME(attend_rows_##N)(const ck_attention *a, size_t first_row) {        \
        CK_NAME(attend_rows)(a, first_row, N);                                                                       \
    }
CK_ATTEND_ROWS(1)
#if CK_ATTENTION_ROWS >= 4
CK_ATTEND_ROWS(2)
CK_ATTEND_ROWS(3)
CK_ATTEND_ROWS(4)
#endif
#if CK_ATTENTION_ROWS >= 8
CK_ATTEND_ROWS(5)
CK_ATTEND_ROWS(6)
CK_ATTEND_ROWS(7)
CK_ATTEND_ROWS(8)
#endif

static void CK_NAME(ck_attend)(const ck_attention *a, size_t row_begin, size_t row_end) {
    while (row_begin < row_end) {
        const size_t left = row_end - row_begin;
        const size_t rows = left < CK_ATTENTION_ROWS ? left : CK_ATTENTION_ROWS;
        switch (rows) {
#if CK_ATTENTION_ROWS >= 8
        case 8: CK_NAME(attend_rows_8)(a, row_begin); break;
        case 7: CK_NAME(attend_rows_7)(a, row_begin); break;
        case 6: CK_NAME(attend_rows_6)(a, row_begin); break;
        case 5: CK_NAME(attend_rows_5)(a, row_begin); break;
#endif
#if CK_ATTENTION_ROWS >= 4
        case 4: CK_NAME(attend_rows_4)(a, row_begin); break;
        case 3: CK_NAME(attend_rows_3)(a, row_begin); break;
        case 2: CK_NAME(attend_rows_2)(a, row_begin); break;
#endif
        default: CK_NAME(attend_rows_1)(a, row_begin); break;
        }
        row_begin += rows;
    }
}
