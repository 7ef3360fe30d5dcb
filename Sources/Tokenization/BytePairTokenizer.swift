import ModelFiles

/// Byte-level byte-pair encoding, as GGUF files with `tokenizer.ggml.model = gpt2` describe it.
///
/// Text is cut at special tokens, then into words by the pre-tokeniser; each word's bytes merge by rank. The result is
/// that of the `tokenizers` library. Every byte of the vocabulary decodes to itself, so decoding gives the text back;
/// bytes that a vocabulary has no token for (rare control characters and unassigned planes, in some) are left out, as
/// there.
package struct BytePairTokenizer: Tokenizer {
    package let bosTokenID: UInt32?
    package let eosTokenID: UInt32?
    package let endOfGenerationTokenIDs: Set<UInt32>
    /// Whether `addSpecial` puts BOS before the text.
    package let addsBOS: Bool
    /// Whether `addSpecial` puts EOS after the text.
    package let addsEOS: Bool
    private let vocabulary: BytePairVocabulary
    private let preTokenizer: PreTokenizer

    /// The tokeniser that the metadata of a GGUF file describes.
    ///
    /// - Throws: `TokenizationError` with `unsupported` for another kind of tokeniser or an unknown pre-tokeniser,
    ///   `malformed` for contradictions; `ModelFileError` for missing keys or wrong types.
    package init(gguf metadata: GGUFMetadata) throws {
        let model = try metadata.string("tokenizer.ggml.model")
        guard model == "gpt2" else {
            throw TokenizationError(
                code: .unsupported,
                message: "\(metadata.source): tokenizer.ggml.model is \"\(model.prefix(64))\", expected \"gpt2\"")
        }
        let preTokenizer = try PreTokenizer(ggufName: try metadata.stringIfPresent("tokenizer.ggml.pre") ?? "default")
        let vocabulary = try BytePairVocabulary(metadata, ignoresMerges: preTokenizer == .llama3)

        func tokenID(_ key: String) throws -> UInt32? {
            guard let id = try metadata.intIfPresent(key) else { return nil }
            // Converters write -1, or all bits set, for "none".
            if id == -1 || id == Int(UInt32.max) { return nil }
            guard id >= 0, id < vocabulary.count else {
                throw TokenizationError(
                    code: .malformed,
                    message: "\(metadata.source): \(key) is \(id), expected 0 ..< \(vocabulary.count)")
            }
            return UInt32(id)
        }
        bosTokenID = try tokenID("tokenizer.ggml.bos_token_id")
        eosTokenID = try tokenID("tokenizer.ggml.eos_token_id")
        addsBOS = try metadata.boolIfPresent("tokenizer.ggml.add_bos_token") ?? (preTokenizer == .llama3)
        addsEOS = try metadata.boolIfPresent("tokenizer.ggml.add_eos_token") ?? false

        var endOfGeneration = Set([eosTokenID].compactMap { $0 })
        for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
            if let id = try tokenID(key) { endOfGeneration.insert(id) }
        }
        let names = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "</s>", "<|end|>", "<end_of_turn>"]
        endOfGeneration.formUnion(names.compactMap(vocabulary.controlToken))
        endOfGenerationTokenIDs = endOfGeneration
        self.vocabulary = vocabulary
        self.preTokenizer = preTokenizer
    }

    package var vocabularySize: Int { vocabulary.count }

    package func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) -> [UInt32] {
        var text = text
        var ids: [UInt32] = []
        if addSpecial, addsBOS, let bosTokenID { ids.append(bosTokenID) }
        text.withUTF8 { bytes in
            var encoder = BytePairEncoder(vocabulary: vocabulary, preTokenizer: preTokenizer, bytes: bytes, ids: ids)
            encoder.encode(specialTokens: parseSpecial ? vocabulary.allSpecial : vocabulary.userDefined)
            ids = encoder.ids
        }
        if addSpecial, addsEOS, let eosTokenID { ids.append(eosTokenID) }
        return ids
    }

    package func bytes(of token: UInt32) -> [UInt8] {
        guard Int(token) < vocabulary.count, !vocabulary.isControl(token) else { return [] }
        return vocabulary.bytes(of: token)
    }

    package func specialText(of token: UInt32) -> String? {
        guard Int(token) < vocabulary.count, vocabulary.isControl(token) else { return nil }
        return String(decoding: vocabulary.bytes(of: token), as: UTF8.self)
    }

    package func specialToken(_ text: String) -> UInt32? { vocabulary.controlToken(text) }

    package func isSpecial(_ token: UInt32) -> Bool {
        Int(token) < vocabulary.count && vocabulary.isControl(token)
    }
}
