import Tensors

/// An element type id of a GGUF tensor: one this project reads, or one that ggml defines and we only know the size of.
struct GGUFElementType {
    let name: String
    /// Elements that share one block.
    let blockSize: Int
    let bytesPerBlock: Int
    /// nil for types that are known but cannot be read.
    let readable: ElementType?

    /// The type with ggml's id `id`, nil for an id that ggml does not define (or has removed).
    init?(id: UInt32) {
        if let type = ElementType(rawValue: id), type.isGGML {
            name = type.name
            blockSize = type.blockSize
            bytesPerBlock = type.bytesPerBlock
            readable = type
            return
        }
        readable = nil
        switch id {
        case 15: (name, blockSize, bytesPerBlock) = ("Q8_K", 256, 292)
        case 16: (name, blockSize, bytesPerBlock) = ("IQ2_XXS", 256, 66)
        case 17: (name, blockSize, bytesPerBlock) = ("IQ2_XS", 256, 74)
        case 18: (name, blockSize, bytesPerBlock) = ("IQ3_XXS", 256, 98)
        case 19: (name, blockSize, bytesPerBlock) = ("IQ1_S", 256, 50)
        case 21: (name, blockSize, bytesPerBlock) = ("IQ3_S", 256, 110)
        case 22: (name, blockSize, bytesPerBlock) = ("IQ2_S", 256, 82)
        case 23: (name, blockSize, bytesPerBlock) = ("IQ4_XS", 256, 136)
        case 29: (name, blockSize, bytesPerBlock) = ("IQ1_M", 256, 56)
        case 34: (name, blockSize, bytesPerBlock) = ("TQ1_0", 256, 54)
        case 35: (name, blockSize, bytesPerBlock) = ("TQ2_0", 256, 66)
        case 39: (name, blockSize, bytesPerBlock) = ("MXFP4", 32, 17)
        default: return nil
        }
    }

    /// Bytes of a tensor of this type; nil when a row is not whole blocks or the size overflows.
    /// `shape` is outermost first.
    func byteCount(shape: [Int]) -> Int? {
        guard (shape.last ?? 1) % blockSize == 0 else { return nil }
        var elements = 1
        for dimension in shape {
            let (product, overflow) = elements.multipliedReportingOverflow(by: dimension)
            guard dimension >= 0, !overflow else { return nil }
            elements = product
        }
        let (bytes, overflow) = (elements / blockSize).multipliedReportingOverflow(by: bytesPerBlock)
        return overflow ? nil : bytes
    }
}
