import Foundation
import ModelFiles

/// Turns `tokenizer.json` and `tokenizer_config.json` into GGUF's tokeniser keys.
struct CheckpointTokenizer {
    /// GGUF's token types.
    private enum Kind {
        static let normal: Int32 = 1
        static let unknown: Int32 = 2
        static let control: Int32 = 3
        static let userDefined: Int32 = 4
        static let unused: Int32 = 5
        static let byte: Int32 = 6
    }

    private static let maximumBytes = 256 << 20

    private(set) var entries: [(key: String, value: GGUFValue)] = []

    private let directory: String
    private var tokens: [String]
    private var kinds: [Int32]
    /// Keyed by UTF-8: see ``VocabularyScanner``.
    private var identifiers: [[UInt8]: Int] = [:]

    init(
        directory: String, configuration: ConfigurationJSON, vocabularySize: Int, preTokenizer: String?
    ) throws {
        self.directory = directory
        let path = directory + "/tokenizer.json"
        let bytes = try Self.bytes(path)
        let root = try ConfigurationJSON(bytes, path: path)
        guard let model = try root.objectIfPresent("model"), try model.stringIfPresent("type") == "BPE" else {
            throw ModelToolsError(.unsupported, "\(path): only BPE tokenisers can be converted")
        }
        guard vocabularySize <= 1 << 22 else {
            throw ModelToolsError(.malformed, "\(path): a vocabulary of \(vocabularySize)")
        }
        tokens = (0..<vocabularySize).map { "[PAD\($0)]" }
        kinds = [Int32](repeating: Kind.unused, count: vocabularySize)
        try readVocabulary(bytes)
        try readAddedTokens(root)
        let merges = try Self.merges(model)
        if try model.boolIfPresent("byte_fallback") ?? false {
            addPieces(merges)
        } else {
            addBytePairs(merges, try preTokenizer ?? PreTokenizerName.find(root))
        }
        try addSpecialTokens(configuration)
    }

    // MARK: - Vocabulary

    private mutating func readVocabulary(_ json: [UInt8]) throws {
        guard let members = VocabularyScanner.numbers(in: json, at: ["model", "vocab"]) else {
            throw ModelToolsError(.malformed, "\(directory)/tokenizer.json: vocab is not an object of numbers")
        }
        for (token, id) in members { try place(String(decoding: token, as: UTF8.self), id, Kind.normal) }
    }

    private mutating func readAddedTokens(_ root: ConfigurationJSON) throws {
        for token in root.value("added_tokens") as? [[String: Any]] ?? [] {
            guard let content = token["content"] as? String, let id = Self.wholeNumber(token["id"]) else {
                throw ModelToolsError(.malformed, "\(root.path): an added token without content or number")
            }
            try place(content, id, token["special"] as? Bool ?? false ? Kind.control : Kind.userDefined)
        }
    }

    /// Not `intValue`, which takes something from numbers beyond 64 bits too.
    private static func wholeNumber(_ value: Any?) -> Int? {
        (value as? NSNumber).flatMap { Int(exactly: $0.doubleValue) }
    }

    private mutating func place(_ token: String, _ id: Int, _ kind: Int32) throws {
        guard tokens.indices.contains(id) else {
            throw ModelToolsError(
                .malformed, "\(directory)/tokenizer.json: token number \(id), vocab_size is \(tokens.count)")
        }
        tokens[id] = token
        kinds[id] = kind
        identifiers[Array(token.utf8)] = id
    }

    /// `["a b", ...]` or `[["a", "b"], ...]`.
    private static func merges(_ model: ConfigurationJSON) throws -> [(String, String)] {
        try (model.value("merges") as? [Any] ?? []).map { merge in
            if let pair = merge as? [String], pair.count == 2 { return (pair[0], pair[1]) }
            if let text = merge as? String {
                let parts = text.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { return (String(parts[0]), String(parts[1])) }
            }
            throw ModelToolsError(.malformed, "\(model.path): a merge is not a pair")
        }
    }

    // MARK: - The two kinds

    private mutating func addBytePairs(_ merges: [(String, String)], _ preTokenizer: String) {
        entries = [("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string(preTokenizer))]
        addTokens()
        entries.append(
            ("tokenizer.ggml.merges", .array(GGUFArray(GGUFStringArray(merges.map { "\($0.0) \($0.1)" })))))
    }

    /// SentencePiece's BPE: the score of a piece is minus its rank among the merges, so that scores order them alike.
    private mutating func addPieces(_ merges: [(String, String)]) {
        var scores = [Float](repeating: 0, count: tokens.count)
        var ranks: [[UInt8]: Int] = [:]
        for (rank, merge) in merges.enumerated() {
            let piece = Array((merge.0 + merge.1).utf8)
            if ranks[piece] == nil { ranks[piece] = rank }
        }
        for id in tokens.indices {
            if kinds[id] == Kind.normal {
                if Self.isByte(tokens[id]) {
                    kinds[id] = Kind.byte
                } else {
                    scores[id] = -Float(ranks[Array(tokens[id].utf8)] ?? merges.count + id)
                }
            }
            if tokens[id] == "<unk>" { kinds[id] = Kind.unknown }
        }
        entries = [("tokenizer.ggml.model", .string("llama")), ("tokenizer.ggml.pre", .string("default"))]
        addTokens()
        let bytes = scores.flatMap { score in withUnsafeBytes(of: score.bitPattern.littleEndian) { Array($0) } }
        if let array = GGUFArray(scalars: bytes, elementType: .float32) {
            entries.append(("tokenizer.ggml.scores", .array(array)))
        }
    }

    private static func isByte(_ token: String) -> Bool {
        token.utf8.count == 6 && token.hasPrefix("<0x") && token.hasSuffix(">")
            && UInt8(token.dropFirst(3).prefix(2), radix: 16) != nil
    }

    private mutating func addTokens() {
        entries.append(("tokenizer.ggml.tokens", .array(GGUFArray(GGUFStringArray(tokens)))))
        entries.append(("tokenizer.ggml.token_type", .array(GGUFArray(kinds))))
    }

    // MARK: - Special tokens and template

    private mutating func addSpecialTokens(_ configuration: ConfigurationJSON) throws {
        let path = directory + "/tokenizer_config.json"
        let settings =
            FileManager.default.fileExists(atPath: path)
            ? try ConfigurationJSON(Self.bytes(path), path: path) : ConfigurationJSON(object: [:], path: path)
        for (token, key) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
            if let id = try specialToken(token, settings, configuration) {
                entries.append(("tokenizer.ggml.\(key)_token_id", .uint32(UInt32(id))))
            }
        }
        for key in ["add_bos_token", "add_eos_token"] {
            if let flag = try settings.boolIfPresent(key) { entries.append(("tokenizer.ggml.\(key)", .bool(flag))) }
        }
        if let template = try chatTemplate(settings) {
            entries.append(("tokenizer.chat_template", .string(template)))
        }
    }

    /// The tokeniser's own setting, else the model's (the first of several).
    private func specialToken(
        _ name: String, _ settings: ConfigurationJSON, _ configuration: ConfigurationJSON
    ) throws -> Int? {
        let value = settings.value("\(name)_token")
        let text = value as? String ?? (value as? [String: Any])?["content"] as? String
        if let text, let id = identifiers[Array(text.utf8)] { return id }
        let number = configuration.value("\(name)_token_id")
        let id = Self.wholeNumber(number) ?? Self.wholeNumber((number as? [Any])?.first)
        return id.flatMap { tokens.indices.contains($0) ? $0 : nil }
    }

    private func chatTemplate(_ settings: ConfigurationJSON) throws -> String? {
        let file = directory + "/chat_template.jinja"
        if FileManager.default.fileExists(atPath: file) {
            return String(decoding: try Self.bytes(file), as: UTF8.self)
        }
        if let templates = settings.value("chat_template") as? [[String: Any]] {
            let chosen = templates.first { $0["name"] as? String == "default" } ?? templates.first
            return chosen?["template"] as? String
        }
        return settings.value("chat_template") as? String
    }

    private static func bytes(_ path: String) throws -> [UInt8] {
        let file = try MappedFile(path: path)
        guard file.byteCount <= maximumBytes else {
            throw ModelToolsError(.malformed, "\(path): \(file.byteCount) bytes, expected at most \(maximumBytes)")
        }
        return Array(file.bytes)
    }
}
