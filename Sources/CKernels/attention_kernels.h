// The body of paged attention; included once per instruction set with CK_NAME(x) giving x its suffix and
// CK_ATTENTION_ROWS the most rows that are attended together.
//
// A row's arithmetic is fixed: blocks in pairs (2i, 2i + 1), in order; a score is (even d sum) + (odd d sum), times
// scale; the running maximum, sum and output are corrected once per pair; values are added position by position. Rows
// only share converted blocks, so how rows are grouped cannot be seen in the result. Two score chains per row keep the
// multipliers busy at 4 rows and more and still leave registers for 8 rows.
//
// Measured with AVX-512, dh 64, 500 positions, one core: 33 Gflop/s for 1 row, 74 for 4, 98 for 8 (the conversions from
// f16 are shared). Version tried: a correction per block instead of per pair, 90 Gflop/s at 8 rows.

typedef struct CK_NAME(attention_row) {
    const float *query;
    float *output;
    size_t limit; // last visible position
    float maximum, sum;
} CK_NAME(attention_row);

// Scores of one block: out[r] for `rows` rows (a constant after inlining), -inf where a row may not look.
CK_INLINE void CK_NAME(score_block)(const ck_attention *a, const uint16_t *keys, size_t start,
                                    const CK_NAME(attention_row) * row, v16 *out, const size_t rows) {
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
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
        out[r] = (even[r] + odd[r]) * a->scale;
        if (row[r].limit < start + CK_KV_BLOCK - 1) {
            const v16i last = (v16i){0} + (int32_t)(row[r].limit - start);
            out[r] = v16_select(lane > last, v16_splat(-__builtin_inff()), out[r]);
        }
    }
}

// Blocks `first` and, when `both`, `first + 1` for `rows` rows.
CK_INLINE void CK_NAME(attend_pair)(const ck_attention *a, size_t first, bool both, CK_NAME(attention_row) * row,
                                    float (*sums)[256], const size_t rows) {
    const size_t dh = a->head_width;
    const size_t offset0 = (size_t)a->block_table[first] * a->block_stride;
    const size_t offset1 = both ? (size_t)a->block_table[first + 1] * a->block_stride : 0;
    v16 score[2][CK_ATTENTION_ROWS];
    CK_NAME(score_block)(a, a->keys + offset0, first * CK_KV_BLOCK, row, score[0], rows);
    if (both) {
        CK_NAME(score_block)(a, a->keys + offset1, (first + 1) * CK_KV_BLOCK, row, score[1], rows);
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
    const uint16_t *values0 = a->values + offset0, *values1 = a->values + offset1;
    for (size_t d = 0; d < dh; d += 16) {
        v16 sum[CK_ATTENTION_ROWS];
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
            sum[r] = v16_load(sums[r] + d) * correction[r];
        }
        for (size_t j = 0; j < CK_KV_BLOCK; j++) {
            const v16 v = v16_load_half(values0 + j * dh + d);
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                sum[r] = v16_fma(v16_splat(weights[r][j]), v, sum[r]);
            }
        }
        for (size_t j = 0; both && j < CK_KV_BLOCK; j++) {
            const v16 v = v16_load_half(values1 + j * dh + d);
            _Pragma("clang loop unroll(full)") for (size_t r = 0; r < rows; r++) {
                sum[r] = v16_fma(v16_splat(weights[r][16 + j]), v, sum[r]);
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
    // Limits grow with the row. Rows that end in one block go together to the end; otherwise together as far as every
    // row has both blocks of a pair, then one by one, so that no row ever meets a block beyond its limit.
    const size_t least = row[0].limit / CK_KV_BLOCK, most = row[rows - 1].limit / CK_KV_BLOCK;
    size_t common = least == most ? most + 1 : (least + 1) / 2 * 2;
    for (size_t b = 0; b < common; b += 2) CK_NAME(attend_pair)(a, b, b + 1 < common, row, sums, rows);
    for (size_t r = 0; r < rows; r++) {
        const size_t end = row[r].limit / CK_KV_BLOCK + 1;
        for (size_t b = common; b < end; b += 2) {
            CK_NAME(attend_pair)(a, b, b + 1 < end, row + r, sums + r, 1);
        }
        const float inverse = 1.0f / row[r].sum;
        for (size_t d = 0; d < a->head_width; d += 16) v16_store(row[r].output + d, v16_load(sums[r] + d) * inverse);
    }
}

// Out of line, so that the register allocator sees one row count at a time.
#define CK_ATTEND_ROWS(N)                                                                                              \
    static __attribute__((noinline)) void CK_NAME(attend_rows_##N)(const ck_attention *a, size_t first_row) {          \
        CK_NAME(attend_rows)(a, first_row, N);                                                                         \
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
        case 8:
            CK_NAME(attend_rows_8)(a, row_begin);
            break;
        case 7:
            CK_NAME(attend_rows_7)(a, row_begin);
            break;
        case 6:
            CK_NAME(attend_rows_6)(a, row_begin);
            break;
        case 5:
            CK_NAME(attend_rows_5)(a, row_begin);
            break;
#endif
#if CK_ATTENTION_ROWS >= 4
        case 4:
            CK_NAME(attend_rows_4)(a, row_begin);
            break;
        case 3:
            CK_NAME(attend_rows_3)(a, row_begin);
            break;
        case 2:
            CK_NAME(attend_rows_2)(a, row_begin);
            break;
#endif
        default:
            CK_NAME(attend_rows_1)(a, row_begin);
            break;
        }
        row_begin += rows;
    }
}
