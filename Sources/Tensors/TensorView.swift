/// A read-only tensor inside memory that someone else owns, such as a mapped model file.
///
/// Elements are row-major; the last dimension is contiguous and, for block types, a whole number of blocks.
// @unchecked: the bytes are never written through a view, and `owner` keeps them alive as long as any view exists.
package struct TensorView: @unchecked Sendable {
    package let name: String
    /// Dimensions, outermost first: `[rows, columns]` for a matrix. Empty for a scalar.
    package let shape: [Int]
    package let elementType: ElementType
    /// Exactly the tensor's bytes.
    package let bytes: UnsafeRawBufferPointer
    /// Keeps `bytes` alive.
    package let owner: AnyObject
    /// Factors of the stored values, one for each block of a matrix; nil is none.
    package let scales: BlockScales?

    /// More than any memory holds, and so few that sizes in bytes do not overflow.
    package static let maxElements = 1 << 56

    /// Describes a tensor.
    /// - Throws: `invalidShape` when a dimension is negative, the product is beyond ``maxElements``, a row is not whole
    ///   blocks, the byte count differs from what shape and type need, or `scales` is not for this shape.
    package init(
        name: String, shape: [Int], elementType: ElementType, bytes: UnsafeRawBufferPointer, owner: AnyObject,
        scales: BlockScales? = nil
    ) throws {
        // Of an empty tensor the other dimensions are bounded as well: they would take no bytes whatever they said.
        var bound = 1
        for dimension in shape {
            let (product, overflow) = bound.multipliedReportingOverflow(by: max(1, dimension))
            guard dimension >= 0, !overflow, product <= Self.maxElements else {
                throw TensorError(code: .invalidShape, message: "tensor \(name): impossible shape \(shape)")
            }
            bound = product
        }
        let elements = shape.contains(0) ? 0 : bound
        guard (shape.last ?? 1) % elementType.blockSize == 0, let expected = elementType.byteCount(elements: elements)
        else {
            throw TensorError(
                code: .invalidShape,
                message: "tensor \(name): rows of \(shape.last ?? 1) are not whole \(elementType.name) blocks "
                    + "of \(elementType.blockSize)")
        }
        guard bytes.count == expected else {
            throw TensorError(
                code: .invalidShape,
                message: "tensor \(name): got \(bytes.count) bytes, expected \(expected) for \(shape) "
                    + elementType.name)
        }
        if let scales, !scales.fits(shape: shape) {
            throw TensorError(
                code: .invalidShape, message: "tensor \(name): \(scales.description) do not fit \(shape)")
        }
        self.name = name
        self.shape = shape
        self.elementType = elementType
        self.bytes = bytes
        self.owner = owner
        self.scales = scales
    }

    /// Elements in one row: the last dimension (1 for a scalar).
    package var columns: Int { shape.last ?? 1 }

    /// Rows when all outer dimensions are flattened (1 for a vector or a scalar); 0 where they are empty, since a file may
    /// declare any number of those in no bytes.
    package var rows: Int { columns == 0 ? 0 : shape.dropLast().reduce(1, *) }

    /// Elements in all.
    package var elementCount: Int { shape.reduce(1, *) }

    /// Bytes of one row.
    package var bytesPerRow: Int { columns / elementType.blockSize * elementType.bytesPerBlock }

    /// The bytes of one row.
    /// - Throws: `outOfRange`.
    package func rowBytes(_ row: Int) throws -> UnsafeRawBufferPointer {
        guard row >= 0, row < rows else {
            throw TensorError(code: .outOfRange, message: "tensor \(name): row \(row) is outside 0..<\(rows)")
        }
        return UnsafeRawBufferPointer(rebasing: bytes[row * bytesPerRow..<(row + 1) * bytesPerRow])
    }
}
