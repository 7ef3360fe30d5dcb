import ModelFiles

/// Reads the tokeniser that a GGUF file's metadata describes: byte-level byte pairs (`gpt2`), SentencePiece byte pairs
/// (`llama`), SentencePiece unigram (`t5`) and WordPiece (`bert`).
struct GGUFTokenizer {
    /// GGUF's token types.
    private enum Kind: Int {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    /// The mark that SentencePiece writes for a space.
    private static let mark = "\u{2581}"

    private let metadata: GGUFMetadata
    private let texts: GGUFStringArray
    private let kinds: [Kind]

    init(_ metadata: GGUFMetadata) throws {
        self.metadata = metadata
        texts = try metadata.stringArray("tokenizer.ggml.tokens")
        guard !texts.isEmpty, texts.count <= 1 << 24 else {
            throw TokenizationError(
                code: .malformed,
                message:
                    "\(metadata.source): tokenizer.ggml.tokens has \(texts.count) tokens, expected 1 ... \(1 << 24)")
        }
        let kinds = try metadata.intsIfPresent("tokenizer.ggml.token_type")
        guard kinds == nil || kinds?.count == texts.count else {
            throw TokenizationError(
                code: .malformed,
                message: "\(metadata.source): tokenizer.ggml.token_type has \(kinds?.count ?? 0) entries, expected "
                    + "\(texts.count)")
        }
        self.kinds =
            kinds?.map { Kind(rawValue: $0) ?? .normal } ?? [Kind](repeating: .normal, count: texts.count)
    }

    func tokenizer() throws -> PipelineTokenizer {
        let model = try metadata.string("tokenizer.ggml.model")
        switch model {
        case "gpt2": return try byteLevel()
        case "llama": return try bytePair()
        case "t5": return try unigram()
        case "bert": return try wordPiece()
        default:
            throw TokenizationError(
                code: .unsupported,
                message: "\(metadata.source): tokenizer.ggml.model is \"\(model.prefix(64))\", expected \"gpt2\", "
                    + "\"llama\", \"t5\" or \"bert\"")
        }
    }

    private func malformed(_ message: String) -> TokenizationError {
        TokenizationError(code: .malformed, message: "\(metadata.source): \(message)")
    }

    // MARK: - Kinds

    private func byteLevel() throws -> PipelineTokenizer {
        let pre = try metadata.stringIfPresent("tokenizer.ggml.pre") ?? "default"
        let preTokenizer = try PreTokenizer(ggufName: pre)
        let ids = try table(of: [.normal, .unused, .byte, .control, .unknown, .userDefined])
        let isLlama = if case .llama3 = preTokenizer { true } else { false }
        let model = ByteLevelModel(
            texts: texts, ids: ids, merges: try merges(ids), ignoresMerges: isLlama
        ) { kinds[$0] != .control && kinds[$0] != .unknown }
        guard !model.hasCollisions else { throw ProbeLimit.refusal(metadata.source) }
        guard model.byteTokens.contains(where: { $0 != nil }) else {
            throw malformed("tokenizer.ggml.tokens has no token for any single byte, expected byte-level tokens")
        }
        let added = try addedTokens()
        return PipelineTokenizer(
            texts: texts, added: added, normalizer: nil, words: .byteLevel(model, preTokenizer),
            decoder: TokenDecoder(steps: [.byteLevel]), roles: try roles(added, addsBOS: isLlama, addsEOS: false))
    }

    private func bytePair() throws -> PipelineTokenizer {
        let ids = try table(of: [.normal, .unused])
        var options = BytePairModel.Options()
        options.byteTokens = byteTokens()
        options.unknown = try tokenID("tokenizer.ggml.unknown_token_id")
        options.fusesUnknown = true
        let scores = try scores()
        let merges = try SentencePieceMerges.table(texts, ids, scores)
        guard !merges.hasCollisions else { throw ProbeLimit.refusal(metadata.source) }
        let model = BytePairModel(ids: ids, merges: merges, options: options)
        let added = try addedTokens()
        let addsPrefix = try metadata.boolIfPresent("tokenizer.ggml.add_space_prefix") ?? true
        let escape = Normalizer.replace(.literal([UInt8(ascii: " ")]), with: Self.mark)
        var decoder: [TokenDecoder.Step] = [
            .replace(.literal(Array(Self.mark.utf8)), with: " "), .byteFallback, .fuse,
        ]
        if addsPrefix { decoder.append(.strip(content: " ", start: 1, end: 0)) }
        return PipelineTokenizer(
            texts: texts, added: added,
            normalizer: addsPrefix ? .sequence([.prepend(Self.mark), escape]) : escape,
            words: .general([], .bytePair(model)), decoder: TokenDecoder(steps: decoder),
            roles: try roles(added, addsBOS: true, addsEOS: false))
    }

    private func unigram() throws -> PipelineTokenizer {
        let scores = try scores()
        let pieces = texts.indices.filter { kinds[$0] == .normal || kinds[$0] == .unused }.map { index in
            (text: texts.withUTF8(at: index) { Array($0) }, id: UInt32(index))
        }
        let model = try UnigramModel(
            pieces: pieces, scores: scores, unknown: try tokenID("tokenizer.ggml.unknown_token_id") ?? 0,
            byteTokens: byteTokens())
        var normalizers: [Normalizer] = []
        if let map = try metadata.intsIfPresent("tokenizer.ggml.precompiled_charsmap"), !map.isEmpty {
            let bytes = map.map { UInt8(truncatingIfNeeded: $0) }
            normalizers.append(.precompiled(try PrecompiledCharacterMap(bytes, source: metadata.source)))
        }
        if try metadata.boolIfPresent("tokenizer.ggml.remove_extra_whitespaces") ?? false {
            normalizers.append(.strip(left: true, right: true))
            normalizers.append(.replace(.regex(try Self.spaces()), with: " "))
        }
        let addsPrefix = try metadata.boolIfPresent("tokenizer.ggml.add_space_prefix") ?? true
        let added = try addedTokens()
        return PipelineTokenizer(
            texts: texts, added: added, normalizer: normalizers.isEmpty ? nil : .sequence(normalizers),
            words: .general(
                [.metaspace(replacement: Self.mark, addsPrefix ? .always : .never, splits: false)], .unigram(model)),
            decoder: TokenDecoder(steps: [.metaspace(replacement: Self.mark, dropsFirst: addsPrefix)]),
            roles: try roles(added, addsBOS: false, addsEOS: true))
    }

    private static func spaces() throws -> RegexProgram {
        do {
            return try RegexParser.compile(" {2,}")
        } catch {
            throw TokenizationError(code: .unsupported, message: error.message)
        }
    }

    /// GGUF marks the entries that start a word, where BERT's own files mark those that continue one.
    private func wordPiece() throws -> PipelineTokenizer {
        var starts = ByteStringTable(capacity: texts.count)
        var continuations = ByteStringTable(capacity: texts.count)
        var plain: [String] = []
        plain.reserveCapacity(texts.count)
        for index in texts.indices {
            let text = texts[index]
            let isStart = text.utf8.starts(with: Self.mark.utf8)
            let rest = isStart ? String(decoding: text.utf8.dropFirst(3), as: UTF8.self) : text
            let isControl = kinds[index] == .control || kinds[index] == .unknown
            plain.append(isStart || isControl ? rest : "##" + rest)
            Array(rest.utf8).withUnsafeBufferPointer { bytes in
                if isStart || isControl {
                    _ = starts.insert(bytes, id: UInt32(index))
                } else {
                    _ = continuations.insert(bytes, id: UInt32(index))
                }
            }
        }
        guard !starts.hasCollisions, !continuations.hasCollisions else { throw ProbeLimit.refusal(metadata.source) }
        guard let unknown = try tokenID("tokenizer.ggml.unknown_token_id") ?? starts.id(ofText: "[UNK]") else {
            throw malformed("expected a token [UNK]")
        }
        let added = try addedTokens()
        var roles = try roles(added, addsBOS: false, addsEOS: false)
        roles.bos = try tokenID("tokenizer.ggml.cls_token_id") ?? roles.bos ?? starts.id(ofText: "[CLS]")
        roles.eos = try tokenID("tokenizer.ggml.seperator_token_id") ?? roles.eos ?? starts.id(ofText: "[SEP]")
        roles.before = [roles.bos].compactMap { $0 }
        roles.after = [roles.eos].compactMap { $0 }
        return PipelineTokenizer(
            texts: GGUFStringArray(plain), added: added,
            normalizer: .bert(
                BertNormalizer(cleansText: true, handlesChinese: true, stripsAccents: true, lowercases: true)),
            words: .general(
                [.bert],
                .wordPiece(
                    WordPieceModel(starts: starts, continuations: continuations, unknown: unknown, maxScalars: 100))),
            decoder: TokenDecoder(steps: [.wordPiece(prefix: "##", cleansUp: true)]), roles: roles)
    }

    // MARK: - Parts

    private func table(of wanted: Set<Kind>) throws -> ByteStringTable {
        var table = ByteStringTable(capacity: texts.count)
        for index in texts.indices where wanted.contains(kinds[index]) {
            texts.withUTF8(at: index) { _ = table.insert($0, id: UInt32(index)) }
        }
        guard !table.hasCollisions else { throw ProbeLimit.refusal(metadata.source) }
        return table
    }

    private func addedTokens() throws -> AddedTokens {
        try AddedTokens(
            texts.indices.compactMap { index in
                switch kinds[index] {
                case .control, .unknown: AddedToken(id: UInt32(index), text: texts[index])
                case .userDefined: AddedToken(id: UInt32(index), text: texts[index], isSpecial: false)
                case .normal, .unused, .byte: nil
                }
            })
    }

    private func byteTokens() -> [UInt32]? {
        var ids: [String: UInt32] = [:]
        for index in texts.indices where kinds[index] == .byte { ids[texts[index]] = UInt32(index) }
        return ByteFallback.tokens { ids[$0] }
    }

    private func scores() throws -> [Double] {
        let scores = try metadata.floats("tokenizer.ggml.scores")
        guard scores.count == texts.count else {
            throw malformed("tokenizer.ggml.scores has \(scores.count) entries, expected \(texts.count)")
        }
        return scores
    }

    private func tokenID(_ key: String) throws -> UInt32? {
        guard let id = try metadata.intIfPresent(key) else { return nil }
        // Converters write -1, or all bits set, for "none".
        if id == -1 || id == Int(UInt32.max) { return nil }
        guard texts.indices.contains(id) else {
            throw malformed("\(key) is \(id), expected 0 ..< \(texts.count)")
        }
        return UInt32(id)
    }

    private func roles(_ added: AddedTokens, addsBOS: Bool, addsEOS: Bool) throws -> PipelineTokenizer.Roles {
        var roles = PipelineTokenizer.Roles()
        roles.bos = try tokenID("tokenizer.ggml.bos_token_id")
        roles.eos = try tokenID("tokenizer.ggml.eos_token_id")
        if try metadata.boolIfPresent("tokenizer.ggml.add_bos_token") ?? addsBOS {
            roles.before = [roles.bos].compactMap { $0 }
        }
        if try metadata.boolIfPresent("tokenizer.ggml.add_eos_token") ?? addsEOS {
            roles.after = [roles.eos].compactMap { $0 }
        }
        let keys = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"]
        let ends = try [roles.eos] + keys.map(tokenID) + EndOfGeneration.names.map { added.id(of: $0) }
        roles.endOfGeneration = Set(ends.compactMap { $0 })
        return roles
    }

    /// A merge is written as its two tokens with a space between.
    private func merges(_ ids: ByteStringTable) throws -> MergeTable {
        let texts = try metadata.stringArray("tokenizer.ggml.merges")
        var table = MergeTable(capacity: texts.count)
        var joined: [UInt8] = []
        for rank in 0..<texts.count {
            try texts.withUTF8(at: rank) { text in
                guard let space = text.dropFirst().firstIndex(of: UInt8(ascii: " ")), space + 1 < text.count else {
                    throw malformed("merge \(rank) is not two tokens with a space between")
                }
                let left = UnsafeBufferPointer(rebasing: text[..<space])
                let right = UnsafeBufferPointer(rebasing: text[(space + 1)...])
                joined.removeAll(keepingCapacity: true)
                joined.append(contentsOf: left)
                joined.append(contentsOf: right)
                guard let leftID = ids.id(of: left), let rightID = ids.id(of: right),
                    let id = joined.withUnsafeBufferPointer({ ids.id(of: $0) })
                else { throw malformed("merge \(rank) names a token that is not in the vocabulary") }
                table.insert(left: leftID, right: rightID, rank: UInt32(rank), token: id)
            }
        }
        return table
    }
}
