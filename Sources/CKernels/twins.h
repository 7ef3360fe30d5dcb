// Builds the table of one instruction set from the shared bodies; the including file defines CK_NAME, CK_ISA,
// CK_FLOAT_TILE, CK_ATTENTION_ROWS, CK_LATENT_POSITIONS and its ck_matmul_q.
#include "elementwise_kernels.h"

#include "attention_softmax.h"

#include "attention_kernels.h"
#include "latent_kernels.h"

const ck_kernels CK_NAME(ck_table) = {
    .isa = CK_ISA,
    .quantize_row = CK_NAME(ck_quantize_row),
    .matmul_q = CK_NAME(ck_matmul_q),
    .matmul_f = CK_NAME(ck_matmul_f),
    .rmsnorm = CK_NAME(ck_rmsnorm),
    .add = CK_NAME(ck_add),
    .add_scaled = CK_NAME(ck_add_scaled),
    .silu_mul = CK_NAME(ck_silu_mul),
    .gelu_mul = CK_NAME(ck_gelu_mul),
    .rope_interleaved = CK_NAME(ck_rope_interleaved),
    .rope_halves = CK_NAME(ck_rope_halves),
    .f32_to_f16 = CK_NAME(ck_f32_to_f16),
    .f16_to_f32 = CK_NAME(ck_f16_to_f32),
    .bf16_to_f32 = CK_NAME(ck_bf16_to_f32),
    .dequantize_q8_0 = CK_NAME(ck_dequantize_q8_0),
    .kv_write = CK_NAME(ck_kv_write),
    .attend = CK_NAME(ck_attend),
    .attend_part = CK_NAME(ck_attend_part),
    .merge_partitions = CK_NAME(ck_merge_partitions),
    .latent_attend = CK_NAME(ck_latent_attend),
    .latent_attend_part = CK_NAME(ck_latent_attend_part),
    .latent_write = CK_NAME(ck_latent_write),
    .max_log_sum_exp = CK_NAME(ck_max_log_sum_exp),
    .argmax = CK_NAME(ck_argmax),
    .exp_scaled = CK_NAME(ck_exp_scaled),
};
