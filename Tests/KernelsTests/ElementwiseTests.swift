import Foundation
import Kernels
import Testing

private let lengths = [1, 2, 15, 16, 17, 31, 32, 33, 64, 100, 576]

@Suite struct ElementwiseTests {
    private func compare(
        _ note: String, tolerance: Float, reference: [Float], _ body: (KernelSet) -> [Float]
    ) throws {
        let plain = body(try genericSet())
        expectClose(plain, reference, tolerance: tolerance, note)
        for set in simdSets { expectSameBits(body(set), plain, "\(note) \(set.instructionSet)") }
    }

    @Test("rmsNorm", arguments: lengths)
    func rmsNorm(count: Int) throws {
        var generator = SeededGenerator(seed: UInt64(count))
        let x = generator.floats(count, in: -4...4)
        let weight = generator.floats(count)
        let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(count)
        let scale = 1 / (mean + 1e-5).squareRoot()
        let expected = zip(x, weight).map { Float(Double($0) * scale * Double($1)) }
        try compare("rmsNorm \(count)", tolerance: 1e-5, reference: expected) { set in
            var output = x
            set.rmsNorm(output, weight: weight, epsilon: 1e-5, count: count, into: &output)
            return output
        }
    }

    @Test("add and siluMul", arguments: [0] + lengths)
    func addAndSilu(count: Int) throws {
        var generator = SeededGenerator(seed: UInt64(count) + 100)
        let a = generator.floats(count, in: -20...20)
        let b = generator.floats(count)
        try compare("add \(count)", tolerance: 0, reference: zip(a, b).map(+)) { set in
            var output = b
            set.add(a, to: &output, count: count)
            return output
        }
        let expected = zip(a, b).map { Float(Double($0) / (1 + exp(-Double($0))) * Double($1)) }
        try compare("siluMul \(count)", tolerance: 1e-5, reference: expected) { set in
            var output = [Float](repeating: 0, count: count)
            set.siluMul(gate: a, up: b, count: count, into: &output)
            return output
        }
    }

    @Test("silu of very large and very small gates is finite")
    func siluLimits() throws {
        let gates: [Float] = [-1e30, -1000, -89, -88, 0, 88, 89, 1000, 1e30]
        try compare(
            "silu limits", tolerance: 1e-30, reference: [0, 0, 0, 0, 0, 88, 89, 1000, 1e30]
        ) { set in
            var output = [Float](repeating: .nan, count: gates.count)
            set.siluMul(
                gate: gates, up: [Float](repeating: 1, count: gates.count), count: gates.count, into: &output)
            return output.enumerated().map { $0 < 4 && abs($1) < 1e-7 ? 0 : $1 }
        }
    }

    @Test("rope rotates pairs and leaves the rest", arguments: [2, 16, 30, 48, 64], [true, false])
    func rope(rotary: Int, interleaved: Bool) throws {
        var generator = SeededGenerator(seed: UInt64(rotary))
        let width = 64
        let heads = 3
        let x = generator.floats(width * heads)
        let angles = generator.floats(rotary / 2, in: 0...6)
        let cosine = angles.map { cos($0) }
        let sine = angles.map { sin($0) }
        var expected = x
        for head in 0..<heads {
            for i in 0..<rotary / 2 {
                let first = head * width + (interleaved ? 2 * i : i)
                let second = head * width + (interleaved ? 2 * i + 1 : i + rotary / 2)
                expected[first] = x[first] * cosine[i] - x[second] * sine[i]
                expected[second] = x[first] * sine[i] + x[second] * cosine[i]
            }
        }
        try compare("rope \(rotary) \(interleaved)", tolerance: 1e-6, reference: expected) { set in
            var output = x
            set.rope(
                &output, heads: heads, headWidth: width, rotary: rotary, cosine: cosine, sine: sine,
                interleaved: interleaved)
            return output
        }
    }

    @Test("log-sum-exp, exp, argmax over rows of any length", arguments: lengths + [5000])
    func vocabularyRows(count: Int) throws {
        var generator = SeededGenerator(seed: UInt64(count) + 300)
        let x = generator.floats(count, in: -30...30)
        let largest = try #require(x.max())
        let sum = x.reduce(0.0) { $0 + exp(Double($1 - largest)) }
        try compare(
            "logSumExp \(count)", tolerance: 1e-5, reference: [largest, Float(Double(largest) + log(sum))]
        ) { set in
            let result = set.maxAndLogSumExp(x, count: count)
            return [result.max, result.logSumExp]
        }
        try compare(
            "expScaled \(count)", tolerance: 2e-6, reference: x.map { Float(exp(Double($0 - largest) * 0.5)) }
        ) { set in
            var output = x
            let sum = set.expScaled(output, count: count, shift: largest, factor: 0.5, into: &output)
            #expect(abs(sum - output.reduce(0, +)) <= 1e-4 * max(1, sum))
            return output
        }
        for set in try [genericSet()] + simdSets {
            #expect(set.argmax(x, count: count) == x.firstIndex(of: largest))
            #expect(set.argmax([Float](repeating: 2, count: count), count: count) == 0)
        }
    }

    @Test("topK returns the largest values in order, ties by index")
    func topK() throws {
        var generator = SeededGenerator(seed: 9)
        let x = (0..<1000).map { _ in Float(Int.random(in: 0..<200, using: &generator)) }
        let order = x.indices.sorted { x[$0] != x[$1] ? x[$0] > x[$1] : $0 < $1 }
        for k in [0, 1, 2, 20, 999, 1000, 2000] {
            let top = KernelSet.active.topK(x, count: x.count, k: k)
            #expect(top.map(\.index) == Array(order.prefix(k)))
            #expect(top.map(\.value) == order.prefix(k).map { x[$0] })
        }
        #expect(KernelSet.active.topK([1, .nan, 3], count: 3, k: 2).map(\.index) == [2, 0])
    }

    @Test("f16 conversion is nearest even in every set, and exact back")
    func halves() throws {
        let values: [Float] = [
            0, -0.0, 1, -1.5, 65504, 65519, 65520, 1e9, -1e9, 6.1e-5, 6.0e-8, 2.9e-8, 3.0e-8, -1e-9, 1.00048828125,
            1.00146484375, 0.1, 1 / 3, .infinity,
        ]
        let expected: [UInt16] = [
            0, 0x8000, 0x3c00, 0xbe00, 0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x03ff, 0x0001, 0x0000, 0x0001, 0x8000,
            0x3c00, 0x3c02, 0x2e66, 0x3555, 0x7c00,
        ]
        for set in try [genericSet()] + simdSets {
            var bits = [UInt16](repeating: 0, count: values.count)
            set.convertToF16(values, count: values.count, into: &bits)
            #expect(bits == expected, "\(set.instructionSet)")
            // Every finite half survives the way to f32 and back.
            let all = (0..<UInt16(0x7c00)).flatMap { [$0, $0 | 0x8000] }
            var floats = [Float](repeating: 0, count: all.count)
            set.convertFromF16(all, count: all.count, into: &floats)
            var again = [UInt16](repeating: 0, count: all.count)
            set.convertToF16(floats, count: all.count, into: &again)
            #expect(again == all, "\(set.instructionSet)")
        }
    }
}
