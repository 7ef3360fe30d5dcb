import Foundation
import Kernels
import Tensors
import Testing

/// A small seeded generator (SplitMix64), so that every run sees the same cases.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }
}

/// Bytes with a stable address that a view can keep alive.
final class OwnedBytes {
    let buffer: UnsafeMutableRawBufferPointer
    init(_ bytes: [UInt8]) {
        buffer = .allocate(byteCount: max(bytes.count, 1), alignment: 64)
        buffer.copyBytes(from: bytes)
        count = bytes.count
    }
    private let count: Int
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[0..<count]) }
    deinit { buffer.deallocate() }
}

func makeView(_ bytes: [UInt8], _ type: ElementType, rows: Int, columns: Int, name: String = "w") throws -> TensorView {
    let owner = OwnedBytes(bytes)
    return try TensorView(name: name, shape: [rows, columns], elementType: type, bytes: owner.bytes, owner: owner)
}

/// f16 bits of a value that is a normal half (test data only).
func halfBits(_ value: Float) -> UInt16 {
    var input = value
    var output: UInt16 = 0
    KernelSet(.generic)?.convertToF16(&input, count: 1, into: &output)
    return output
}

/// Random weights of a type: random quants, sane scales.
func randomWeights(
    _ type: ElementType, rows: Int, columns: Int, using generator: inout SeededGenerator, name: String = "w"
) throws -> TensorView {
    var bytes: [UInt8] = []
    func append(_ value: UInt16) { bytes += [UInt8(value & 255), UInt8(value >> 8)] }
    for _ in 0..<rows * (columns / type.blockSize) {
        let scale = Float.random(in: -0.02...0.02, using: &generator)
        let block = (0..<type.bytesPerBlock).map { _ in UInt8.random(in: 0...255, using: &generator) }
        switch type {
        case .q4_0, .q5_0, .q8_0, .iq4_NL:
            append(halfBits(scale))
            bytes += block.dropFirst(2)
        case .q4_1, .q5_1:
            append(halfBits(scale))
            append(halfBits(Float.random(in: -0.1...0.1, using: &generator)))
            bytes += block.dropFirst(4)
        case .q4_K, .q5_K:
            append(halfBits(scale / 32))
            append(halfBits(Float.random(in: -0.1...0.1, using: &generator) / 64))
            bytes += block.dropFirst(4)
        case .q2_K:
            bytes += block.dropLast(4)
            append(halfBits(scale / 4))
            append(halfBits(Float.random(in: -0.1...0.1, using: &generator) / 16))
        case .q3_K:
            bytes += block.dropLast(2)
            append(halfBits(scale / 16))
        case .q6_K:
            bytes += block.dropLast(2)
            append(halfBits(scale / 64))
        case .f16: append(halfBits(scale))
        case .bf16: append(UInt16(scale.bitPattern >> 16))
        default:
            append(UInt16(scale.bitPattern & 0xffff))
            append(UInt16(scale.bitPattern >> 16))
        }
    }
    return try makeView(bytes, type, rows: rows, columns: columns, name: name)
}

/// The element types whose products read int8 activations.
let quantizedTypes: [ElementType] = [.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_NL]

/// The sets this machine has besides the generic one.
let simdSets = [InstructionSet.avx2, .avx512].compactMap { KernelSet($0) }

func genericSet() throws -> KernelSet { try #require(KernelSet(.generic)) }

/// Equal bits, with the largest difference in the failure.
func expectSameBits(
    _ a: [Float], _ b: [Float], _ note: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    guard a.map(\.bitPattern) != b.map(\.bitPattern) else { return }
    let difference = zip(a, b).map { abs($0 - $1) }.max() ?? 0
    let first = zip(a, b).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }?.offset ?? -1
    Issue.record(
        "\(note): bits differ first at \(first), largest difference \(difference)", sourceLocation: sourceLocation)
}

func expectClose(
    _ a: [Float], _ b: [Float], tolerance: Float, _ note: String, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(a.count == b.count, sourceLocation: sourceLocation)
    let difference = zip(a, b).map { abs($0 - $1) }.max() ?? 0
    #expect(difference <= tolerance, "\(note): \(difference) > \(tolerance)", sourceLocation: sourceLocation)
}
