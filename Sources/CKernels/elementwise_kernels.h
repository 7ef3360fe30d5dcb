// The bodies of the row kernels; included once per instruction set with CK_NAME(x) giving x its suffix.
//
// Rounding and order are part of the contract: sums run in 16 lanes (element i in lane i mod 16) and end in v16_sum.

/// Rounds to integers of at most 127 in size, nearest even, as what a float holds after adding 1.5 * 2^23.
CK_INLINE v16i CK_NAME(round_to_int8)(v16 x) {
    const v16 top = v16_splat(127.0f), magic = v16_splat(12582912.0f);
    // The first comparison keeps the conversion defined for NaN too.
    x = v16_select(x < top, x, top);
    x = v16_select(x > -top, x, -top);
    return (v16i)(x + magic) - (v16i)magic;
}

/// Stores the q of a block with its zero-point sums; returns sum(q).
CK_INLINE int32_t CK_NAME(store_quants)(v16i q0, v16i q1, ck_act_block *block) {
    typedef int8_t i8x16 __attribute__((vector_size(16), aligned(1)));
    *(i8x16 *)block->q = __builtin_convertvector(q0, i8x16);
    *(i8x16 *)(block->q + 16) = __builtin_convertvector(q1, i8x16);
    // The sums of both halves in one tree.
    const v16i sum16 = __builtin_shufflevector(q0, q1, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
                       __builtin_shufflevector(q0, q1, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    const v8i sum8 = __builtin_shufflevector(sum16, sum16, 0, 1, 2, 3, 8, 9, 10, 11) +
                     __builtin_shufflevector(sum16, sum16, 4, 5, 6, 7, 12, 13, 14, 15);
    const v4i sum4 = __builtin_shufflevector(sum8, sum8, 0, 1, 4, 5) + __builtin_shufflevector(sum8, sum8, 2, 3, 6, 7);
    const int32_t sum0 = sum4[0] + sum4[1], sum1 = sum4[2] + sum4[3];
    block->neg8_sum = -8 * (sum0 + sum1);
    block->neg16_sum = -16 * (sum0 + sum1);
    block->neg128_sum = -128 * (sum0 + sum1);
    block->neg32_low = -32 * sum0;
    block->neg32_high = -32 * sum1;
    return sum0 + sum1;
}

CK_INLINE void CK_NAME(quantize_block)(v16 a, v16 b, ck_act_block *block) {
    const v16i sign = (v16i)v16_splat(-0.0f);
    const float largest = v16_max_lane(v16_max((v16)((v16i)a & ~sign), (v16)((v16i)b & ~sign)));
    // A smaller block counts as zero: products of its scale with those of weights would leave the normal range, where
    // dividing them by 256 is no longer exact.
    if (!(largest > 0x1p-80f)) {
        *block = (ck_act_block){0};
        return;
    }
    const float inverse = 127.0f / largest;
    const int32_t sum =
        CK_NAME(store_quants)(CK_NAME(round_to_int8)(a * inverse), CK_NAME(round_to_int8)(b * inverse), block);
    block->scale = largest / 127.0f;
    block->scaled_sum = block->scale * (float)sum;
    block->refined = 0;
}

/// The 32 values from `start` on, zeros past the end.
CK_INLINE void CK_NAME(load_block)(const float *x, size_t start, size_t columns, v16 *low, v16 *high) {
    if (start + CK_BLOCK <= columns) {
        *low = v16_load(x + start);
        *high = v16_load(x + start + 16);
        return;
    }
    float rest[CK_BLOCK] = {0};
    memcpy(rest, x + start, (columns - start) * sizeof(float));
    *low = v16_load(rest);
    *high = v16_load(rest + 16);
}

/// What a block leaves of x, in steps of its scale / 256. Half a step of the block is 128 of them and becomes 127.
CK_INLINE v16i CK_NAME(residual)(v16 x, const int8_t *q, float scale) {
    typedef int8_t i8x16 __attribute__((vector_size(16), aligned(1)));
    const v16 rest = v16_fma(__builtin_convertvector(*(const i8x16 *)q, v16), v16_splat(-scale), x);
    return CK_NAME(round_to_int8)(rest * (256.0f / scale));
}

CK_INLINE void CK_NAME(refine_block)(v16 a, v16 b, ck_act_block *block, ck_act_block *refinement) {
    *refinement = (ck_act_block){0};
    const int32_t rest = CK_NAME(store_quants)(CK_NAME(residual)(a, block->q, block->scale),
                                               CK_NAME(residual)(b, block->q + 16, block->scale), refinement);
    const int32_t sum = block->neg8_sum / -8;
    block->scaled_sum = block->scale * 0x1p-8f * (float)(256 * sum + rest);
    block->refined = 1;
}

static void CK_NAME(ck_quantize_row)(const float *x, size_t columns, float refine_ratio, ck_act_block *blocks) {
    const size_t count = (columns + CK_BLOCK - 1) / CK_BLOCK;
    float squares = 0;
    v16 low, high;
    for (size_t b = 0; b < count; b++) {
        CK_NAME(load_block)(x, b * CK_BLOCK, columns, &low, &high);
        CK_NAME(quantize_block)(low, high, blocks + b);
        squares += blocks[b].scale * blocks[b].scale;
    }
    // A block's rounding error grows with the square of its scale. Rows of a transformer have a few outlying values,
    // and the blocks that hold them carry most of the row's error: those are quantised twice.
    const float limit = refine_ratio * squares / (float)count;
    for (size_t b = 0; b < count; b++) {
        ck_act_block *block = blocks + b, *refinement = blocks + count + b;
        if (!(block->scale * block->scale > limit)) {
            *refinement = (ck_act_block){0};
            continue;
        }
        CK_NAME(load_block)(x, b * CK_BLOCK, columns, &low, &high);
        CK_NAME(refine_block)(low, high, block, refinement);
    }
}

static void CK_NAME(ck_rmsnorm)(const float *x, const float *weight, float epsilon, size_t n, float *out) {
    if (n == 0) return;
    v16 squares = v16_splat(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const v16 v = v16_load(x + i);
        squares = v16_fma(v, v, squares);
    }
    if (i < n) {
        const v16 v = v16_load_part(x + i, n - i, 0);
        squares = v16_fma(v, v, squares);
    }
    const float scale = 1.0f / __builtin_sqrtf(v16_sum(squares) / (float)n + epsilon);
    for (i = 0; i + 16 <= n; i += 16) v16_store(out + i, v16_load(x + i) * scale * v16_load(weight + i));
    for (; i < n; i++) out[i] = x[i] * scale * weight[i];
}

static void CK_NAME(ck_add)(const float *x, size_t n, float *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(out + i, v16_load(out + i) + v16_load(x + i));
    for (; i < n; i++) out[i] += x[i];
}

static void CK_NAME(ck_add_scaled)(const float *x, float scale, size_t n, float *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(out + i, v16_fma(v16_splat(scale), v16_load(x + i), v16_load(out + i)));
    for (; i < n; i++) out[i] = __builtin_fmaf(scale, x[i], out[i]);
}

CK_INLINE v16 CK_NAME(silu)(v16 x) {
    return x / (v16_splat(1.0f) + v16_exp(-x));
}

/// x / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) * (x + 0.044715 x^3), written as x / (1 + exp(-2 u)), which loses no
/// digits where tanh(u) is near -1.
CK_INLINE v16 CK_NAME(gelu)(v16 x) {
    const v16 u = v16_fma(x * x * x, v16_splat(0.044715f), x);
    return x / (v16_splat(1.0f) + v16_exp(u * v16_splat(-1.5957691216057308f)));
}

#define CK_GATE(NAME, ACTIVATION)                                                                                      \
    static void CK_NAME(NAME)(const float *gate, const float *up, size_t n, float *out) {                              \
        size_t i = 0;                                                                                                  \
        for (; i + 16 <= n; i += 16) {                                                                                 \
            v16_store(out + i, CK_NAME(ACTIVATION)(v16_load(gate + i)) * v16_load(up + i));                            \
        }                                                                                                              \
        if (i < n) {                                                                                                   \
            const v16 y = CK_NAME(ACTIVATION)(v16_load_part(gate + i, n - i, 0));                                      \
            v16_store_part(out + i, n - i, y * v16_load_part(up + i, n - i, 0));                                       \
        }                                                                                                              \
    }

CK_GATE(ck_silu_mul, silu)
CK_GATE(ck_gelu_mul, gelu)

static void CK_NAME(ck_rope_interleaved)(float *x, size_t heads, size_t head_width, size_t rotary, const float *cosine,
                                         const float *sine) {
    const size_t pairs = rotary / 2;
    for (size_t h = 0; h < heads; h++, x += head_width) {
        size_t i = 0;
        for (; i + 8 <= pairs; i += 8) {
            typedef float v8_unaligned __attribute__((vector_size(32), aligned(4)));
            const v8 c = *(const v8_unaligned *)(cosine + i), s = *(const v8_unaligned *)(sine + i), t = -s;
            const v16 v = v16_load(x + 2 * i);
            const v16 swapped = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
            const v16 c2 = __builtin_shufflevector(c, c, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
            const v16 s2 = __builtin_shufflevector(t, s, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
            v16_store(x + 2 * i, v16_fma(v, c2, swapped * s2));
        }
        for (; i < pairs; i++) {
            const float a = x[2 * i], b = x[2 * i + 1];
            const float bs = b * -sine[i], as = a * sine[i];
            x[2 * i] = __builtin_fmaf(a, cosine[i], bs);
            x[2 * i + 1] = __builtin_fmaf(b, cosine[i], as);
        }
    }
}

static void CK_NAME(ck_rope_halves)(float *x, size_t heads, size_t head_width, size_t rotary, const float *cosine,
                                    const float *sine) {
    const size_t pairs = rotary / 2;
    for (size_t h = 0; h < heads; h++, x += head_width) {
        float *y = x + pairs;
        size_t i = 0;
        for (; i + 16 <= pairs; i += 16) {
            const v16 a = v16_load(x + i), b = v16_load(y + i), c = v16_load(cosine + i), s = v16_load(sine + i);
            v16_store(x + i, v16_fma(a, c, b * -s));
            v16_store(y + i, v16_fma(b, c, a * s));
        }
        for (; i < pairs; i++) {
            const float a = x[i], b = y[i];
            const float bs = b * -sine[i], as = a * sine[i];
            x[i] = __builtin_fmaf(a, cosine[i], bs);
            y[i] = __builtin_fmaf(b, cosine[i], as);
        }
    }
}

static void CK_NAME(ck_f32_to_f16)(const float *x, size_t n, uint16_t *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store_half(out + i, v16_load(x + i));
    for (; i < n; i++) out[i] = ck_float_to_half(x[i]);
}

static void CK_NAME(ck_f16_to_f32)(const uint16_t *x, size_t n, float *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(out + i, v16_load_half(x + i));
    for (; i < n; i++) out[i] = ck_half_to_float(x[i]);
}

static void CK_NAME(ck_bf16_to_f32)(const uint16_t *x, size_t n, float *out) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(out + i, v16_load_bfloat(x + i));
    for (; i < n; i++) out[i] = ck_bits_to_float((uint32_t)x[i] << 16);
}

static void CK_NAME(ck_dequantize_q8_0)(const uint8_t *blocks, size_t n, float *out) {
    typedef int8_t i8x16 __attribute__((vector_size(16), aligned(1)));
    for (size_t i = 0; i + 32 <= n; i += 32, blocks += 34) {
        const float d = ck_half_to_float(ck_load_u16(blocks));
        v16_store(out + i, __builtin_convertvector(*(const i8x16 *)(blocks + 2), v16) * d);
        v16_store(out + i + 16, __builtin_convertvector(*(const i8x16 *)(blocks + 18), v16) * d);
    }
}

static float CK_NAME(ck_max_log_sum_exp)(const float *x, size_t n, float *log_sum_exp) {
    v16 most = v16_splat(-__builtin_inff());
    size_t i = 0;
    for (; i + 16 <= n; i += 16) most = v16_max(v16_load(x + i), most);
    if (i < n) most = v16_max(v16_load_part(x + i, n - i, -__builtin_inff()), most);
    const float largest = v16_max_lane(most);
    if (log_sum_exp == NULL) return largest;
    v16 sum = v16_splat(0);
    for (i = 0; i + 16 <= n; i += 16) sum += v16_exp(v16_load(x + i) - largest);
    if (i < n) sum += v16_exp(v16_load_part(x + i, n - i, -__builtin_inff()) - largest);
    *log_sum_exp = largest + (float)__builtin_log((double)v16_sum(sum));
    return largest;
}

static size_t CK_NAME(ck_argmax)(const float *x, size_t n) {
    const float largest = CK_NAME(ck_max_log_sum_exp)(x, n, NULL);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const v16i hit = v16_load(x + i) == v16_splat(largest);
        int32_t any = 0;
        for (int lane = 0; lane < 16; lane++) any |= hit[lane];
        if (any) break;
    }
    for (; i < n; i++) {
        if (x[i] == largest) return i;
    }
    return 0;
}

static float CK_NAME(ck_exp_scaled)(const float *x, size_t n, float shift, float factor, float *out) {
    v16 sum = v16_splat(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const v16 y = v16_exp((v16_load(x + i) - shift) * factor);
        v16_store(out + i, y);
        sum += y;
    }
    if (i < n) {
        v16 y = v16_exp((v16_load_part(x + i, n - i, shift) - shift) * factor);
        v16_store_part(out + i, n - i, y);
        y = v16_load_part(out + i, n - i, 0);
        sum += y;
    }
    return v16_sum(sum);
}

// Float weights: four partial sums (column k in sum k mod 4), added as (0 + 1) + (2 + 3).
#define CK_FLOAT_PRODUCT(NAME, ELEMENT, LOAD)                                                                          \
    CK_INLINE void CK_NAME(NAME)(const ELEMENT *w, size_t padded, const float *x, const size_t tokens, size_t valid,   \
                                 float *out, size_t out_stride, ck_store store) {                                      \
        v16 sum[CK_FLOAT_TILE][4];                                                                                     \
        _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++) {                                       \
            _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) sum[t][i] = v16_splat(0);                   \
        }                                                                                                              \
        for (size_t k = 0; k < padded; k += 4, w += 64) {                                                              \
            _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) {                                           \
                const v16 weights = LOAD(w + 16 * i);                                                                  \
                _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++) {                               \
                    sum[t][i] = v16_fma(weights, v16_splat(x[t * padded + k + i]), sum[t][i]);                         \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++) {                                       \
            v16 y = (sum[t][0] + sum[t][1]) + (sum[t][2] + sum[t][3]);                                                 \
            float *target = out + t * out_stride;                                                                      \
            if (store == CK_ACCUMULATE) {                                                                              \
                y = (valid == 16 ? v16_load(target) : v16_load_part(target, valid, 0)) + y;                            \
            }                                                                                                          \
            if (valid == 16)                                                                                           \
                v16_store(target, y);                                                                                  \
            else                                                                                                       \
                v16_store_part(target, valid, y);                                                                      \
        }                                                                                                              \
    }

CK_FLOAT_PRODUCT(product_f32, float, v16_load)
CK_FLOAT_PRODUCT(product_f16, uint16_t, v16_load_half)
CK_FLOAT_PRODUCT(product_bf16, uint16_t, v16_load_bfloat)

/// Sixteen E4M3 values times 2^-8: their bits are those of an f16 whose exponent is that much smaller.
CK_INLINE v16 CK_NAME(load_f8)(const uint8_t *p) {
    typedef uint8_t u8x16 __attribute__((vector_size(16), aligned(1)));
    const u16x16 x = __builtin_convertvector(*(const u8x16 *)p, u16x16);
    return v16_from_half((x & 0x80) << 8 | (x & 0x7f) << 7);
}

/// The same sums over F8 records; weights are rounded to f32 once, as scale * value.
CK_INLINE void CK_NAME(product_f8)(const uint8_t *w, size_t padded, const float *x, const size_t tokens, size_t valid,
                                   float *out, size_t out_stride, ck_store store) {
    v16 sum[CK_FLOAT_TILE][4];
    _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++) {
        _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) sum[t][i] = v16_splat(0);
    }
    for (size_t k = 0; k < padded; w += CK_ROWS * CK_BLOCK) {
        const v16 scale = v16_load((const float *)w) * 256.0f;
        w += CK_ROWS * sizeof(float);
        for (size_t b = 0; b < CK_BLOCK; b += 4, k += 4) {
            _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) {
                const v16 weights = CK_NAME(load_f8)(w + (b + (size_t)i) * CK_ROWS) * scale;
                _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++) {
                    sum[t][i] = v16_fma(weights, v16_splat(x[t * padded + k + (size_t)i]), sum[t][i]);
                }
            }
        }
    }
    _Pragma("clang loop unroll(full)") for (size_t t = 0; t < tokens; t++) {
        v16 y = (sum[t][0] + sum[t][1]) + (sum[t][2] + sum[t][3]);
        float *target = out + t * out_stride;
        if (store == CK_ACCUMULATE) y = (valid == 16 ? v16_load(target) : v16_load_part(target, valid, 0)) + y;
        if (valid == 16) {
            v16_store(target, y);
        } else {
            v16_store_part(target, valid, y);
        }
    }
}

#define CK_FLOAT_TILES(NAME, ELEMENT)                                                                                  \
    for (size_t t = 0; t < tokens;) {                                                                                  \
        const size_t left = tokens - t;                                                                                \
        const float *x = activations + t * padded;                                                                     \
        float *y = target + t * out_stride;                                                                            \
        if (left >= CK_FLOAT_TILE) {                                                                                   \
            CK_NAME(NAME)((const ELEMENT *)panel, padded, x, CK_FLOAT_TILE, valid, y, out_stride, store);              \
            t += CK_FLOAT_TILE;                                                                                        \
        } else {                                                                                                       \
            CK_NAME(NAME)((const ELEMENT *)panel, padded, x, 1, valid, y, out_stride, store);                          \
            t += 1;                                                                                                    \
        }                                                                                                              \
    }

static void CK_NAME(ck_matmul_f)(const ck_matrix *w, size_t panel_begin, size_t panel_end, const float *activations,
                                 size_t tokens, float *out, size_t out_stride, ck_store store) {
    const size_t padded = w->blocks * CK_BLOCK;
    const size_t panel_bytes = w->blocks * ck_record_bytes(w->kind);
    for (size_t p = panel_begin; p < panel_end; p++) {
        const uint8_t *panel = w->panels + p * panel_bytes;
        const size_t valid = w->rows - p * CK_ROWS < CK_ROWS ? w->rows - p * CK_ROWS : CK_ROWS;
        float *target = out + p * CK_ROWS;
        switch (w->kind) {
        case CK_F32:
            CK_FLOAT_TILES(product_f32, float) break;
        case CK_F16:
            CK_FLOAT_TILES(product_f16, uint16_t) break;
        case CK_BF16:
            CK_FLOAT_TILES(product_bf16, uint16_t) break;
        case CK_F8:
            CK_FLOAT_TILES(product_f8, uint8_t) break;
        default:
            break;
        }
    }
}
