import ModelFiles

extension TokenizerJSON {
    /// The model, with the pre-tokenisation before it.
    func words(
        _ model: JSONField, _ vocabulary: TokenizerVocabulary, _ steps: PreTokenization
    ) throws -> PipelineTokenizer.WordModel {
        // Old files leave the type out.
        let type = try model.string("type") ?? (model["merges"] == nil ? "WordPiece" : "BPE")
        switch type {
        case "BPE": return try bytePair(model, vocabulary, steps)
        case "Unigram": return .general(steps.steps, .unigram(try unigram(model, vocabulary)))
        case "WordPiece": return .general(steps.steps, .wordPiece(try wordPiece(model, vocabulary)))
        case "WordLevel":
            return .general(
                steps.steps, .wordLevel(try vocabulary.table(model.path), unknown: try unknown(model, vocabulary)))
        default: throw model.unsupported("a model of type \"\(type.prefix(32))\" is not implemented")
        }
    }

    private func unknown(_ model: JSONField, _ vocabulary: TokenizerVocabulary) throws -> UInt32? {
        guard let text = try model.string("unk_token") else { return nil }
        return vocabulary.id(of: text)
    }

    // MARK: - Byte pairs

    private func bytePair(
        _ model: JSONField, _ vocabulary: TokenizerVocabulary, _ steps: PreTokenization
    ) throws -> PipelineTokenizer.WordModel {
        guard try model["dropout"]?.number() ?? 0 == 0 else { throw model.unsupported("dropout is not implemented") }
        var options = BytePairModel.Options()
        options.continuationPrefix = Array(try Self.mark(model, "continuing_subword_prefix", default: "").utf8)
        options.wordSuffix = Array(try Self.mark(model, "end_of_word_suffix", default: "").utf8)
        options.unknown = try unknown(model, vocabulary)
        options.fusesUnknown = try model.bool("fuse_unk", default: false)
        options.ignoresMerges = try model.bool("ignore_merges", default: false)
        if try model.bool("byte_fallback", default: false) {
            options.byteTokens = ByteFallback.tokens { vocabulary.id(of: $0) }
        }
        let table = try vocabulary.table(model.path)
        let merges = try merges(model, vocabulary, prefix: options.continuationPrefix)
        if let preTokenizer = steps.byteLevel, options.continuationPrefix.isEmpty, options.wordSuffix.isEmpty {
            let fast = ByteLevelModel(
                texts: vocabulary.texts(with: []), ids: table, merges: merges, ignoresMerges: options.ignoresMerges
            ) { _ in true }
            guard !fast.hasCollisions else { throw ProbeLimit.refusal(model.path) }
            if fast.isComplete || options.unknown == nil && options.byteTokens == nil {
                return .byteLevel(fast, preTokenizer)
            }
        }
        return .general(steps.steps, .bytePair(BytePairModel(ids: table, merges: merges, options: options)))
    }

    /// Merges are pairs of texts, in old files one text with a space between.
    private func merges(
        _ model: JSONField, _ vocabulary: TokenizerVocabulary, prefix: [UInt8]
    ) throws -> MergeTable {
        let field = try model.required("merges")
        guard case .array(let entries) = field.node else {
            throw field.malformed("\(field.node.kind), expected an array")
        }
        var table = MergeTable(capacity: entries.count)
        for (rank, entry) in entries.enumerated() {
            guard let (left, right) = Self.pair(entry) else {
                throw field.malformed("merge \(rank) is not two tokens")
            }
            let rest = right.utf8.starts(with: prefix) ? right.utf8.dropFirst(prefix.count) : right.utf8[...]
            let joined = left + String(Substring(rest))
            guard let leftID = vocabulary.id(of: left), let rightID = vocabulary.id(of: right),
                let id = vocabulary.id(of: joined)
            else { throw field.malformed("merge \(rank) names a token that is not in the vocabulary") }
            // Of two merges of a pair the later one counts in the library.
            table.insert(left: leftID, right: rightID, rank: UInt32(rank), token: id, replaces: true)
        }
        guard !table.hasCollisions else { throw ProbeLimit.refusal(field.path) }
        return table
    }

    private static func pair(_ entry: JSONNode) -> (left: String, right: String)? {
        switch entry {
        case .array(let parts):
            guard parts.count == 2, case .string(let left) = parts[0], case .string(let right) = parts[1] else {
                return nil
            }
            return (left, right)
        case .string(let text):
            let parts = text.split(separator: " ", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
            return (String(parts[0]), String(parts[1]))
        default: return nil
        }
    }

    // MARK: - Unigram and WordPiece

    private func unigram(_ model: JSONField, _ vocabulary: TokenizerVocabulary) throws -> UnigramModel {
        guard !vocabulary.scores.isEmpty else { throw model.malformed("the vocabulary has no scores") }
        let unknown = try model["unk_id"]?.integer(in: 0...vocabulary.count - 1)
        var byteTokens: [UInt32]?
        if try model.bool("byte_fallback", default: false) {
            byteTokens = ByteFallback.tokens { vocabulary.id(of: $0) }
        }
        let pieces = vocabulary.pieces.map { (text: Array($0.text.utf8), id: $0.id) }
        return try UnigramModel(
            pieces: pieces, scores: vocabulary.scores, unknown: unknown.map(UInt32.init), byteTokens: byteTokens)
    }

    private func wordPiece(_ model: JSONField, _ vocabulary: TokenizerVocabulary) throws -> WordPieceModel {
        guard let unknown = try unknown(model, vocabulary) else {
            throw model.malformed("the unknown token is not in the vocabulary")
        }
        let prefix = Array(try Self.mark(model, "continuing_subword_prefix", default: "##").utf8)
        var continuations = ByteStringTable(capacity: vocabulary.count)
        for (text, id) in vocabulary.pieces where text.utf8.starts(with: prefix) && text.utf8.count > prefix.count {
            Array(text.utf8.dropFirst(prefix.count)).withUnsafeBufferPointer { _ = continuations.insert($0, id: id) }
        }
        guard !continuations.hasCollisions else { throw ProbeLimit.refusal(model.path) }
        // A word may start with a token that is written like a continuation.
        return WordPieceModel(
            starts: try vocabulary.table(model.path), continuations: continuations, unknown: unknown,
            maxScalars: try model["max_input_chars_per_word"]?.integer(in: 0...1 << 30) ?? 100)
    }
}
