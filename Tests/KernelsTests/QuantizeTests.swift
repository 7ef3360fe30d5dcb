import Foundation
import Tensors
import Testing

/// Rows of several magnitudes, and the bytes ggml's reference quantisers give for them.
private struct QuantizeFixture: Decodable {
    struct Encoded: Decodable {
        let type: UInt32
        let bytes: String
    }

    let columns: Int
    let rows: Int
    let float_bits: [UInt32]
    let types: [String: Encoded]

    static func load() throws -> QuantizeFixture {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/tensors/quantize.json")
        return try JSONDecoder().decode(QuantizeFixture.self, from: Data(contentsOf: url))
    }

    var values: [Float] { float_bits.map(Float.init(bitPattern:)) }

    func expected(_ name: String) throws -> (type: ElementType, bytes: [UInt8]) {
        let entry = try #require(types[name])
        let digits = Array(entry.bytes.utf8)
        let bytes = try stride(from: 0, to: digits.count, by: 2).map { index in
            try #require(UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16))
        }
        return (try #require(ElementType(rawValue: entry.type)), bytes)
    }
}

private func quantized(_ values: [Float], _ type: ElementType) -> [UInt8] {
    var output = [UInt8](repeating: 0xAA, count: type.byteCount(elements: values.count) ?? 0)
    output.withUnsafeMutableBytes { bytes in
        values.withUnsafeBufferPointer { values in
            guard let source = values.baseAddress, let target = bytes.baseAddress else { return }
            TensorQuantizer.quantize(source, count: values.count, as: type, into: target)
        }
    }
    return output
}

private func squaredError(_ bytes: [UInt8], _ type: ElementType, _ values: [Float], columns: Int) throws -> Double {
    let view = try makeView(bytes, type, rows: values.count / columns, columns: columns)
    return zip(try view.dequantized(), values).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
}

@Suite struct QuantizeTests {
    @Test("blocks of 32 have ggml's bytes", arguments: ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1"])
    func smallBlocks(name: String) throws {
        let fixture = try QuantizeFixture.load()
        let (type, expected) = try fixture.expected(name)
        #expect(quantized(fixture.values, type) == expected)
    }

    @Test("superblocks have nearly all of ggml's bytes, and no larger error", arguments: ["q4_k", "q5_k", "q6_k"])
    func superblocks(name: String) throws {
        let fixture = try QuantizeFixture.load()
        let (type, expected) = try fixture.expected(name)
        let bytes = quantized(fixture.values, type)
        let different = zip(bytes, expected).count { $0 != $1 }
        // A compiler may fuse multiplications and additions, which decides ties of the search differently.
        #expect(different * 20 <= bytes.count, "\(different) of \(bytes.count) bytes differ")
        let ours = try squaredError(bytes, type, fixture.values, columns: fixture.columns)
        let theirs = try squaredError(expected, type, fixture.values, columns: fixture.columns)
        #expect(ours <= theirs * 1.01)
    }

    @Test("16-bit floats round to the nearest, ties to even; every f16 and bf16 survives")
    func halves() throws {
        for type in [ElementType.f16, .bf16] {
            let all = (0...UInt16.max).flatMap { bits in withUnsafeBytes(of: bits.littleEndian) { Array($0) } }
            let values = try makeView(all, type, rows: 1, columns: 65_536).dequantized()
            let back = quantized(values, type)
            for i in 0..<65_536 where !values[i].isNaN {
                #expect(back[2 * i] == all[2 * i] && back[2 * i + 1] == all[2 * i + 1], "\(type) \(i)")
            }
        }
        // (value, f16): half way between neighbours, overflow, underflow.
        let cases: [(Float, UInt16)] = [
            (1 + 0x1p-11, 0x3C00), (1 + 0x1.8p-10, 0x3C02), (65_519, 0x7BFF), (65_520, 0x7C00), (0x1p-25, 0),
            (0x1.8p-24, 2), (-0x1.00001p-25, 0x8001), (.infinity, 0x7C00),
        ]
        for (value, bits) in cases {
            #expect(quantized([value], .f16) == [UInt8(bits & 255), UInt8(bits >> 8)], "\(value)")
        }
    }

    @Test(
        "values that no block can hold do not trap",
        arguments: [ElementType.q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .q4_K, .q5_K, .q6_K])
    func notFinite(type: ElementType) {
        for bad in [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude] {
            for place in [0, 17, 255] {
                var values = [Float](repeating: 0.5, count: 256)
                values[place] = bad
                #expect(quantized(values, type).count == type.byteCount(elements: 256))
            }
        }
    }
}
