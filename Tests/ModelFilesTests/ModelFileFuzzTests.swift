import Foundation
import ModelFiles
import Tensors
import Testing

@Suite("Fuzzed model files")
struct ModelFileFuzzTests {
    @Test("mutated GGUF files open or are refused, and never crash")
    func gguf() throws {
        var opened = 0
        try fuzz(GGUFBuilder.sample().file, seed: 1, count: 3000) { path in
            let file = try GGUFFile(path: path)
            opened += 1
            for key in file.metadata.keys { touch(file.metadata[key]) }
            for name in file.tensorNames { if let tensor = try? file.tensor(name) { touch(tensor) } }
        }
        #expect(opened > 0)
    }

    @Test("mutated safetensors files open or are refused, and never crash")
    func safetensors() throws {
        var opened = 0
        try fuzz(SafetensorsFileTests.sample, seed: 2, count: 3000) { path in
            let file = try SafetensorsFile(path: path)
            opened += 1
            for name in file.tensorNames { if let tensor = try? file.tensor(name) { touch(tensor) } }
        }
        #expect(opened > 0)
    }

    /// Opens `count` mutants of `bytes`; only `ModelFileError` may come out.
    private func fuzz(_ bytes: [UInt8], seed: UInt64, count: Int, _ open: (String) throws -> Void) throws {
        var random = SplitMix64(state: seed)
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("fuzz-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        for round in 0..<count {
            var mutant = bytes
            mutate(&mutant, &random)
            // A new file each time: the one before may still be mapped.
            try? FileManager.default.removeItem(atPath: path)
            try ModelFixture.write(mutant, to: path)
            do {
                try open(path)
            } catch is ModelFileError {
            } catch {
                Issue.record(error, "round \(round)")
            }
        }
    }

    private func mutate(_ bytes: inout [UInt8], _ random: inout SplitMix64) {
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.removeSubrange(at...)
            case 3: bytes.removeSubrange(at..<min(at + Int.random(in: 1...16, using: &random), bytes.count))
            case 4: bytes.insert(contentsOf: bytes[at..<min(at + 16, bytes.count)], at: at)
            default:
                // Numbers at the edges, where counts and offsets overflow.
                let edges: [UInt64] = [0, 1, .max, .max >> 1, 1 << 63, 1 << 32, 1 << 31, .max - 31]
                let value = GGUFBuilder.bytes(edges.randomElement(using: &random) ?? 0)
                for (offset, byte) in value.enumerated() where at + offset < bytes.count { bytes[at + offset] = byte }
            }
        }
    }

    /// Reads every byte that a tensor claims.
    private func touch(_ tensor: TensorView) {
        var sum: UInt8 = 0
        for byte in tensor.bytes { sum &+= byte }
        withExtendedLifetime(sum) {}
    }

    /// Reads every element of a value.
    private func touch(_ value: GGUFValue?) {
        guard case .array(let array) = value else { return }
        for index in 0..<array.count { touch(array[index]) }
    }
}

/// A small seeded generator: the same mutants in every run.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
