import Foundation

/// What is done to text before and after the model: normalisers, pre-tokenisers, decoders.
extension TokenizerJSON {
    /// Sequences in sequences are bounded by the parser's depth; this bounds their length.
    static let maxParts = 64
    private static let maxDecoders = 16
    /// Longer marks, prefixes and suffixes would be put into a text again and again.
    static let maxMarkBytes = 64

    // MARK: - Patterns

    private static func pattern(_ field: JSONField) throws -> (pattern: TextPattern, regex: String?) {
        if let literal = try field.string("String") { return (.literal(Array(literal.utf8)), nil) }
        guard let regex = try field.string("Regex") else {
            throw field.malformed("expected \"String\" or \"Regex\"")
        }
        do {
            return (.regex(try RegexParser.compile(regex)), regex)
        } catch {
            throw field.unsupported(error.message)
        }
    }

    static func parts(_ field: JSONField, _ key: String) throws -> [JSONField] {
        let parts = try field.required(key).elements()
        guard parts.count <= maxParts else {
            throw field.malformed("\(parts.count) parts, expected at most \(maxParts)")
        }
        return parts
    }

    /// A text that is put into others.
    static func mark(_ field: JSONField, _ key: String, default value: String) throws -> String {
        let text = try field.string(key) ?? value
        guard text.utf8.count <= maxMarkBytes else {
            throw field.unsupported("a \(key) of \(text.utf8.count) bytes; expected at most \(maxMarkBytes)")
        }
        return text
    }

    // MARK: - Normalisers

    static func normalizer(_ field: JSONField) throws -> Normalizer {
        let type = try field.type()
        if let form = UnicodeForm(rawValue: type) { return .form(form) }
        switch type {
        case "Sequence": return .sequence(try parts(field, "normalizers").map(normalizer))
        case "Lowercase": return .lowercase
        case "Strip":
            return .strip(
                left: try field.bool("strip_left", default: true), right: try field.bool("strip_right", default: true))
        case "StripAccents": return .stripAccents
        case "Replace":
            return .replace(
                try pattern(try field.required("pattern")).pattern, with: try field.required("content").string())
        case "Prepend": return .prepend(try field.required("prepend").string())
        case "Nmt": return .nmt
        case "BertNormalizer":
            let lowercases = try field.bool("lowercase", default: true)
            return .bert(
                BertNormalizer(
                    cleansText: try field.bool("clean_text", default: true),
                    handlesChinese: try field.bool("handle_chinese_chars", default: true),
                    stripsAccents: try field.bool("strip_accents", default: lowercases), lowercases: lowercases))
        case "Precompiled":
            let encoded = try field.required("precompiled_charsmap").string()
            guard let data = Data(base64Encoded: encoded) else { throw field.malformed("is not base64") }
            return .precompiled(try PrecompiledCharacterMap(Array(data), source: field.path))
        default: throw field.unsupported("a normaliser of type \"\(type.prefix(32))\" is not implemented")
        }
    }

    // MARK: - Pre-tokenisers

    static func preTokenizationSteps(_ field: JSONField) throws -> PreTokenization {
        var result = PreTokenization()
        try addSteps(field, to: &result)
        return result
    }

    private static func addSteps(_ field: JSONField, to result: inout PreTokenization) throws {
        guard result.steps.count < maxParts else { throw field.malformed("more than \(maxParts) parts") }
        let type = try field.type()
        switch type {
        case "Sequence": for part in try parts(field, "pretokenizers") { try addSteps(part, to: &result) }
        case "ByteLevel":
            if try field.bool("add_prefix_space", default: true) { result.add(.prefixSpace) }
            if try field.bool("use_regex", default: true) { result.add(.gpt2Words) }
            result.add(.byteAlphabet)
        case "Split":
            let (pattern, regex) = try pattern(try field.required("pattern"))
            let behavior = try behavior(try field.required("behavior"))
            let isInverted = try field.bool("invert", default: false)
            let isPlain = behavior == .isolated && !isInverted
            result.add(.split(pattern, behavior, isInverted: isInverted), pattern: isPlain ? regex : nil)
        case "Digits": result.add(.digits(individually: try field.bool("individual_digits", default: false)))
        case "WhitespaceSplit": result.add(.whiteSpaceSplit)
        case "Whitespace": result.add(.whiteSpace)
        case "BertPreTokenizer": result.add(.bert)
        case "Punctuation": result.add(.punctuation(try field["behavior"].map(behavior) ?? .isolated))
        case "CharDelimiterSplit": result.add(.delimiter(try oneScalar(try field.required("delimiter"))))
        case "Metaspace":
            result.add(
                .metaspace(
                    replacement: try mark(field, "replacement", default: "\u{2581}"), try prependScheme(field),
                    splits: try field.bool("split", default: true)))
        default: throw field.unsupported("a pre-tokeniser of type \"\(type.prefix(32))\" is not implemented")
        }
    }

    private static func behavior(_ field: JSONField) throws -> SplitBehavior {
        guard let behavior = SplitBehavior(rawValue: try field.string()) else {
            throw field.unsupported("a behaviour that is not implemented")
        }
        return behavior
    }

    private static func oneScalar(_ field: JSONField) throws -> Unicode.Scalar {
        let scalars = Array(try field.string().unicodeScalars)
        guard scalars.count == 1 else { throw field.malformed("expected one character") }
        return scalars[0]
    }

    private static func prependScheme(_ field: JSONField) throws -> PreTokenizationStep.PrependScheme {
        if let scheme = try field.string("prepend_scheme") {
            guard let known = PreTokenizationStep.PrependScheme(rawValue: scheme) else {
                throw field.unsupported("prepend_scheme \"\(scheme.prefix(32))\" is not implemented")
            }
            return known
        }
        return try field.bool("add_prefix_space", default: true) ? .always : .never
    }

    // MARK: - Decoders

    static func decoderSteps(_ field: JSONField) throws -> [TokenDecoder.Step] {
        let steps = try allDecoderSteps(field)
        guard steps.count <= maxDecoders else {
            throw field.malformed("\(steps.count) decoders, expected at most \(maxDecoders)")
        }
        return steps
    }

    private static func allDecoderSteps(_ field: JSONField) throws -> [TokenDecoder.Step] {
        let type = try field.type()
        switch type {
        case "Sequence": return try parts(field, "decoders").flatMap(decoderSteps)
        case "ByteLevel": return [.byteLevel]
        case "ByteFallback": return [.byteFallback]
        case "Fuse": return [.fuse]
        case "Replace":
            return [
                .replace(
                    try pattern(try field.required("pattern")).pattern, with: try field.required("content").string())
            ]
        case "Strip":
            return [
                .strip(
                    content: try oneScalar(try field.required("content")),
                    start: try field["start"]?.integer(in: 0...1 << 20) ?? 0,
                    end: try field["stop"]?.integer(in: 0...1 << 20) ?? 0)
            ]
        case "Metaspace":
            return [
                .metaspace(
                    replacement: try mark(field, "replacement", default: "\u{2581}"),
                    dropsFirst: try prependScheme(field) != .never)
            ]
        case "WordPiece":
            return [
                .wordPiece(
                    prefix: try mark(field, "prefix", default: "##"), cleansUp: try field.bool("cleanup", default: true)
                )
            ]
        case "BPEDecoder": return [.wordSuffix(try mark(field, "suffix", default: "</w>"))]
        default: throw field.unsupported("a decoder of type \"\(type.prefix(32))\" is not implemented")
        }
    }
}

/// The steps of pre-tokenisation, and their fast form where they end in the byte alphabet.
struct PreTokenization {
    private(set) var steps: [PreTokenizationStep] = []
    /// For each step, the regular expression by which it isolates; nil for other steps.
    private var patterns: [String?] = []

    mutating func add(_ step: PreTokenizationStep, pattern: String? = nil) {
        steps.append(step)
        patterns.append(pattern)
    }

    /// The steps before the byte alphabet, when that comes last and they only cut: words can then be taken as bytes.
    var byteLevel: PreTokenizer? {
        guard case .byteAlphabet = steps.last, steps.dropLast().allSatisfy(\.isCut) else { return nil }
        return PreTokenizer(steps: Array(steps.dropLast()), patterns: Array(patterns.dropLast()))
    }
}
