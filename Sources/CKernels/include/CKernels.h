// CKernels: the numeric kernels, in C with SIMD, behind one table of functions per instruction set.
//
// Letters used below: T tokens, N weight rows (outputs), K weight columns (inputs), B = ceil(K / 32) blocks of 32,
// P = ceil(N / 16) panels of 16 rows, dh head width, KVH kv heads, G query heads per kv head.
//
// Every table computes bit-identical results: reductions have one fixed order, fused multiply-adds are explicit, and
// exp is one polynomial. A token's result depends neither on the batch it is in nor on how work is split.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------------------------
// Weights: panels of 16 output rows.

/// How the panels of a matrix are stored, named after the ggml type whose values they keep exactly. A panel is its
/// records in order; a record is 16 rows x 32 columns, of a K-quant 16 rows x 256 columns (8 blocks, K a multiple of
/// 256). Rows and columns past the end are zero weights.
///
///     kind    bytes  record                                                            weight
///     Q4_0      288  nibbles, d                                                        d * (q - 8)
///     Q4_1      320  nibbles, d, m                                                     d * q + m
///     Q5_0      352  nibbles, plane, d                                                 d * (q - 16)
///     Q5_1      384  nibbles, plane, d, m                                              d * q + m
///     Q8_0      544  bytes, d                                                          d * (q - 128)
///     IQ4_NL    288  nibbles, d                                                        d * (level[q] - 128),
///     CK_IQ4_LEVELS Q2_K     1344  d, m, codes [8, 2, 16] of scale | minimum << 4, 8 x pairs         d * s * q - m * n
///     Q3_K     1824  d, signed scales [8, 2, 16], 8 x (pairs, plane)                   d * s * (q - 4)
///     Q4_K     2368  d, m, scales [8, 16], minimums [8, 16], 8 x nibbles               d * s * q - m * n
///     Q5_K     2880  d, m, scales [8, 16], minimums [8, 16], 8 x (nibbles, plane)      d * s * q - m * n
///     Q6_K     3360  d, signed scales [8, 2, 16], 8 x (nibbles, pairs)                 d * s * (q - 32)
///     F32, F16, BF16   2048, 1024, 1024: [32 columns, 16 rows] values
///     F8        576  16 f32 d, [32 columns, 16 rows] E4M3 values                       d * q, rounded to f32
///
/// d and m are 16 f16, scales and minimums 16 bytes per block; [8, 2, 16] has one for columns 0..<16 of each block and
/// one for columns 16..<32. Quants of a block are 8 groups of [16 rows, 4 columns]:
/// - bytes (512): the groups in order.
/// - nibbles (256): [4, 16, 4]; the low nibble of part i belongs to group i and the high one to group i + 4.
/// - pairs (128): [2, 16, 4]; bits 2j and 2j + 1 of part i belong to group 4i + j. The high bits of Q6_K.
/// - plane (64): [16, 4]; bit g belongs to group g. The highest bit of the kinds that have one.
typedef enum ck_weight_kind {
    CK_Q4_0 = 0,
    CK_Q4_1 = 1,
    CK_Q5_0 = 2,
    CK_Q5_1 = 3,
    CK_Q8_0 = 4,
    CK_Q2_K = 5,
    CK_Q3_K = 6,
    CK_Q4_K = 7,
    CK_Q5_K = 8,
    CK_Q6_K = 9,
    CK_IQ4_NL = 10,
    CK_F32 = 11, ///< The float kinds start here.
    CK_F16 = 12,
    CK_BF16 = 13,
    CK_F8 = 14,
} ck_weight_kind;

/// Bytes of one record.
size_t ck_record_bytes(ck_weight_kind kind);

/// Bytes of a panel of `blocks` blocks of 32 columns.
size_t ck_panel_bytes(ck_weight_kind kind, size_t blocks);

/// A packed matrix [N, K]; the panels are owned by the caller.
typedef struct ck_matrix {
    const uint8_t *panels; ///< P panels of ck_panel_bytes(kind, blocks), 64-byte aligned
    size_t rows;           ///< N
    size_t blocks;         ///< B
    ck_weight_kind kind;
} ck_matrix;

/// Packs 16 rows of a ggml tensor into one panel. `rows[i]` points at row i's first block of ggml type `ggml_type`
/// (0 F32, 1 F16, 2 Q4_0, 3 Q4_1, 6 Q5_0, 7 Q5_1, 8 Q8_0, 10...14 Q2_K...Q6_K, 20 IQ4_NL, 30 BF16) or is NULL for a
/// padding row; `columns` is K, whole blocks of the type. Returns false when the type has no packing.
bool ck_pack_panel(uint32_t ggml_type, const uint8_t *const rows[16], size_t columns, uint8_t *panel);

/// Packs 16 rows of 8-bit floats (E4M3FN; NaN becomes 480) into one F8 panel. `rows[i]` as above; `scales[i]` has row
/// i's scales, one for each block of 32 columns.
void ck_pack_f8_panel(const uint8_t *const rows[16], const float *const scales[16], size_t columns, uint8_t *panel);

/// The panel kind of a ggml type, or -1.
int ck_kind_of_type(uint32_t ggml_type);

// ---------------------------------------------------------------------------------------------------------------
// Activations.

/// The usual refine_ratio. A block is refined when the square of its scale exceeds the row's mean square by this
/// factor. At 1.5 those are some 10-15 % of the blocks, which hold 65-80 % of the rounding error of a row (measured on
/// the inputs of SmolLM2-135M); at 2 fewer. docs/engine-performance.md has what 1.5, 2 and 2.5 cost.
#define CK_REFINE_RATIO 2.0f

/// One block of 32 quantised activations, one cache line: x[i] ~ scale * q[i], and if refined
/// x[i] ~ scale * (q[i] + r[i] / 256), where r is the q of the block's refinement. A row of K values is B such blocks
/// and then B refinements. The power of two lets a product sum both in one integer. A refinement has the sums of its
/// own q in the neg fields and leaves the rest 0; it is all zeros where there is none.
typedef struct ck_act_block {
    float scale;        ///< amax / 127, 0 for a block of zeros
    float scaled_sum;   ///< scale * sum(q), refinement included
    int32_t neg8_sum;   ///< -8 * sum(q): what the zero point of Q4_0 adds to sum(w * q)
    int32_t neg16_sum;  ///< -16 * sum(q)
    int32_t neg128_sum; ///< -128 * sum(q)
    int32_t neg32_low;  ///< -32 * sum(q[0..<16])
    int32_t neg32_high; ///< -32 * sum(q[16..<32])
    int32_t refined;    ///< 1 when the block has a refinement
    int8_t q[32];
} ck_act_block;

/// What a product does with the output that is there.
typedef enum ck_store { CK_STORE = 0, CK_ACCUMULATE = 1 } ck_store;

// ---------------------------------------------------------------------------------------------------------------
// Attention over a paged cache.

enum {
    CK_KV_BLOCK = 16,
    CK_KV_PARTITION = 128, ///< positions that share one running maximum; partitions are merged in order
    CK_PARTIAL_EXTRA = 16, ///< floats that a partial result has besides its outputs: maximum, sum, padding
    CK_VALUE_WIDTH = 1024, ///< the largest width of a value
};

/// How a cache holds numbers. With width w = ck_kv_width(dh), keys of one block and kv head are [w, 16 positions] and
/// values [16 positions, w]; what lies past dh counts for nothing. With int8 16 f32 scales follow, one a position.
typedef enum ck_kv_kind { CK_KV_F16 = 0, CK_KV_INT8 = 1, CK_KV_F32 = 2 } ck_kv_kind;

/// A width rounded up to whole vectors.
static inline size_t ck_kv_width(size_t width) {
    return (width + 15) / 16 * 16;
}

/// Bytes of one number, without the scales of int8.
static inline size_t ck_kv_element_bytes(ck_kv_kind kind) {
    return kind == CK_KV_F32 ? 4 : kind == CK_KV_F16 ? 2 : 1;
}

/// Bytes of the keys (or values) of one block and kv head, a multiple of 64.
static inline size_t ck_kv_head_bytes(ck_kv_kind kind, size_t head_width) {
    const size_t numbers = ck_kv_width(head_width) * CK_KV_BLOCK * ck_kv_element_bytes(kind);
    return kind == CK_KV_INT8 ? numbers + CK_KV_BLOCK * 4 : numbers;
}

/// One (sequence, kv head) attention problem. Flattened row r is query r / G, head r % G of the kv head's group.
typedef struct ck_attention {
    const float *query; ///< query token i's G heads [G, dh] of this kv head start at query + i * query_stride
    float *output;      ///< the same form
    size_t query_stride, output_stride;
    const uint8_t *keys;   ///< [blocks, KVH, head bytes], already offset to this kv head
    const uint8_t *values; ///< the same
    size_t block_stride;   ///< bytes from one block to the next: KVH * head bytes
    ck_kv_kind kind;
    const int32_t *block_table; ///< block ids of the sequence, in order
    size_t first_position;      ///< query token i sees positions up to first_position + i
    size_t window;              ///< and this many at most, its own included; SIZE_MAX for all
    size_t group;               ///< G
    size_t head_width;          ///< dh, at most 256
    float scale;                ///< multiplies q.k
} ck_attention;

/// One sequence's attention over a latent cache, which holds one row of `width` numbers a position for all heads. Row r
/// is query r / heads, head r % heads. The whole of a cached row is the key, its first `value_width` numbers the value.
typedef struct ck_latent {
    const float *query; ///< query token i's heads [heads, width] start at query + i * query_stride
    float *output;      ///< heads [heads, value_width], the same form
    size_t query_stride, output_stride;
    const uint8_t *cache; ///< [blocks, 16 positions, width] of one layer, and 64 readable bytes after it
    ck_kv_kind kind;      ///< f16 or f32
    const int32_t *block_table;
    size_t first_position;
    size_t heads;
    size_t width;       ///< at most 2048
    size_t value_width; ///< at most CK_VALUE_WIDTH
    float scale;
} ck_latent;

// ---------------------------------------------------------------------------------------------------------------
// The table.

typedef enum ck_isa { CK_GENERIC = 0, CK_AVX2 = 1, CK_AVX512 = 2 } ck_isa;

typedef struct ck_kernels {
    ck_isa isa;
    /// Quantises `columns` floats (padded with zeros to whole blocks) into blocks[0..<2 B]. A block is refined when the
    /// square of its scale exceeds refine_ratio times the row's mean square; 0 refines all.
    void (*quantize_row)(const float *x, size_t columns, float refine_ratio, ck_act_block *blocks);
    /// Quantised product: out[t * out_stride + n] (=, +=) sum_k W[n, k] * x[t, k], n in panels
    /// panel_begin..<panel_end (rows past N are not written), t in 0..<tokens. activations: [tokens, 2, B].
    void (*matmul_q)(const ck_matrix *w, size_t panel_begin, size_t panel_end, const ck_act_block *activations,
                     size_t tokens, float *out, size_t out_stride, ck_store store);
    /// The same for the float kinds. activations: [tokens, B * 32] floats, zero-padded.
    void (*matmul_f)(const ck_matrix *w, size_t panel_begin, size_t panel_end, const float *activations, size_t tokens,
                     float *out, size_t out_stride, ck_store store);
    /// out[i] = x[i] * (1 / sqrt(mean(x^2) + epsilon)) * weight[i]; may be in place.
    void (*rmsnorm)(const float *x, const float *weight, float epsilon, size_t n, float *out);
    /// out[i] += x[i].
    void (*add)(const float *x, size_t n, float *out);
    /// out[i] = fma(scale, x[i], out[i]).
    void (*add_scaled)(const float *x, float scale, size_t n, float *out);
    /// out[i] = silu(gate[i]) * up[i]; may be in place.
    void (*silu_mul)(const float *gate, const float *up, size_t n, float *out);
    /// The same with gelu, in its approximation by tanh.
    void (*gelu_mul)(const float *gate, const float *up, size_t n, float *out);
    /// In place rotation of `heads` heads [heads, dh]; cosine, sine: [rotary / 2]; pairs (2i, 2i + 1); the values from
    /// `rotary` to dh stay.
    void (*rope_interleaved)(float *x, size_t heads, size_t head_width, size_t rotary, const float *cosine,
                             const float *sine);
    /// The same for pairs (i, i + rotary / 2).
    void (*rope_halves)(float *x, size_t heads, size_t head_width, size_t rotary, const float *cosine,
                        const float *sine);
    void (*f32_to_f16)(const float *x, size_t n, uint16_t *out); ///< nearest even
    void (*f16_to_f32)(const uint16_t *x, size_t n, float *out);
    void (*bf16_to_f32)(const uint16_t *x, size_t n, float *out);
    void (*dequantize_q8_0)(const uint8_t *blocks, size_t n, float *out); ///< n a multiple of 32
    /// Writes one token's key and value rows of one kv head into slot `offset` of its block. Values are clamped to
    /// finite f16 so that a reused block can never poison its next owner.
    void (*kv_write)(ck_kv_kind kind, const float *key, const float *value, size_t head_width, size_t offset,
                     uint8_t *key_block, uint8_t *value_block);
    /// Attends flattened rows row_begin..<row_end.
    void (*attend)(const ck_attention *a, size_t row_begin, size_t row_end);
    /// Attends one partition only, which every row must reach: partials [rows, ck_kv_width(dh) + CK_PARTIAL_EXTRA]. A
    /// row whose window begins after the partition gets the maximum -inf, which merging passes over.
    void (*attend_part)(const ck_attention *a, size_t row_begin, size_t row_end, size_t partition, float *partials);
    /// What `attend` gives for a row, from the partitions it sees, in order, `stride` floats apart; output: [dh].
    void (*merge_partitions)(const float *partials, size_t partitions, size_t stride, size_t head_width, float *output);
    /// The same over a latent cache; partials [rows, ck_kv_width(value_width) + CK_PARTIAL_EXTRA].
    void (*latent_attend)(const ck_latent *a, size_t row_begin, size_t row_end);
    void (*latent_attend_part)(const ck_latent *a, size_t row_begin, size_t row_end, size_t partition, float *partials);
    /// Stores `n` numbers of a latent row, clamped to finite values.
    void (*latent_write)(ck_kv_kind kind, const float *x, size_t n, uint8_t *row);
    /// The largest value, and log(sum(exp(x))) when log_sum_exp is not NULL; n >= 1.
    float (*max_log_sum_exp)(const float *x, size_t n, float *log_sum_exp);
    /// The lowest index of the largest value; n >= 1.
    size_t (*argmax)(const float *x, size_t n);
    /// out[i] = exp((x[i] - shift) * factor); returns the sum in the fixed order.
    float (*exp_scaled)(const float *x, size_t n, float shift, float factor, float *out);
} ck_kernels;

/// The table of one instruction set, or NULL where this machine or build lacks it.
const ck_kernels *ck_kernels_for(ck_isa isa);

/// The best table for this machine, or the one that FATHOM_KERNELS (generic, avx2, avx512) names when it is available.
const ck_kernels *ck_kernels_active(void);

// ---------------------------------------------------------------------------------------------------------------
// Memory and threads.

/// Zeroed memory, 64-byte aligned, in huge pages where they help; NULL when there is none.
void *ck_allocate(size_t bytes);
void ck_release(void *memory, size_t bytes);

/// A pool of persistent threads; thread 0 is whoever calls ck_pool_run. Waiting spins briefly, then parks on a futex,
/// so that throughput falls in proportion when other processes take cores.
typedef struct ck_pool ck_pool;

/// NULL when threads cannot be made. threads: 1...256.
ck_pool *ck_pool_create(size_t threads);
void ck_pool_destroy(ck_pool *pool);
/// Runs body(context, thread) on every thread and returns when all have returned. Not reentrant; one caller at a time.
void ck_pool_run(ck_pool *pool, void (*body)(void *context, size_t thread), void *context);
/// Inside a region, called by all threads the same number of times: nobody passes until all have arrived. Chunks
/// can be claimed anew.
void ck_pool_barrier(ck_pool *pool);
/// Inside a region: each of 0..<chunks is given to one thread, first those of the thread's own contiguous share, then
/// what others have not come to; `chunks` when all are given away. Starts anew in each region and after each barrier.
size_t ck_pool_claim(ck_pool *pool, size_t chunks);

// ---------------------------------------------------------------------------------------------------------------
// Probes: what a core can do at best. Every thread calls them for itself, at the same time for the machine's limits.

/// Reads `bytes` bytes in order, once; bytes per second. Parts of a buffer far larger than the caches, one for each
/// thread and written before, give the bandwidth of main memory.
double ck_probe_read_bytes_per_second(const void *memory, size_t bytes);

/// Multiplies and adds int8 in registers for about `seconds`, with the instructions of the set's matmul_q; operations
/// per second, a product and its addition being two. 0 where the set is missing.
double ck_probe_int8_ops_per_second(ck_isa isa, double seconds);

#ifdef __cplusplus
}
#endif
#endif
