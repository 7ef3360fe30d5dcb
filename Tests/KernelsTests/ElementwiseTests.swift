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

    @Test("add, scaled add and gates", arguments: [0] + lengths)
    func addAndGates(count: Int) throws {
        var generator = SeededGenerator(seed: UInt64(count) + 100)
        let a = generator.floats(count, in: -20...20)
        let b = generator.floats(count)
        try compare("add \(count)", tolerance: 0, reference: zip(a, b).map(+)) { set in
            var output = b
            set.add(a, to: &output, count: count)
            return output
        }
        let scaled = zip(a, b).map { Float(Double($1) + 0.3 * Double($0)) }
        try compare("add scaled \(count)", tolerance: 1e-6, reference: scaled) { set in
            var output = b
            set.addScaled(a, scale: 0.3, to: &output, count: count)
            return output
        }
        for activation in GateActivation.allCases {
            let expected = zip(a, b).map { Float(activated(activation, Double($0)) * Double($1)) }
            try compare("\(activation) \(count)", tolerance: 1e-5, reference: expected) { set in
                var output = [Float](repeating: 0, count: count)
                set.multiplyGate(activation, gate: a, up: b, count: count, into: &output)
                return output
            }
        }
    }

    /// The definitions of transformers, in double precision.
    private func activated(_ activation: GateActivation, _ x: Double) -> Double {
        switch activation {
        case .silu: x / (1 + exp(-x))
        case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        }
    }

    @Test("activations are right to f32 rounding near zero and in both tails", arguments: GateActivation.allCases)
    func activationPrecision(activation: GateActivation) throws {
        let x = (-1200...1200).map { Float($0) / 100 } + [1e-20, -1e-20, 3e-5, 50, 1000]
        let ones = [Float](repeating: 1, count: x.count)
        for set in try [genericSet()] + simdSets {
            var output = ones
            set.multiplyGate(activation, gate: x, up: ones, count: x.count, into: &output)
            for (x, y) in zip(x, output) {
                let expected = activated(activation, Double(x))
                // In the left tail both are x * exp(-v), and what v of up to 150 was rounded by shows in the result.
                let v = min(0, Double(x)) * (activation == .silu ? 1 : 1.6 + 0.0714 * Double(x) * Double(x))
                let relative = 1e-6 + 2e-7 * abs(v)
                #expect(abs(Double(y) - expected) <= relative * abs(expected) + 1e-15, "\(x)")
            }
        }
    }

    @Test("rmsNormHeads normalises each head", arguments: [1, 16, 24, 128])
    func rmsNormHeads(width: Int) throws {
        var generator = SeededGenerator(seed: UInt64(width))
        let heads = 3
        let x = generator.floats(heads * width, in: -4...4)
        let weight = generator.floats(width)
        let expected = (0..<heads).flatMap { head -> [Float] in
            let row = x[head * width..<(head + 1) * width].map(Double.init)
            let scale = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-6).squareRoot()
            return zip(row, weight).map { Float($0 * scale * Double($1)) }
        }
        try compare("rmsNormHeads \(width)", tolerance: 1e-5, reference: expected) { set in
            var output = x
            set.rmsNormHeads(&output, heads: heads, headWidth: width, weight: weight, epsilon: 1e-6)
            return output
        }
    }

    @Test("a rotation of one part of each head leaves the rest", arguments: [true, false])
    func partialRope(interleaved: Bool) throws {
        var generator = SeededGenerator(seed: 12)
        // Heads of 16 values that stay and 8 that rotate, as in multi-head latent attention.
        let x = generator.floats(3 * 24)
        let angles = generator.floats(4, in: 0...6)
        let (cosine, sine) = (angles.map { cos($0) }, angles.map { sin($0) })
        var expected = x
        for head in 0..<3 {
            for i in 0..<4 {
                let first = head * 24 + 16 + (interleaved ? 2 * i : i)
                let second = head * 24 + 16 + (interleaved ? 2 * i + 1 : i + 4)
                expected[first] = x[first] * cosine[i] - x[second] * sine[i]
                expected[second] = x[first] * sine[i] + x[second] * cosine[i]
            }
        }
        try compare("partial rope \(interleaved)", tolerance: 1e-6, reference: expected) { set in
            var output = x
            output.withUnsafeMutableBufferPointer { output in
                guard let base = output.baseAddress else { return }
                set.rope(
                    base + 16, heads: 3, headWidth: 24, rotary: 8, cosine: cosine, sine: sine,
                    interleaved: interleaved)
            }
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
            set.multiplyGate(
                .silu, gate: gates, up: [Float](repeating: 1, count: gates.count), count: gates.count, into: &output)
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
