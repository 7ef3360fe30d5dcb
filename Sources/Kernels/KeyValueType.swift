import CKernels

/// How a key/value cache holds numbers.
package enum KeyValueType: String, Sendable, CaseIterable {
    /// Single precision: exact, for the slow twin and for measuring the others.
    case f32
    /// Half precision.
    case f16
    /// 8 bits and a scale for each position and head: half the memory and traffic, a small error.
    case int8

    var kind: ck_kv_kind {
        switch self {
        case .f32: CK_KV_F32
        case .f16: CK_KV_F16
        case .int8: CK_KV_INT8
        }
    }

    /// Bytes of the keys and values of one position of one head.
    package func bytesPerPosition(headWidth: Int) -> Int {
        2 * ck_kv_head_bytes(kind, headWidth) / Int(CK_KV_BLOCK)
    }
}
