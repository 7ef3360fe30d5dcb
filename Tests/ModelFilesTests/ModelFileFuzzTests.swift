import Foundation
import ModelFiles
import Tensors
import Testing

/// Mutants of small model files: they open or are refused, and never crash or read beyond the file.
///
/// `FATHOM_FUZZ_MUTANTS` sets how many mutants each test opens (default 3000); the mutants are the same in every run.
@Suite("Fuzzed model files")
struct ModelFileFuzzTests {
    private static let count = ProcessInfo.processInfo.environment["FATHOM_FUZZ_MUTANTS"].flatMap(Int.init) ?? 3000

    @Test("mutated GGUF files", arguments: [UInt32(2), 3])
    func gguf(version: UInt32) throws {
        var sample = GGUFBuilder.sample()
        sample.version = version
        let header = sample.file.count - sample.data.count
        var opened = 0
        try fuzz(sample.file, header: header, seed: UInt64(version), extension: "gguf") { path in
            let file = try GGUFFile(path: path)
            opened += 1
            for key in file.metadata.keys { touch(file.metadata[key]) }
            touch(file)
        }
        #expect(opened > 0)
    }

    @Test("mutated safetensors files")
    func safetensors() throws {
        var opened = 0
        let header = SafetensorsFileTests.sample.count - 32
        try fuzz(SafetensorsFileTests.sample, header: header, seed: 20, extension: "safetensors") { path in
            let file = try SafetensorsFile(path: path)
            opened += 1
            touch(file)
        }
        #expect(opened > 0)
    }

    @Test("mutated indexes of shards")
    func index() throws {
        let index = Array(
            #"{"metadata":{"total_size":32},"weight_map":{"a":"model","b":"model","e":"model","f":"model"}}"#.utf8)
        let shard = Array(SafetensorsFileTests.sample)
        let files = ["config.json": Array("{}".utf8), "model": shard]
        try SafetensorsBuilder.withFolder(files) { folder in
            let path = folder + "/model.safetensors.index.json"
            var opened = 0
            try fuzz(index, header: index.count, seed: 30, at: path) { _ in
                touch(try SafetensorsCheckpoint(directory: folder))
                opened += 1
            }
            #expect(opened > 0)
        }
    }

    private func fuzz(
        _ bytes: [UInt8], header: Int, seed: UInt64, extension suffix: String, _ open: (String) throws -> Void
    ) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("fuzz-\(UUID().uuidString).\(suffix)")
            .path
        try fuzz(bytes, header: header, seed: seed, at: path, open)
    }

    /// Opens mutants of `bytes`, whose first `header` bytes are where most mutations go; only `ModelFileError` may come
    /// out.
    private func fuzz(
        _ bytes: [UInt8], header: Int, seed: UInt64, at path: String, _ open: (String) throws -> Void
    ) throws {
        var random = SplitMix64(state: seed)
        defer { try? FileManager.default.removeItem(atPath: path) }
        for round in 0..<Self.count {
            var mutant = bytes
            // Every byte of the header is struck in turn, then places at random.
            mutate(&mutant, first: round % header, &random)
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

    private func mutate(_ bytes: inout [UInt8], first: Int, _ random: inout SplitMix64) {
        for round in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let at = round == 0 ? min(first, bytes.count - 1) : Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes.removeSubrange(at...)
            case 3: bytes.removeSubrange(at..<min(at + Int.random(in: 1...16, using: &random), bytes.count))
            case 4: bytes.insert(contentsOf: bytes[at..<min(at + 16, bytes.count)], at: at)
            case 5:
                // Digits and punctuation, for the texts.
                bytes[at] = Array("0123456789-.,:{}[]\"\\eu".utf8).randomElement(using: &random) ?? 0
            default:
                // Numbers at the edges, where counts and offsets overflow.
                let edges: [UInt64] = [0, 1, .max, .max >> 1, 1 << 63, 1 << 32, 1 << 31, .max - 31]
                let value = GGUFBuilder.bytes(edges.randomElement(using: &random) ?? 0)
                for (offset, byte) in value.enumerated() where at + offset < bytes.count { bytes[at + offset] = byte }
            }
        }
    }

    /// Reads every byte that a tensor claims, and dequantises what can be.
    private func touch(_ source: some TensorSource) {
        for name in source.tensorNames {
            guard let tensor = try? source.tensor(name) else { continue }
            var sum: UInt8 = 0
            for byte in tensor.bytes { sum &+= byte }
            withExtendedLifetime(sum) {}
            if tensor.canDequantize { _ = try? tensor.dequantized() }
        }
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
