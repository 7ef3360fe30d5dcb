import ModelFiles

/// A tokeniser put together from parts: added tokens, normalisation, pre-tokenisation, a model, what is put around a
/// text, and a decoder. The ids are those of the `tokenizers` library.
///
/// Made by `TokenizerLoader`. Text whose bytes a vocabulary has no tokens for loses them, as there.
package struct PipelineTokenizer: Tokenizer {
    /// How the words of a text become tokens.
    enum WordModel: Sendable {
        /// Words that the pre-tokeniser cuts out of the text, as bytes.
        case byteLevel(ByteLevelModel, PreTokenizer)
        case general([PreTokenizationStep], Model)
    }

    enum Model: Sendable {
        case bytePair(BytePairModel)
        case unigram(UnigramModel)
        case wordPiece(WordPieceModel)
        case wordLevel(ByteStringTable, unknown: UInt32?)
    }

    /// The tokens with a meaning of their own.
    struct Roles: Sendable {
        var bos: UInt32?
        var eos: UInt32?
        var endOfGeneration: Set<UInt32> = []
        /// What `addSpecial` puts before and behind a text.
        var before: [UInt32] = []
        var after: [UInt32] = []
    }

    /// The text of each id, as the vocabulary writes it; empty where it has none.
    let texts: GGUFStringArray
    let added: AddedTokens
    let normalizer: Normalizer?
    let words: WordModel
    let decoder: TokenDecoder
    let roles: Roles

    package var vocabularySize: Int { texts.count }
    package var bosTokenID: UInt32? { roles.bos }
    package var eosTokenID: UInt32? { roles.eos }
    package var endOfGenerationTokenIDs: Set<UInt32> { roles.endOfGeneration }

    // MARK: - Encoding

    package func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) throws -> [UInt32] {
        var text = text
        var ids: [UInt32] = []
        if addSpecial { ids += roles.before }
        let budget = TextBudget(byteCount: text.utf8.count)
        try text.withUTF8 { bytes in
            switch words {
            case .byteLevel(let model, let preTokenizer):
                var encoder = ByteLevelEncoder(
                    model: model, preTokenizer: preTokenizer, bytes: bytes, ids: ids, budget: budget)
                try encode(with: &encoder, parseSpecial: parseSpecial)
                ids = encoder.ids
            case .general(let steps, let model):
                var encoder = GeneralEncoder(steps: steps, model: model, ids: ids, budget: budget)
                try encode(bytes, with: &encoder, parseSpecial: parseSpecial)
                ids = encoder.ids
            }
        }
        if addSpecial { ids += roles.after }
        return ids
    }

    private func encode(with encoder: inout ByteLevelEncoder, parseSpecial: Bool) throws {
        let reader = encoder.reader
        try added.split(
            reader, 0..<reader.bytes.count, isNormalized: false, parseSpecial: parseSpecial, encoder.budget
        ) { part in
            switch part {
            case .token(let id): encoder.append(id)
            case .text(let range): try encode(range, with: &encoder, parseSpecial: parseSpecial)
            }
        }
    }

    private func encode(_ range: Range<Int>, with encoder: inout ByteLevelEncoder, parseSpecial: Bool) throws {
        guard let normalized = try normalized(encoder.reader, range, encoder.budget) else {
            return try encodeNormalized(range, with: &encoder, parseSpecial: parseSpecial)
        }
        try normalized.withUnsafeBufferPointer { bytes in
            try encoder.withText(bytes) { encoder in
                try encodeNormalized(0..<bytes.count, with: &encoder, parseSpecial: parseSpecial)
            }
        }
    }

    private func encodeNormalized(_ range: Range<Int>, with encoder: inout ByteLevelEncoder, parseSpecial: Bool) throws
    {
        guard added.hasNormalized else { return try encoder.encode(range) }
        try added.split(
            encoder.reader, range, isNormalized: true, parseSpecial: parseSpecial, encoder.budget
        ) { part in
            switch part {
            case .token(let id): encoder.append(id)
            case .text(let range): try encoder.encode(range)
            }
        }
    }

    private func encode(
        _ bytes: UnsafeBufferPointer<UInt8>, with encoder: inout GeneralEncoder, parseSpecial: Bool
    ) throws {
        let reader = ScalarReader(bytes: bytes, classes: ScalarClasses.shared)
        let budget = encoder.budget
        try added.split(reader, 0..<bytes.count, isNormalized: false, parseSpecial: parseSpecial, budget) { part in
            switch part {
            case .token(let id): encoder.append(id)
            case .text(let range):
                let normalized = try normalized(reader, range, budget) ?? Array(bytes[range])
                try encode(normalized, isFirst: range.lowerBound == 0, with: &encoder, parseSpecial: parseSpecial)
            }
        }
    }

    private func encode(_ text: [UInt8], isFirst: Bool, with encoder: inout GeneralEncoder, parseSpecial: Bool) throws {
        try text.withUnsafeBufferPointer { bytes in
            let reader = ScalarReader(bytes: bytes, classes: ScalarClasses.shared)
            let budget = encoder.budget
            try added.split(reader, 0..<bytes.count, isNormalized: true, parseSpecial: parseSpecial, budget) { part in
                switch part {
                case .token(let id): encoder.append(id)
                case .text(let range): try encoder.encode(bytes[range], isFirst: isFirst && range.lowerBound == 0)
                }
            }
        }
    }

    /// The text in `range` after normalisation; nil when it stays as it is.
    private func normalized(
        _ reader: ScalarReader, _ range: Range<Int>, _ budget: TextBudget
    ) throws -> [UInt8]? {
        guard let normalizer else { return nil }
        let text = String(decoding: UnsafeBufferPointer(rebasing: reader.bytes[range]), as: UTF8.self)
        return normalizer.keeps(text) ? nil : Array(try normalizer.applied(to: text, budget).utf8)
    }

    // MARK: - Decoding and special tokens

    package func decode(_ tokens: [UInt32], skipSpecial: Bool) -> String {
        let texts = tokens.compactMap { token -> String? in
            guard Int(token) < vocabularySize, !(skipSpecial && isSpecial(token)) else { return nil }
            return added.byID[token]?.text ?? self.texts[Int(token)]
        }
        return decoder.decode(texts)
    }

    package func bytes(of token: UInt32) -> [UInt8] { bytes(of: token, isFirst: false) }

    package func bytes(of token: UInt32, isFirst: Bool) -> [UInt8] {
        guard Int(token) < vocabularySize else { return [] }
        if isSpecial(token) { return [] }
        return decoder.bytes(of: added.byID[token]?.text ?? texts[Int(token)], isFirst: isFirst)
    }

    package func specialText(of token: UInt32) -> String? {
        guard let token = added.byID[token], token.isSpecial else { return nil }
        return token.text
    }

    package func specialToken(_ text: String) -> UInt32? {
        guard let id = added.id(of: text), isSpecial(id) else { return nil }
        return id
    }

    package func isSpecial(_ token: UInt32) -> Bool { added.byID[token]?.isSpecial ?? false }
}

/// One run of encoding by steps and a model other than byte-level byte pairs.
private struct GeneralEncoder {
    private let steps: [PreTokenizationStep]
    private let model: PipelineTokenizer.Model
    private var merger: WordMerger
    private(set) var ids: [UInt32]
    let budget: TextBudget

    init(steps: [PreTokenizationStep], model: PipelineTokenizer.Model, ids: [UInt32], budget: TextBudget) {
        self.budget = budget
        self.steps = steps
        self.model = model
        self.ids = ids
        if case .bytePair(let model) = model {
            merger = WordMerger(model.merges)
        } else {
            merger = WordMerger(MergeTable(capacity: 0))
        }
    }

    mutating func append(_ token: UInt32) { ids.append(token) }

    mutating func encode(_ text: some Sequence<UInt8>, isFirst: Bool) throws {
        var text = PreTokenizedText(text, isFirst: isFirst)
        for step in steps { try step.apply(to: &text, budget) }
        try text.bytes.withUnsafeBufferPointer { bytes in
            for word in text.words { try encode(UnsafeBufferPointer(rebasing: bytes[word.range])) }
        }
    }

    private mutating func encode(_ word: UnsafeBufferPointer<UInt8>) throws {
        guard !word.isEmpty else { return }
        switch model {
        case .bytePair(let model): model.encode(word, merger: &merger, into: &ids)
        case .unigram(let model): try model.encode(word, into: &ids, budget)
        case .wordPiece(let model):
            try model.encode(word, scalarCount: word.count { $0 & 0xC0 != 0x80 }, into: &ids, budget)
        case .wordLevel(let table, let unknown):
            if let id = table.id(of: word) ?? unknown { ids.append(id) }
        }
    }
}
