import Foundation

/// Makes the checkpoints that `Tests/Fixtures/architectures` describes: pseudo-random weights, which need not be kept
/// because their generator is fixed (see `generate.py` there).
struct TinyCheckpoint {
    /// A tensor of `tensors.json`: name, type, shape, base and scale.
    private struct Tensor: Decodable {
        let name: String
        let type: String
        let shape: [Int]
        let base: Float
        let scale: Float

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            name = try container.decode(String.self)
            type = try container.decode(String.self)
            shape = try container.decode([Int].self)
            base = try container.decode(Float.self)
            scale = try container.decode(Float.self)
        }

        /// bfloat16 bits of base + scale * u, with u in [-1, 1) from SplitMix64, seeded by the name's FNV-1a hash.
        var values: [UInt16] {
            let seed = name.utf8.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
            return (1...UInt64(shape.reduce(1, *))).map { index in
                var z = seed &+ index &* 0x9E37_79B9_7F4A_7C15
                z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
                z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
                z ^= z >> 31
                let bits = (base + scale * (Float(z >> 40) * 0x1p-23 - 1)).bitPattern
                return UInt16((bits + 0x7FFF + (bits >> 16) & 1) >> 16)
            }
        }

        var bytes: Data {
            let values = values
            guard type == "F32" else { return values.withUnsafeBytes { Data($0) } }
            return values.map { UInt32($0) << 16 }.withUnsafeBytes { Data($0) }
        }
    }

    static let descriptions = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/architectures")
    static let families = ["llama", "qwen2", "qwen3", "deepseek-v2", "deepseek-v3", "gemma3"]

    /// A folder of its own with config.json, model.safetensors and expected.json.
    let folder: URL

    /// - Parameters:
    ///   - brokenToken: its embedding is not a number.
    ///   - changes: of config.json.
    init(_ family: String, brokenToken: Int? = nil, changes: [String: any Sendable] = [:]) throws {
        let source = Self.descriptions.appendingPathComponent(family)
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("\(family)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in ["config.json", "expected.json"] {
            try FileManager.default.copyItem(
                at: source.appendingPathComponent(name), to: folder.appendingPathComponent(name))
        }
        if !changes.isEmpty {
            let path = folder.appendingPathComponent("config.json")
            var configuration = try JSONSerialization.jsonObject(with: Data(contentsOf: path)) as? [String: Any] ?? [:]
            configuration.merge(changes) { $1 }
            try JSONSerialization.data(withJSONObject: configuration).write(to: path)
        }
        let tensors = try JSONDecoder().decode(
            [Tensor].self, from: Data(contentsOf: source.appendingPathComponent("tensors.json")))
        try Self.safetensors(tensors, brokenToken: brokenToken)
            .write(to: folder.appendingPathComponent("model.safetensors"))
    }

    func remove() { try? FileManager.default.removeItem(at: folder) }

    private static func safetensors(_ tensors: [Tensor], brokenToken: Int?) throws -> Data {
        var header: [String: Any] = [:]
        var payload = Data()
        // Types with larger elements first, so that all are aligned.
        for tensor in tensors.sorted(by: { $0.type > $1.type }) {
            let start = payload.count
            var bytes = tensor.bytes
            if let brokenToken, tensor.name == "model.embed_tokens.weight" {
                let rowSize = bytes.count / tensor.shape[0]
                let nan = Data([UInt8](repeating: 0xFF, count: rowSize))
                bytes.replaceSubrange(brokenToken * rowSize..<(brokenToken + 1) * rowSize, with: nan)
            }
            payload += bytes
            header[tensor.name] = [
                "dtype": tensor.type, "shape": tensor.shape, "data_offsets": [start, payload.count],
            ]
        }
        var text = try JSONSerialization.data(withJSONObject: header)
        text += Data(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) } + text + payload
    }
}
