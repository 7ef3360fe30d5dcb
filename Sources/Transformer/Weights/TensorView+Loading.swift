import InferenceCore
import Kernels
import Tensors

typealias AlignedVector = AlignedBuffer<Float>

extension TensorView {
    /// The tensor itself when it has this shape.
    /// - Throws: ``InferenceError`` `unsupportedModel`.
    func expectingShape(_ expected: [Int]) throws -> TensorView {
        guard shape == expected else {
            throw InferenceError.unsupported("tensor '\(name)' has shape \(shape) (expected: \(expected))")
        }
        return self
    }

    /// All elements as f32, for norm weights and other small vectors.
    func loadedVector() throws -> AlignedVector {
        let buffer = try AlignedBuffer<Float>(count: elementCount)
        for row in 0..<rows { try dequantizedRow(row, into: buffer.pointer + row * columns) }
        return buffer
    }

    /// What is at `index` of the outermost dimension.
    func slice(_ index: Int) throws -> TensorView {
        try rowRange(
            index * (rows / max(1, shape[0]))..<(index + 1) * (rows / max(1, shape[0])), shape: Array(shape.dropFirst())
        )
    }

    /// Some rows, which must have no block scales, as a tensor of its own.
    func rowRange(_ range: Range<Int>, shape: [Int]) throws -> TensorView {
        precondition(scales == nil && range.upperBound <= rows)
        let part = bytes[range.lowerBound * bytesPerRow..<range.upperBound * bytesPerRow]
        return try TensorView(
            name: name, shape: shape, elementType: elementType, bytes: UnsafeRawBufferPointer(rebasing: part),
            owner: owner)
    }
}

/// A matrix of floats being made in memory.
struct FloatMatrix {
    private let name: String
    private let shape: [Int]
    private let type: ElementType
    private let memory: AlignedBuffer<UInt8>
    private let kernels = KernelSet.active

    /// - Parameter type: f32, f16 or bf16.
    init(name: String, shape: [Int], type: ElementType) throws {
        self.name = name
        self.shape = shape
        self.type = type
        memory = try AlignedBuffer(count: shape.reduce(type.bytesPerBlock, *))
    }

    /// Stores `count` values from element `start` on. What bf16 cannot hold is cut off; it comes from bf16.
    func store(_ values: UnsafePointer<Float>, at start: Int, count: Int) {
        let target = UnsafeMutableRawPointer(memory.pointer) + start * type.bytesPerBlock
        switch type {
        case .f32: target.copyMemory(from: values, byteCount: count * 4)
        case .f16:
            kernels.convertToF16(values, count: count, into: target.assumingMemoryBound(to: UInt16.self))
        default:
            for index in 0..<count {
                target.storeBytes(
                    of: UInt16(values[index].bitPattern >> 16).littleEndian, toByteOffset: index * 2, as: UInt16.self)
            }
        }
    }

    func filled(from view: TensorView) throws -> TensorView {
        let row = try AlignedBuffer<Float>(count: view.columns)
        for index in 0..<view.rows {
            try view.dequantizedRow(index, into: row.pointer)
            store(row.pointer, at: index * view.columns, count: view.columns)
        }
        return try self.view
    }

    var view: TensorView {
        get throws {
            try TensorView(
                name: name, shape: shape, elementType: type,
                bytes: UnsafeRawBufferPointer(start: memory.pointer, count: memory.count), owner: memory)
        }
    }
}
