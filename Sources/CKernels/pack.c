// Packing: ggml rows into panels. Hardly more than byte moves, so it runs at about memory speed.
#include <stdbool.h>

#include "CKernels.h"
#include "records.h"

size_t ck_record_bytes(ck_weight_kind kind) {
    switch (kind) {
    case CK_F32:
        return CK_ROWS * CK_BLOCK * 4;
    case CK_F16:
    case CK_BF16:
        return CK_ROWS * CK_BLOCK * 2;
    case CK_F8:
        return CK_ROWS * sizeof(float) + CK_ROWS * CK_BLOCK;
    default:
        return ck_layout_bytes(ck_layout_of(kind));
    }
}

size_t ck_panel_bytes(ck_weight_kind kind, size_t blocks) {
    return blocks / ck_layout_of(kind).blocks * ck_record_bytes(kind);
}

int ck_kind_of_type(uint32_t ggml_type) {
    switch (ggml_type) {
    case 0:
        return CK_F32;
    case 1:
        return CK_F16;
    case 2:
        return CK_Q4_0;
    case 3:
        return CK_Q4_1;
    case 6:
        return CK_Q5_0;
    case 7:
        return CK_Q5_1;
    case 8:
        return CK_Q8_0;
    case 10:
        return CK_Q2_K;
    case 11:
        return CK_Q3_K;
    case 12:
        return CK_Q4_K;
    case 13:
        return CK_Q5_K;
    case 14:
        return CK_Q6_K;
    case 20:
        return CK_IQ4_NL;
    case 30:
        return CK_BF16;
    default:
        return -1;
    }
}

// One row's share of a block: 4 columns of a group are 4 bytes, handled as one word whatever its byte order.
typedef uint32_t quad;

static quad load_quad(const uint8_t *p) {
    quad value;
    memcpy(&value, p, sizeof value);
    return value;
}

/// Group `g` of row `r` in a piece whose groups lie one after the other.
static void store_quad(uint8_t *piece, size_t g, size_t r, quad value) {
    memcpy(piece + g * 64 + r * 4, &value, sizeof value);
}

/// Bits `shift` and `shift + 1` of a row's 32 quants.
static void store_pairs(const uint8_t q[32], int shift, size_t r, uint8_t *pairs) {
    for (size_t i = 0; i < 2; i++) {
        quad value = 0;
        for (size_t j = 0; j < 4; j++) value |= (load_quad(q + (i * 4 + j) * 4) >> shift & 0x03030303u) << (2 * j);
        store_quad(pairs, i, r, value);
    }
}

/// Bit `shift` of a row's 32 quants.
static void store_plane(const uint8_t q[32], int shift, size_t r, uint8_t *plane) {
    quad value = 0;
    for (size_t g = 0; g < 8; g++) value |= (load_quad(q + g * 4) >> shift & 0x01010101u) << g;
    store_quad(plane, 0, r, value);
}

/// A row's 32 quants in the pieces that its kind has.
static void store_quants(ck_weight_kind kind, const uint8_t q[32], size_t r, uint8_t *quants) {
    switch (kind) {
    case CK_Q8_0:
        for (size_t g = 0; g < 8; g++) store_quad(quants, g, r, load_quad(q + g * 4));
        return;
    case CK_Q2_K:
        store_pairs(q, 0, r, quants);
        return;
    case CK_Q3_K:
        store_pairs(q, 0, r, quants);
        store_plane(q, 2, r, quants + CK_PAIRS);
        return;
    default:
        break;
    }
    for (size_t g = 0; g < 4; g++) {
        const quad low = load_quad(q + g * 4) & 0x0f0f0f0fu, high = load_quad(q + 16 + g * 4) & 0x0f0f0f0fu;
        store_quad(quants, g, r, low | high << 4);
    }
    if (kind == CK_Q5_0 || kind == CK_Q5_1 || kind == CK_Q5_K) store_plane(q, 4, r, quants + CK_NIBBLES);
    if (kind == CK_Q6_K) store_pairs(q, 4, r, quants + CK_NIBBLES);
}

static void store_half(const uint8_t *half, size_t r, uint8_t *halves) {
    memcpy(halves + r * 2, half, 2);
}

/// 4-bit pairs of the 32-column types: element i in the low nibble of byte i, element i + 16 in the high one.
static void load_nibbles(const uint8_t *source, uint8_t q[32]) {
    for (size_t i = 0; i < 16; i++) {
        q[i] = source[i] & 15;
        q[i + 16] = source[i] >> 4;
    }
}

/// One row's block of a 32-column type: f16 d, f16 m where there is one, 32 high bits where there are some, quants.
static void pack_block(ck_weight_kind kind, const uint8_t *source, size_t r, uint8_t *record) {
    const ck_layout layout = ck_layout_of(kind);
    uint8_t q[CK_BLOCK], *trailer = record + layout.block_bytes;
    store_half(source, r, trailer);
    if (layout.minimum) store_half(source + 2, r, trailer + CK_HALVES);
    source += layout.minimum ? 4 : 2;
    if (kind == CK_Q8_0) {
        for (size_t i = 0; i < CK_BLOCK; i++) q[i] = source[i] ^ 0x80; // two's complement to offset 128
    } else if (kind == CK_Q5_0 || kind == CK_Q5_1) {
        load_nibbles(source + 4, q);
        for (size_t i = 0; i < CK_BLOCK; i++) q[i] |= (source[i / 8] >> (i % 8) & 1) << 4;
    } else {
        load_nibbles(source, q);
    }
    store_quants(kind, q, r, record);
}

/// The 6-bit scale and minimum of block `i` in the 12 bytes of Q4_K and Q5_K: the first four have 6 bits in one byte,
/// the others 4 bits there and 2 at the top of the first four's bytes.
static void load_scale_and_minimum(const uint8_t *source, size_t i, uint8_t *scale, uint8_t *minimum) {
    if (i < 4) {
        *scale = source[i] & 63;
        *minimum = source[i + 4] & 63;
    } else {
        *scale = (uint8_t)((source[i + 4] & 15) | source[i - 4] >> 6 << 4);
        *minimum = (uint8_t)(source[i + 4] >> 4 | source[i] >> 6 << 4);
    }
}

/// The signed 6-bit scale of 16 columns in the 12 bytes of Q3_K: 4 bits from the first 8 bytes, 2 from the last 4.
static int8_t load_q3_scale(const uint8_t *source, size_t i) {
    const int low = source[i % 8] >> (i / 8 * 4) & 15;
    const int high = source[8 + i % 4] >> (i / 4 * 2) & 3;
    return (int8_t)((low | high << 4) - 32);
}

// One row's superblock of each K-quant. Quants of 4 and 5 bits lie in 4 runs of 32 bytes with blocks 2c and 2c + 1 in
// the nibbles of run c; those of 2 bits in 2 runs of 32 bytes with blocks 4h + j in bits 2j and 2j + 1 of run h.

/// Q2_K, 84 bytes: 16 scale | minimum << 4, 64 bytes of pairs, f16 d, f16 m.
static void pack_q2_k(const uint8_t *source, size_t r, uint8_t *record) {
    const ck_layout layout = ck_layout_of(CK_Q2_K);
    store_half(source + 80, r, record);
    store_half(source + 82, r, record + CK_HALVES);
    for (size_t i = 0; i < 16; i++) record[2 * CK_HALVES + i * CK_CODES + r] = source[i];
    for (size_t b = 0; b < CK_SUPERBLOCK_BLOCKS; b++) {
        uint8_t q[CK_BLOCK];
        for (size_t i = 0; i < CK_BLOCK; i++) q[i] = source[16 + b / 4 * 32 + i] >> (b % 4 * 2) & 3;
        store_quants(CK_Q2_K, q, r, record + layout.header + b * layout.block_bytes);
    }
}

/// Q3_K, 110 bytes: 32 bytes whose bit b is block b's high bit, 64 bytes of pairs, 12 of scales, f16 d.
static void pack_q3_k(const uint8_t *source, size_t r, uint8_t *record) {
    const ck_layout layout = ck_layout_of(CK_Q3_K);
    store_half(source + 108, r, record);
    for (size_t i = 0; i < 16; i++) record[CK_HALVES + i * CK_CODES + r] = (uint8_t)load_q3_scale(source + 96, i);
    for (size_t b = 0; b < CK_SUPERBLOCK_BLOCKS; b++) {
        uint8_t q[CK_BLOCK];
        for (size_t i = 0; i < CK_BLOCK; i++) {
            q[i] = (uint8_t)((source[32 + b / 4 * 32 + i] >> (b % 4 * 2) & 3) | (source[i] >> b & 1) << 2);
        }
        store_quants(CK_Q3_K, q, r, record + layout.header + b * layout.block_bytes);
    }
}

/// Q4_K, 144 bytes: f16 d, f16 m, 12 bytes of scales and minimums, 128 bytes of nibbles. Q5_K, 176 bytes, has 32 bytes
/// whose bit b is block b's high bit before the nibbles.
static void pack_q4_k(ck_weight_kind kind, const uint8_t *source, size_t r, uint8_t *record) {
    const ck_layout layout = ck_layout_of(kind);
    const uint8_t *nibbles = source + (kind == CK_Q5_K ? 48 : 16);
    uint8_t *codes = record + 2 * CK_HALVES;
    store_half(source, r, record);
    store_half(source + 2, r, record + CK_HALVES);
    for (size_t b = 0; b < CK_SUPERBLOCK_BLOCKS; b++) {
        load_scale_and_minimum(source + 4, b, codes + b * CK_CODES + r,
                               codes + (CK_SUPERBLOCK_BLOCKS + b) * CK_CODES + r);
        uint8_t q[CK_BLOCK];
        for (size_t i = 0; i < CK_BLOCK; i++) q[i] = nibbles[b / 2 * 32 + i] >> (b % 2 * 4) & 15;
        for (size_t i = 0; kind == CK_Q5_K && i < CK_BLOCK; i++) q[i] |= (source[16 + i] >> b & 1) << 4;
        store_quants(kind, q, r, record + layout.header + b * layout.block_bytes);
    }
}

/// Q6_K, 210 bytes: 128 of nibbles, 64 of high pairs, 16 signed scales, f16 d. Each half of the columns has 2 runs of
/// 32 nibble bytes, with its blocks 0 and 1 in the low nibbles of the runs and 2 and 3 in the high ones.
static void pack_q6_k(const uint8_t *source, size_t r, uint8_t *record) {
    const ck_layout layout = ck_layout_of(CK_Q6_K);
    store_half(source + 208, r, record);
    for (size_t i = 0; i < 16; i++) record[CK_HALVES + i * CK_CODES + r] = source[192 + i];
    for (size_t b = 0; b < CK_SUPERBLOCK_BLOCKS; b++) {
        const uint8_t *low = source + b / 4 * 64 + b % 2 * 32, *high = source + 128 + b / 4 * 32;
        uint8_t q[CK_BLOCK];
        for (size_t i = 0; i < CK_BLOCK; i++) {
            q[i] = (uint8_t)((low[i] >> (b % 4 / 2 * 4) & 15) | (high[i] >> (b % 4 * 2) & 3) << 4);
        }
        store_quants(CK_Q6_K, q, r, record + layout.header + b * layout.block_bytes);
    }
}

/// One row's share of one record.
static void pack_record(ck_weight_kind kind, const uint8_t *source, size_t r, uint8_t *record) {
    switch (kind) {
    case CK_Q2_K:
        pack_q2_k(source, r, record);
        return;
    case CK_Q3_K:
        pack_q3_k(source, r, record);
        return;
    case CK_Q4_K:
    case CK_Q5_K:
        pack_q4_k(kind, source, r, record);
        return;
    case CK_Q6_K:
        pack_q6_k(source, r, record);
        return;
    default:
        pack_block(kind, source, r, record);
    }
}

/// Bytes of one row's block in the file.
static size_t source_bytes(ck_weight_kind kind) {
    static const size_t bytes[CK_F32] = {
        [CK_Q4_0] = 18,  [CK_Q4_1] = 20,  [CK_Q5_0] = 22,  [CK_Q5_1] = 24,  [CK_Q8_0] = 34,  [CK_Q2_K] = 84,
        [CK_Q3_K] = 110, [CK_Q4_K] = 144, [CK_Q5_K] = 176, [CK_Q6_K] = 210, [CK_IQ4_NL] = 18};
    return bytes[kind];
}

static void pack_float(const uint8_t *const rows[16], size_t columns, size_t element, uint8_t *panel) {
    const size_t padded = (columns + CK_BLOCK - 1) / CK_BLOCK * CK_BLOCK;
    for (size_t k = 0; k < padded; k++) {
        for (size_t r = 0; r < CK_ROWS; r++) {
            uint8_t *target = panel + (k * CK_ROWS + r) * element;
            if (rows[r] != NULL && k < columns) {
                memcpy(target, rows[r] + k * element, element);
            } else {
                memset(target, 0, element);
            }
        }
    }
}

bool ck_pack_panel(uint32_t ggml_type, const uint8_t *const rows[16], size_t columns, uint8_t *panel) {
    const int found = ck_kind_of_type(ggml_type);
    if (found < 0) return false;
    const ck_weight_kind kind = (ck_weight_kind)found;
    if (kind >= CK_F32) {
        pack_float(rows, columns, kind == CK_F32 ? 4 : 2, panel);
        return true;
    }
    const size_t record_bytes = ck_record_bytes(kind), block_bytes = source_bytes(kind);
    const size_t records = (columns + CK_BLOCK - 1) / CK_BLOCK / ck_layout_of(kind).blocks;
    bool padded = false;
    for (size_t r = 0; r < CK_ROWS; r++) padded |= rows[r] == NULL;
    for (size_t i = 0; i < records; i++) {
        uint8_t *record = panel + i * record_bytes;
        if (padded) memset(record, 0, record_bytes);
        for (size_t r = 0; r < CK_ROWS; r++) {
            if (rows[r] != NULL) pack_record(kind, rows[r] + i * block_bytes, r, record);
        }
    }
    return true;
}

void ck_pack_f8_panel(const uint8_t *const rows[16], const float *const scales[16], size_t columns, uint8_t *panel) {
    const size_t blocks = (columns + CK_BLOCK - 1) / CK_BLOCK;
    for (size_t b = 0; b < blocks; b++, panel += CK_ROWS * sizeof(float) + CK_ROWS * CK_BLOCK) {
        uint8_t *values = panel + CK_ROWS * sizeof(float);
        for (size_t r = 0; r < CK_ROWS; r++) {
            const float scale = scales[r][b];
            memcpy(panel + r * sizeof scale, &scale, sizeof scale);
            for (size_t k = 0; k < CK_BLOCK; k++) {
                const size_t column = b * CK_BLOCK + k;
                values[k * CK_ROWS + r] = rows[r] != NULL && column < columns ? rows[r][column] : 0;
            }
        }
    }
}
