// Packing: ggml rows into panels. Byte moves only, so it runs at about memory speed.
#include <stdbool.h>

#include "CKernels.h"
#include "records.h"

size_t ck_record_bytes(ck_weight_kind kind) {
    switch (kind) {
    case CK_Q4_MIN:
        return CK_Q4_BYTES + 64;
    case CK_Q4_ZERO:
        return CK_Q4_BYTES + 32;
    case CK_Q8_ZERO:
        return CK_Q8_BYTES + 32;
    case CK_Q8_HALF:
        return CK_Q8_BYTES + 128;
    case CK_F32:
        return CK_ROWS * CK_BLOCK * 4;
    case CK_F16:
    case CK_BF16:
        return CK_ROWS * CK_BLOCK * 2;
    }
    return 0;
}

enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q4_0 = 2, TYPE_Q4_1 = 3, TYPE_Q8_0 = 8, TYPE_Q6_K = 14, TYPE_BF16 = 30 };

int ck_kind_of_type(uint32_t ggml_type) {
    switch (ggml_type) {
    case TYPE_F32:
        return CK_F32;
    case TYPE_F16:
        return CK_F16;
    case TYPE_BF16:
        return CK_BF16;
    case TYPE_Q4_0:
        return CK_Q4_ZERO;
    case TYPE_Q4_1:
        return CK_Q4_MIN;
    case TYPE_Q8_0:
        return CK_Q8_ZERO;
    case TYPE_Q6_K:
        return CK_Q8_HALF;
    default:
        return -1;
    }
}

// ggml keeps element i of a 4-bit block in the low nibble of byte i and element i + 16 in the high one, which is this
// panel's order too: 4-byte groups only change places.
static void pack_q4(const uint8_t *const rows[16], size_t blocks, bool minimum, uint8_t *record) {
    const size_t source_bytes = minimum ? 20 : 18;
    const size_t header = minimum ? 4 : 2;
    for (size_t b = 0; b < blocks; b++) {
        for (size_t r = 0; r < CK_ROWS; r++) {
            if (rows[r] == NULL) {
                for (size_t g = 0; g < 4; g++) memset(record + g * 64 + r * 4, 0, 4);
                memset(record + CK_Q4_BYTES + r * 2, 0, 2);
                if (minimum) memset(record + CK_Q4_BYTES + 32 + r * 2, 0, 2);
                continue;
            }
            const uint8_t *source = rows[r] + b * source_bytes;
            for (size_t g = 0; g < 4; g++) memcpy(record + g * 64 + r * 4, source + header + g * 4, 4);
            memcpy(record + CK_Q4_BYTES + r * 2, source, 2);
            if (minimum) memcpy(record + CK_Q4_BYTES + 32 + r * 2, source + 2, 2);
        }
        record += CK_Q4_BYTES + (minimum ? 64 : 32);
    }
}

static void pack_q8_0(const uint8_t *const rows[16], size_t blocks, uint8_t *record) {
    for (size_t b = 0; b < blocks; b++) {
        for (size_t r = 0; r < CK_ROWS; r++) {
            const uint8_t *source = rows[r] == NULL ? NULL : rows[r] + b * 34;
            for (size_t g = 0; g < 8; g++) {
                uint32_t four = 0;
                if (source != NULL) memcpy(&four, source + 2 + g * 4, 4);
                four ^= 0x80808080u; // two's complement to offset 128
                memcpy(record + g * 64 + r * 4, &four, 4);
            }
            const uint16_t zero = 0;
            memcpy(record + CK_Q8_BYTES + r * 2, source == NULL ? (const void *)&zero : source, 2);
        }
        record += CK_Q8_BYTES + 32;
    }
}

// Q6_K, 210 bytes for 256 elements: 128 low nibbles bytes, 64 bytes of high pairs, 16 int8 scales, f16 d.
// Element = d * scale[e / 16] * (q - 32); d * scale is exact in f32.
static void pack_q6_k(const uint8_t *const rows[16], size_t blocks, uint8_t *panel) {
    const size_t record_bytes = CK_Q8_BYTES + 128;
    for (size_t r = 0; r < CK_ROWS; r++) {
        for (size_t b = 0; b < blocks; b++) {
            uint8_t *record = panel + b * record_bytes;
            uint8_t q[32];
            float scale[2] = {0, 0};
            memset(q, 128, sizeof q);
            if (rows[r] != NULL) {
                const uint8_t *source = rows[r] + b / 8 * 210;
                const size_t half = b % 8 / 4, quarter = b % 4; // which 128, and which 32 of it
                const uint8_t *low = source + half * 64 + (quarter & 1) * 32;
                const uint8_t *high = source + 128 + half * 32;
                const int8_t *scales = (const int8_t *)(source + 192) + half * 8 + quarter * 2;
                const float d = ck_half_to_float(ck_load_u16(source + 208));
                for (size_t i = 0; i < 32; i++) {
                    const int nibble = quarter < 2 ? low[i] & 15 : low[i] >> 4;
                    q[i] = (uint8_t)((nibble | ((high[i] >> (2 * quarter)) & 3) << 4) - 32 + 128);
                }
                scale[0] = d * (float)scales[0];
                scale[1] = d * (float)scales[1];
            }
            for (size_t g = 0; g < 8; g++) memcpy(record + g * 64 + r * 4, q + g * 4, 4);
            memcpy(record + CK_Q8_BYTES + r * 4, &scale[0], 4);
            memcpy(record + CK_Q8_BYTES + 64 + r * 4, &scale[1], 4);
        }
    }
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
    const size_t blocks = (columns + CK_BLOCK - 1) / CK_BLOCK;
    switch (ggml_type) {
    case TYPE_Q4_0:
        pack_q4(rows, blocks, false, panel);
        return true;
    case TYPE_Q4_1:
        pack_q4(rows, blocks, true, panel);
        return true;
    case TYPE_Q8_0:
        pack_q8_0(rows, blocks, panel);
        return true;
    case TYPE_Q6_K:
        pack_q6_k(rows, blocks, panel);
        return true;
    case TYPE_F32:
        pack_float(rows, columns, 4, panel);
        return true;
    case TYPE_F16:
    case TYPE_BF16:
        pack_float(rows, columns, 2, panel);
        return true;
    default:
        return false;
    }
}
