import Foundation
import ModelFiles
import Tensors
import Testing

@Suite("SafetensorsCheckpoint")
struct SafetensorsCheckpointTests {
    private static let config = Array("{}".utf8)
    private static let index = "model.safetensors.index.json"

    private static func shard(_ names: [String]) -> [UInt8] {
        var builder = SafetensorsBuilder()
        for name in names { builder.add(name, [2], [1, 2]) }
        return builder.file
    }

    private static func indexBytes(_ map: [String: String]) -> [UInt8] {
        let body = map.sorted { $0.key < $1.key }.map { #""\#($0.key)":"\#($0.value)""# }.joined(separator: ",")
        return Array(#"{"metadata":{"total_size":16},"weight_map":{\#(body)}}"#.utf8)
    }

    private func expectFailure(_ files: [String: [UInt8]], _ code: ModelFileError.Code, mentions text: String) throws {
        try SafetensorsBuilder.withFolder(files) { folder in
            let error = #expect(throws: ModelFileError.self) { try SafetensorsCheckpoint(directory: folder) }
            #expect(error?.code == code && error?.message.contains(text) == true, "\(error?.description ?? "none")")
        }
    }

    @Test("one file or shards: the same tensors, and the configuration's bytes")
    func layouts() throws {
        let sharded = [
            "config.json": Self.config, "1.safetensors": Self.shard(["a"]), "2.safetensors": Self.shard(["b"]),
            Self.index: Self.indexBytes(["a": "1.safetensors", "b": "2.safetensors"]),
        ]
        for files in [["config.json": Self.config, "model.safetensors": Self.shard(["a", "b"])], sharded] {
            try SafetensorsBuilder.withFolder(files) { folder in
                #expect(SafetensorsCheckpoint.isCheckpoint(folder))
                let checkpoint = try SafetensorsCheckpoint(directory: folder)
                #expect(checkpoint.tensorNames == ["a", "b"])
                #expect(checkpoint.configuration == Self.config)
                #expect(try checkpoint.tensor("b").dequantized() == [1, 2])
                #expect(checkpoint.contains("a") && !checkpoint.contains("c"))
                #expect { try checkpoint.tensor("c") } throws: { ($0 as? ModelFileError)?.code == .missingTensor }
            }
        }
    }

    @Test("an index that leads out of the folder is refused", arguments: ["../x", "/etc/passwd", "a/b", "..", ""])
    func leadsOut(name: String) throws {
        try expectFailure(
            ["config.json": Self.config, Self.index: Self.indexBytes(["a": name])], .badSplit, mentions: "file name")
    }

    @Test("shards may be links, as in a hub's cache; a link to nothing is a missing shard")
    func links() throws {
        try ModelFixture.withFile(Self.shard(["a"])) { outside in
            let files = ["config.json": Self.config, Self.index: Self.indexBytes(["a": "s.safetensors"])]
            try SafetensorsBuilder.withFolder(files) { folder in
                let link = folder + "/s.safetensors"
                try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: outside)
                let names = try SafetensorsCheckpoint(directory: folder).tensorNames
                #expect(names == ["a"])
                try FileManager.default.removeItem(atPath: link)
                try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder + "/nothing")
                #expect { try SafetensorsCheckpoint(directory: folder) } throws: {
                    ($0 as? ModelFileError)?.code == .inputOutput
                }
            }
        }
    }

    @Test("shards that are not what the index says are refused, naming tensor and file")
    func contradictions() throws {
        let config = Self.config
        let two = Self.indexBytes(["a": "1.safetensors", "b": "2.safetensors"])
        try expectFailure(
            ["config.json": config, Self.index: two, "1.safetensors": Self.shard(["a"])], .inputOutput,
            mentions: "2.safetensors")
        try expectFailure(
            [
                "config.json": config, Self.index: two, "1.safetensors": Self.shard(["a"]),
                "2.safetensors": Self.shard(["c"]),
            ], .badSplit, mentions: "tensor c")
        try expectFailure(
            [
                "config.json": config, Self.index: two, "1.safetensors": Self.shard(["a"]),
                "2.safetensors": Self.shard(["a", "b"]),
            ], .duplicateName, mentions: "tensor a")
        try expectFailure(
            [
                "config.json": config, Self.index: Self.indexBytes(["a": "1.safetensors", "b": "1.safetensors"]),
                "1.safetensors": Self.shard(["a"]),
            ],
            .missingTensor, mentions: "tensor b")
        try expectFailure(
            ["config.json": config, Self.index: Array("{\"weight_map\":[]}".utf8)], .malformed, mentions: "weight_map")
        try expectFailure(["model.safetensors": Self.shard(["a"])], .inputOutput, mentions: "config.json")
        try expectFailure(["config.json": config], .inputOutput, mentions: "model.safetensors")
        try expectFailure(
            ["config.json": Array("[".utf8), "model.safetensors": Self.shard(["a"])], .malformed, mentions: "config")
    }

    @Test("FP8 matrices come with their block scales, edges included")
    func eightBitFloats() throws {
        // 130 x 200: blocks of 128 x 128, 2 x 72, ... Every byte of E4M3 occurs, NaN apart.
        let quants = (0..<130 * 200).map { UInt8(truncatingIfNeeded: $0 * 7) }.map { $0 & 0x7F == 0x7F ? 0 : $0 }
        let scales: [Float] = [0.5, 3, -0.25, 1e-4]
        var builder = SafetensorsBuilder()
        builder.add("w", "F8_E4M3", [130, 200], quants)
        builder.add("w_scale_inv", [2, 2], scales)
        try SafetensorsBuilder.withFolder(["config.json": Self.config, "model.safetensors": builder.file]) { folder in
            let checkpoint = try SafetensorsCheckpoint(directory: folder)
            #expect(checkpoint.tensorNames == ["w"])
            let values = try checkpoint.tensor("w").dequantized()
            for row in [0, 127, 128, 129] {
                for column in [0, 127, 128, 199] {
                    let byte = quants[row * 200 + column]
                    #expect(values[row * 200 + column] == float(byte) * scales[row / 128 * 2 + column / 128])
                }
            }
        }
    }

    /// E4M3 as the paper defines it (arXiv 2209.05433, table 1).
    private func float(_ byte: UInt8) -> Float {
        let exponent = Int(byte >> 3 & 15)
        let mantissa = Double(byte & 7)
        let magnitude = exponent == 0 ? mantissa / 8 * 0x1p-6 : (1 + mantissa / 8) * exp2(Double(exponent - 7))
        return Float(byte > 127 ? -magnitude : magnitude)
    }

    @Test("FP8 without scales, or with scales that do not fit, is a clear error when the tensor is read")
    func badScales() throws {
        let quants = [UInt8](repeating: 0x38, count: 130 * 200)
        let bad: [(type: String, shape: [Int], data: [UInt8])] = [
            ("F32", [1, 2], [UInt8](repeating: 0, count: 8)), ("F32", [4], [UInt8](repeating: 0, count: 16)),
            ("I32", [2, 2], [UInt8](repeating: 0, count: 16)), ("F32", [2, 2], [UInt8](repeating: 0xFF, count: 16)),
        ]
        for scale in bad.map(Optional.some) + [nil] {
            var builder = SafetensorsBuilder()
            builder.add("w", "F8_E4M3", [130, 200], quants)
            if let scale { builder.add("w_scale_inv", scale.type, scale.shape, scale.data) }
            let files = ["config.json": Self.config, "model.safetensors": builder.file]
            try SafetensorsBuilder.withFolder(files) { folder in
                let checkpoint = try SafetensorsCheckpoint(directory: folder)
                #expect { try checkpoint.tensor("w") } throws: { error in
                    guard let error = error as? ModelFileError else { return false }
                    return error.code == .malformed && error.message.contains("w_scale_inv") || scale != nil
                }
            }
        }
    }

    @Test("the block size of the configuration is used")
    func blockSize() throws {
        var builder = SafetensorsBuilder()
        builder.add("w", "F8_E4M3", [2, 2], [0x38, 0x38, 0x38, 0x38])
        builder.add("w_scale_inv", [2, 1], [2, 5])
        let config = Array(#"{"quantization_config":{"weight_block_size":[1,2]}}"#.utf8)
        try SafetensorsBuilder.withFolder(["config.json": config, "model.safetensors": builder.file]) { folder in
            let values = try SafetensorsCheckpoint(directory: folder).tensor("w").dequantized()
            #expect(values == [2, 2, 5, 5])
        }
        let wrong = Array(#"{"quantization_config":{"weight_block_size":[0]}}"#.utf8)
        try expectFailure(
            ["config.json": wrong, "model.safetensors": builder.file], .malformed, mentions: "block_size")
    }
}
