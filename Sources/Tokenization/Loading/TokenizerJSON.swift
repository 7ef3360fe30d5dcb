import ModelFiles

/// Reads a tokenizer.json of the `tokenizers` library: its model, its added tokens and the tokens' roles. The other
/// parts are in extensions.
struct TokenizerJSON {
    /// Greatest token id: bounds what a small file with a large id takes.
    static let maxID = (1 << 22) - 1

    let root: JSONField
    private let configuration: JSONField?
    private let generation: JSONField?
    private let framing: TokenizerLoader.Framing

    init(
        _ root: JSONField, configuration: JSONField?, generation: JSONField?, framing: TokenizerLoader.Framing
    ) throws {
        self.root = root
        self.configuration = configuration
        self.generation = generation
        self.framing = framing
    }

    func tokenizer() throws -> PipelineTokenizer {
        let model = try root.required("model")
        let vocabulary = try vocabulary(model)
        let added = try addedTokens(vocabulary)
        let normalizer = try root["normalizer"].map(Self.normalizer)
        let steps = try root["pre_tokenizer"].map(Self.preTokenizationSteps) ?? .init()
        let texts = vocabulary.texts(with: added)
        // One budget for all of them together.
        let budget = TextBudget(byteCount: added.reduce(0) { $0 + $1.text.utf8.count })
        let addedTokens = try AddedTokens(added) { text in try normalizer?.applied(to: text, budget) ?? text }
        return PipelineTokenizer(
            texts: texts, added: addedTokens, normalizer: normalizer,
            words: try words(model, vocabulary, steps),
            decoder: TokenDecoder(steps: try root["decoder"].map(Self.decoderSteps)),
            roles: try roles(addedTokens, vocabulary, count: texts.count))
    }

    // MARK: - Vocabulary and added tokens

    /// The tokens of the model, by id.
    private func vocabulary(_ model: JSONField) throws -> TokenizerVocabulary {
        let field = try model.required("vocab")
        if case .array(let entries) = field.node { return try unigramVocabulary(field, entries) }
        var vocabulary = TokenizerVocabulary()
        for member in try field.members() {
            guard case .number(let number) = member.value, let id = Int(exactly: number), (0...Self.maxID).contains(id)
            else {
                throw field.malformed(
                    "the id of a token is \(member.value.kind), expected an integer in 0...\(Self.maxID)")
            }
            try vocabulary.add(member.key, id: id) { field.malformed($0) }
        }
        guard !vocabulary.isEmpty else { throw field.malformed("is empty") }
        return vocabulary
    }

    private func unigramVocabulary(_ field: JSONField, _ entries: [JSONNode]) throws -> TokenizerVocabulary {
        guard (1...Self.maxID + 1).contains(entries.count) else {
            throw field.malformed("\(entries.count) tokens, expected 1...\(Self.maxID + 1)")
        }
        var vocabulary = TokenizerVocabulary()
        for (id, entry) in entries.enumerated() {
            guard case .array(let pair) = entry, pair.count == 2, case .string(let text) = pair[0],
                case .number(let score) = pair[1]
            else { throw field.malformed("entry \(id) is not a text and its score") }
            vocabulary.addScored(text, id: id, score: score)
        }
        return vocabulary
    }

    /// As the library does it, a token that the vocabulary has takes its id from there.
    private func addedTokens(_ vocabulary: TokenizerVocabulary) throws -> [AddedToken] {
        guard let field = root["added_tokens"] else { return [] }
        var seen: [Int: String] = [:]
        return try field.elements().map { entry in
            let text = try entry.required("content").string()
            let written = try entry.required("id").integer(in: 0...Self.maxID)
            let id = vocabulary.id(of: text).map(Int.init) ?? written
            if let other = seen[id], TokenText(other) != TokenText(text) {
                throw entry.malformed("id \(id) belongs to another added token already")
            }
            seen[id] = text
            if let other = vocabulary.text(of: id), TokenText(other) != TokenText(text) {
                throw entry.malformed("id \(id) belongs to another token of the vocabulary")
            }
            let isSpecial = try entry.bool("special", default: false)
            return AddedToken(
                id: UInt32(id), text: text, isSpecial: isSpecial,
                isNormalized: try entry.bool("normalized", default: !isSpecial),
                isSingleWord: try entry.bool("single_word", default: false),
                stripsLeft: try entry.bool("lstrip", default: false),
                stripsRight: try entry.bool("rstrip", default: false))
        }
    }

    // MARK: - Roles

    private func roles(
        _ added: AddedTokens, _ vocabulary: TokenizerVocabulary, count: Int
    ) throws -> PipelineTokenizer.Roles {
        func token(_ key: String) throws -> UInt32? {
            guard let field = configuration?[key] else { return nil }
            // Older files write a token as an object.
            let text = try field["content"]?.string() ?? field.string()
            return added.id(of: text) ?? vocabulary.id(of: text)
        }
        var roles = PipelineTokenizer.Roles()
        roles.bos = try token("bos_token") ?? token("cls_token")
        roles.eos = try token("eos_token") ?? token("sep_token")
        (roles.before, roles.after) = try root["post_processor"].map { try frame($0, added, vocabulary) } ?? ([], [])
        if framing == .configuration, roles.before.isEmpty, roles.after.isEmpty {
            if try configuration?.bool("add_bos_token", default: false) ?? false, let bos = roles.bos {
                roles.before = [bos]
            }
            if try configuration?.bool("add_eos_token", default: false) ?? false, let eos = roles.eos {
                roles.after = [eos]
            }
        }
        roles.endOfGeneration = Set(
            [roles.eos].compactMap { $0 } + EndOfGeneration.names.compactMap { added.id(of: $0) })
        roles.endOfGeneration.formUnion(try generatedEnds(count: count))
        return roles
    }

    /// `eos_token_id` of generation_config.json: one id or several.
    private func generatedEnds(count: Int) throws -> [UInt32] {
        guard let field = generation?["eos_token_id"] else { return [] }
        let fields = if case .array = field.node { try field.elements() } else { [field] }
        return try fields.map { UInt32(try $0.integer(in: 0...Self.maxID)) }.filter { $0 < count }
    }
}

/// The tokens of a tokenizer.json's model.
struct TokenizerVocabulary {
    private var ids: [TokenText: UInt32] = [:]
    /// The tokens that text is spelt with, by text.
    var pieces: some Sequence<(text: String, id: UInt32)> { ids.lazy.map { ($0.key.text, $0.value) } }
    private(set) var scores: [Double] = []
    private var textsByID: [String?] = []

    var isEmpty: Bool { ids.isEmpty }
    /// One more than the greatest id.
    var count: Int { textsByID.count }

    func id(of text: String) -> UInt32? { ids[TokenText(text)] }

    func text(of id: Int) -> String? { id < textsByID.count ? textsByID[id] : nil }

    mutating func add(_ text: String, id: Int, _ malformed: (String) -> TokenizationError) throws {
        if id >= textsByID.count {
            textsByID.append(contentsOf: repeatElement(nil, count: id + 1 - textsByID.count))
        }
        if let other = textsByID[id], TokenText(other) != TokenText(text) {
            throw malformed("two tokens have the id \(id)")
        }
        if let other = ids[TokenText(text)], other != UInt32(id) {
            throw malformed("a token has the ids \(other) and \(id)")
        }
        textsByID[id] = text
        ids[TokenText(text)] = UInt32(id)
    }

    /// Adds the next token of a list; of equal ones the last is meant by its text.
    mutating func addScored(_ text: String, id: Int, score: Double) {
        textsByID.append(text)
        scores.append(score)
        ids[TokenText(text)] = UInt32(id)
    }

    /// All texts by id, added tokens included; empty where an id has no token.
    func texts(with added: [AddedToken]) -> GGUFStringArray {
        var texts = textsByID
        for token in added {
            let id = Int(token.id)
            if id >= texts.count { texts.append(contentsOf: repeatElement(nil, count: id + 1 - texts.count)) }
            texts[id] = token.text
        }
        return GGUFStringArray(texts.lazy.map { $0 ?? "" })
    }

    /// A table of the tokens by their bytes. - Throws: `malformed` for texts made to collide.
    func table(_ source: String) throws -> ByteStringTable {
        var table = ByteStringTable(capacity: ids.count)
        for (id, text) in textsByID.enumerated() {
            guard var text, ids[TokenText(text)] == UInt32(id) else { continue }
            text.withUTF8 { _ = table.insert($0, id: UInt32(id)) }
        }
        guard !table.hasCollisions else { throw ProbeLimit.refusal(source) }
        return table
    }
}
