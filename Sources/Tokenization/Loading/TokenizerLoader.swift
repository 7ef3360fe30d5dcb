import Foundation
import ModelFiles

/// Makes tokenisers of the files that models are published with.
package enum TokenizerLoader {
    /// Where what is put around a text comes from.
    package enum Framing: Sendable {
        /// The `post_processor` of tokenizer.json only, as the `tokenizers` library does it.
        case postProcessor
        /// Where that adds nothing, `add_bos_token` and `add_eos_token` of tokenizer_config.json.
        case configuration
    }

    static let maxFileBytes = 1 << 28

    /// The tokeniser in `path`: a GGUF file, a tokenizer.json, or a directory that has a tokenizer.json or one GGUF file.
    ///
    /// Beside a tokenizer.json, tokenizer_config.json and generation_config.json are read when they are there.
    /// - Throws: `TokenizationError` with `inputOutput` for what cannot be read, `unsupported` for parts that are not
    ///   implemented, `malformed` for contradictions; `ModelFileError` for broken GGUF files.
    package static func load(path: String, framing: Framing = .configuration) throws -> PipelineTokenizer {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw TokenizationError(code: .inputOutput, message: "\(path): no such file")
        }
        if isDirectory.boolValue { return try load(directory: path, framing: framing) }
        if try startsLikeGGUF(path) { return try load(gguf: try GGUFFile(path: path).metadata) }
        let directory = (path as NSString).deletingLastPathComponent
        return try load(tokenizerJSON: path, directory: directory.isEmpty ? "." : directory, framing: framing)
    }

    private static func load(directory: String, framing: Framing) throws -> PipelineTokenizer {
        let path = "\(directory)/tokenizer.json"
        if FileManager.default.fileExists(atPath: path) {
            return try load(tokenizerJSON: path, directory: directory, framing: framing)
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        // Of a split file only the first part has metadata.
        guard let name = names.filter({ $0.hasSuffix(".gguf") }).sorted().first else {
            throw TokenizationError(
                code: .inputOutput, message: "\(directory): has neither a tokenizer.json nor a GGUF file")
        }
        return try load(gguf: try GGUFFile(path: "\(directory)/\(name)").metadata)
    }

    private static func startsLikeGGUF(_ path: String) throws -> Bool {
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw TokenizationError(code: .inputOutput, message: "\(path): cannot be read")
        }
        defer { try? handle.close() }
        return try handle.read(upToCount: 4) == Data("GGUF".utf8)
    }

    private static func load(
        tokenizerJSON path: String, directory: String, framing: Framing
    ) throws -> PipelineTokenizer {
        guard let root = try readJSON(path, isRequired: true) else { preconditionFailure("a required file") }
        return try load(
            tokenizerJSON: root, configuration: try readJSON("\(directory)/tokenizer_config.json", isRequired: false),
            generation: try readJSON("\(directory)/generation_config.json", isRequired: false), framing: framing)
    }

    private static func readJSON(_ path: String, isRequired: Bool) throws -> JSONField? {
        guard isRequired || FileManager.default.fileExists(atPath: path) else { return nil }
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
        } catch {
            throw TokenizationError(code: .inputOutput, message: "\(path): cannot be read", cause: error)
        }
        guard data.count <= maxFileBytes else {
            throw TokenizationError(
                code: .malformed, message: "\(path): \(data.count) bytes, expected at most \(maxFileBytes)")
        }
        return try data.withUnsafeBytes { try parse($0.bindMemory(to: UInt8.self), source: path) }
    }

    static func parse(_ bytes: UnsafeBufferPointer<UInt8>, source: String) throws -> JSONField {
        do {
            return JSONField(node: try JSONReader.parse(bytes), path: source)
        } catch {
            throw TokenizationError(code: .malformed, message: "\(source): \(error)")
        }
    }

    /// The tokeniser that the text of a tokenizer.json describes. `source` is named in errors.
    package static func load(
        tokenizerJSON text: [UInt8], configuration: [UInt8]? = nil, framing: Framing = .configuration,
        source: String = "tokenizer.json"
    ) throws -> PipelineTokenizer {
        let root = try text.withUnsafeBufferPointer { try parse($0, source: source) }
        let settings = try configuration.map { text in
            try text.withUnsafeBufferPointer { try parse($0, source: "tokenizer_config.json") }
        }
        return try load(tokenizerJSON: root, configuration: settings, generation: nil, framing: framing)
    }

    private static func load(
        tokenizerJSON root: JSONField, configuration: JSONField?, generation: JSONField?, framing: Framing
    ) throws -> PipelineTokenizer {
        try TokenizerJSON(root, configuration: configuration, generation: generation, framing: framing).tokenizer()
    }

    /// The tokeniser that the metadata of a GGUF file describes.
    ///
    /// - Throws: `TokenizationError` with `unsupported` for a kind or a pre-tokeniser that is not implemented,
    ///   `malformed` for contradictions; `ModelFileError` for missing keys or wrong types.
    package static func load(gguf metadata: GGUFMetadata) throws -> PipelineTokenizer {
        try GGUFTokenizer(metadata).tokenizer()
    }
}

/// Tokens that end an answer in the chat formats of known model families.
enum EndOfGeneration {
    static let names = [
        "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "</s>", "<|end|>", "<end_of_turn>",
        "<|end_of_text|>",
        "<｜end▁of▁sentence｜>", "<|EOT|>",
    ]
}
