// The quantised product in plain C: the definition the SIMD twins are held to, bit by bit.
//
// Per row and block: an exact int32 dot product, then sum = fma((float)dot, d * scale, sum); Q4_MIN adds
// sum = fma(m, scaled_sum, sum). The zero-point kinds start the dot product at -zero * sum(q). A refined block adds its
// refinement the same way, right after itself.

static int32_t CK_NAME(dot)(const uint8_t *weights, const int8_t *q, size_t row, size_t first_group, size_t end_group) {
    int32_t sum = 0;
    for (size_t g = first_group; g < end_group; g++) {
        for (size_t j = 0; j < 4; j++) sum += (int32_t)weights[g * 64 + row * 4 + j] * q[g * 4 + j];
    }
    return sum;
}

static int32_t CK_NAME(dot_nibbles)(const uint8_t *weights, const int8_t *q, size_t row) {
    int32_t sum = 0;
    for (size_t g = 0; g < 4; g++) {
        for (size_t j = 0; j < 4; j++) {
            const uint8_t pair = weights[g * 64 + row * 4 + j];
            sum += (pair & 15) * q[g * 4 + j] + (pair >> 4) * q[(g + 4) * 4 + j];
        }
    }
    return sum;
}

static float CK_NAME(add_block)(ck_weight_kind kind, const uint8_t *record, const ck_act_block *a, size_t row,
                                float sum) {
    switch (kind) {
    case CK_Q4_MIN: {
        const float d = ck_half_to_float(ck_load_u16(record + CK_Q4_BYTES + row * 2)) * a->scale;
        const float m = ck_half_to_float(ck_load_u16(record + CK_Q4_BYTES + 32 + row * 2));
        sum = __builtin_fmaf((float)CK_NAME(dot_nibbles)(record, a->q, row), d, sum);
        return __builtin_fmaf(m, a->scaled_sum, sum);
    }
    case CK_Q4_ZERO: {
        const float d = ck_half_to_float(ck_load_u16(record + CK_Q4_BYTES + row * 2)) * a->scale;
        return __builtin_fmaf((float)(a->neg8_sum + CK_NAME(dot_nibbles)(record, a->q, row)), d, sum);
    }
    case CK_Q8_ZERO: {
        const float d = ck_half_to_float(ck_load_u16(record + CK_Q8_BYTES + row * 2)) * a->scale;
        return __builtin_fmaf((float)(a->neg128_sum + CK_NAME(dot)(record, a->q, row, 0, 8)), d, sum);
    }
    case CK_Q8_HALF: {
        float scales[2];
        memcpy(&scales[0], record + CK_Q8_BYTES + row * 4, 4);
        memcpy(&scales[1], record + CK_Q8_BYTES + 64 + row * 4, 4);
        const float d0 = scales[0] * a->scale, d1 = scales[1] * a->scale;
        sum = __builtin_fmaf((float)(a->neg128_low + CK_NAME(dot)(record, a->q, row, 0, 4)), d0, sum);
        return __builtin_fmaf((float)(a->neg128_high + CK_NAME(dot)(record, a->q, row, 4, 8)), d1, sum);
    }
    default:
        return sum;
    }
}

static void CK_NAME(ck_matmul_q)(const ck_matrix *w, size_t panel_begin, size_t panel_end,
                                 const ck_act_block *activations, size_t tokens, float *out, size_t out_stride,
                                 ck_store store) {
    const size_t record_bytes = ck_record_bytes(w->kind);
    for (size_t p = panel_begin; p < panel_end; p++) {
        const uint8_t *panel = w->panels + p * w->blocks * record_bytes;
        for (size_t t = 0; t < tokens; t++) {
            for (size_t r = 0; r < CK_ROWS && p * CK_ROWS + r < w->rows; r++) {
                float sum = 0;
                const ck_act_block *a = activations + t * 2 * w->blocks;
                for (size_t b = 0; b < w->blocks; b++) {
                    const uint8_t *record = panel + b * record_bytes;
                    sum = CK_NAME(add_block)(w->kind, record, a + b, r, sum);
                    if (a[b].refined) sum = CK_NAME(add_block)(w->kind, record, a + w->blocks + b, r, sum);
                }
                float *target = out + t * out_stride + p * CK_ROWS + r;
                *target = store == CK_ACCUMULATE ? *target + sum : sum;
            }
        }
    }
}
