import Tensors

/// A safetensors dtype: one this project reads, or one that the format defines and we only know the size of.
struct SafetensorsElementType {
    let name: String
    /// Bits of one element.
    let bits: Int
    /// nil for types that are known but cannot be read.
    let readable: ElementType?

    /// The dtype called `name`, nil for one that the format does not define.
    init?(_ name: String) {
        self.name = name
        switch name {
        case "F64": (bits, readable) = (64, .f64)
        case "F32": (bits, readable) = (32, .f32)
        case "F16": (bits, readable) = (16, .f16)
        case "BF16": (bits, readable) = (16, .bf16)
        case "I64": (bits, readable) = (64, .i64)
        case "I32": (bits, readable) = (32, .i32)
        case "I16": (bits, readable) = (16, .i16)
        case "I8": (bits, readable) = (8, .i8)
        case "U64", "C64": (bits, readable) = (64, nil)
        case "U32": (bits, readable) = (32, nil)
        case "U16": (bits, readable) = (16, nil)
        case "F8_E4M3": (bits, readable) = (8, .f8_E4M3)
        case "U8", "BOOL", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ": (bits, readable) = (8, nil)
        case "F6_E2M3", "F6_E3M2": (bits, readable) = (6, nil)
        case "F4": (bits, readable) = (4, nil)
        default: return nil
        }
    }
}
