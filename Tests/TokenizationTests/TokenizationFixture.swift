import Foundation
import ModelFiles
import Tokenization

/// Texts with the ids that reference implementations give, and the installed models' tokenisers.
enum TokenizationFixture {
    struct Missing: Error, CustomStringConvertible {
        let path: String
        var description: String { "\(path) is missing: run `make models`" }
    }

    struct Case: Decodable {
        let text: String
        let ids: [UInt32]
    }

    private struct File: Decodable {
        let cases: [Case]
    }

    /// The cases of a file in Tests/Fixtures/tokenization.
    static func cases(_ name: String) throws -> [Case] {
        let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let url = directory.appendingPathComponent("Fixtures/tokenization/\(name)")
        return try JSONDecoder().decode(File.self, from: Data(contentsOf: url)).cases
    }

    static func modelPath(_ relative: String) throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let directory = environment["FATHOM_MODELS"] ?? NSString(string: "~/.fathom/models").expandingTildeInPath
        let path = "\(directory)/\(relative)"
        guard FileManager.default.fileExists(atPath: path) else { throw Missing(path: path) }
        return path
    }

    /// The metadata of the demo model, with some keys replaced.
    static func metadata(replacing replacements: [String: GGUFValue] = [:]) throws -> GGUFMetadata {
        let metadata = try GGUFFile(path: try modelPath("smollm2-135m-instruct/model.gguf")).metadata
        var values: [String: GGUFValue] = [:]
        for key in metadata.keys { values[key] = metadata[key] }
        return GGUFMetadata(values.merging(replacements) { $1 })
    }

    /// The demo model's tokeniser, optionally with another pre-tokeniser.
    static func bytePair(pre: String = "smollm") throws -> PipelineTokenizer {
        try TokenizerLoader.load(gguf: try metadata(replacing: ["tokenizer.ggml.pre": .string(pre)]))
    }

    static func wordPiece(maxLength: Int = 256) throws -> WordPieceTokenizer {
        try WordPieceTokenizer(vocabularyPath: try modelPath("all-minilm-l6-v2/vocab.txt"), maxLength: maxLength)
    }
}

/// A small seeded generator: the same texts in every run.
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
