import Foundation
import Kernels
import Tensors
import Testing

private struct Fixture: Decodable {
    let type: UInt32
    let rows: Int
    let columns: Int
    let bytes: String
    let float_bits: [UInt32]

    static func load(_ name: String) throws -> Fixture {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/tensors/\(name).json")
        return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: url))
    }

    func view() throws -> TensorView {
        let digits = Array(bytes.utf8)
        let data = try stride(from: 0, to: digits.count, by: 2).map { index in
            try #require(UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16))
        }
        return try makeView(data, try #require(ElementType(rawValue: type)), rows: rows, columns: columns)
    }
}

@Suite struct DequantizeTests {
    @Test(
        "every readable type gives the reference's bits",
        arguments: [
            "f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k",
        ])
    func matchesReference(name: String) throws {
        let fixture = try Fixture.load(name)
        let view = try fixture.view()
        #expect(try view.dequantized().map(\.bitPattern) == fixture.float_bits)
    }

    @Test("embedding rows equal the scalar reference in every set", arguments: ["f16", "q4_1", "q8_0", "q4_k", "q6_k"])
    func embeddingRows(name: String) throws {
        let fixture = try Fixture.load(name)
        let view = try fixture.view()
        for set in try [genericSet()] + simdSets {
            let table = try EmbeddingTable(view, kernels: set)
            var row = [Float](repeating: .nan, count: view.columns)
            for index in 0..<view.rows {
                try table.copyRow(index, into: &row)
                let expected = fixture.float_bits[index * view.columns..<(index + 1) * view.columns]
                #expect(row.map(\.bitPattern) == Array(expected))
            }
            #expect(throws: TensorError.self) { try table.copyRow(view.rows, into: &row) }
            #expect(throws: TensorError.self) { try table.copyRow(-1, into: &row) }
        }
    }

    @Test("shapes, block sizes and byte counts must agree")
    func refusesContradictions() throws {
        #expect(throws: TensorError.self) { try makeView([0, 0, 0], .f32, rows: 1, columns: 1) }
        #expect(throws: TensorError.self) {
            try makeView([UInt8](repeating: 0, count: 18), .q4_0, rows: 2, columns: 16)
        }
        #expect(throws: TensorError.self) { try makeView([], .f32, rows: -1, columns: 0) }
        #expect(throws: TensorError.self) { try makeView([], .f32, rows: Int.max, columns: 2) }
        #expect(ElementType.q4_1.byteCount(elements: 64) == 40)
        #expect(ElementType.q4_1.byteCount(elements: 33) == nil)
        #expect(ElementType.f64.byteCount(elements: Int.max) == nil)
        #expect(ElementType.f32.byteCount(elements: -4) == nil)
    }

    @Test("a type without a reader is refused by name")
    func refusesUnknownType() throws {
        let view = try makeView([UInt8](repeating: 0, count: 18), .i8, rows: 1, columns: 18, name: "blk.0.x")
        let error = #expect(throws: TensorError.self) { try view.dequantized() }
        #expect(error?.code == .unsupportedType)
        #expect(error?.message.contains("blk.0.x") == true)
        #expect(throws: KernelError.self) { try PackedMatrix(view) }
        #expect(throws: KernelError.self) { try EmbeddingTable(view) }
    }
}
