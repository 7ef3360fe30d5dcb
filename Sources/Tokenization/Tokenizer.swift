/// Turns text into token ids and back.
///
/// Values are immutable and may be used from any number of threads at once.
package protocol Tokenizer: Sendable {
    /// The number of token ids; ids are `0 ..< vocabularySize`.
    var vocabularySize: Int { get }

    /// The ids of `text`.
    ///
    /// - Parameters:
    ///   - parseSpecial: whether the text of control tokens such as `<|im_start|>` becomes those tokens. Pass false for
    ///     text that users wrote and a template will not frame.
    ///   - addSpecial: whether the tokens that the model expects around a text (BOS, EOS, `[CLS]`, `[SEP]`) are added.
    /// - Throws: `TokenizationError` with `tooMuchWork` for a text that the tokeniser's own rules make too long, or take too
    ///   long for: see ``TextBudget``.
    func encode(_ text: String, parseSpecial: Bool, addSpecial: Bool) throws -> [UInt32]

    /// The number of tokens that `encode` gives for `text` without special tokens.
    func count(_ text: String) throws -> Int

    /// The bytes that `token` stands for; not necessarily whole UTF-8 characters. Empty for special tokens and for ids
    /// outside the vocabulary.
    func bytes(of token: UInt32) -> [UInt8]

    /// As `bytes(of:)`, for the first token of a text when `isFirst`: some tokenisers mark the space before a word, and
    /// put such a mark before a text.
    func bytes(of token: UInt32, isFirst: Bool) -> [UInt8]

    /// The text of `tokens`. Bytes that are not UTF-8 become U+FFFD; special tokens are left out when `skipSpecial`.
    func decode(_ tokens: [UInt32], skipSpecial: Bool) -> String

    /// The text of a special token, nil when `token` is not special.
    func specialText(of token: UInt32) -> String?

    /// The id of the special token written `text`, nil when there is none.
    func specialToken(_ text: String) -> UInt32?

    /// Whether `token` is a control token, which stands for no text.
    func isSpecial(_ token: UInt32) -> Bool

    var bosTokenID: UInt32? { get }
    var eosTokenID: UInt32? { get }
    /// The tokens after which a model has finished its answer.
    var endOfGenerationTokenIDs: Set<UInt32> { get }
}

extension Tokenizer {
    package func count(_ text: String) throws -> Int {
        try encode(text, parseSpecial: false, addSpecial: false).count
    }

    package func isSpecial(_ token: UInt32) -> Bool { specialText(of: token) != nil }

    package func bytes(of token: UInt32, isFirst: Bool) -> [UInt8] { bytes(of: token) }

    package func decode(_ tokens: [UInt32], skipSpecial: Bool) -> String {
        var bytes: [UInt8] = []
        for token in tokens {
            if let text = specialText(of: token) {
                if !skipSpecial { bytes += text.utf8 }
            } else {
                bytes += self.bytes(of: token)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
