/// What the document store needs from an encoder.
package protocol TextEmbedder: Sendable {
    /// Identifies the model; documents are embedded again when it changes.
    var modelName: String { get }
    /// Components of an embedding.
    var dimension: Int { get }
    /// Tokens of a text, without start and end marks.
    func tokenCount(_ text: String) -> Int
    /// Tokens of a text, without start and end marks, that an embedding can hold; `embed` does not see what lies behind.
    var maxTextTokens: Int { get }
    /// Whether the model knows a word of a question as one. A word that it spells from pieces, or does not know, says
    /// little in an embedding.
    func reads(_ word: String) -> Bool
    /// One vector per text.
    ///
    /// - Parameter isBackground: True for indexing, which lets searches go first.
    /// - Throws: `StoreError` `limitExceeded` in the background when there is too much to do; it is tried again.
    func embed(_ texts: [String], isBackground: Bool) async throws -> [[Float]]
}

extension TextEmbedder {
    package var maxTextTokens: Int { .max }

    package func reads(_ word: String) -> Bool { tokenCount(word) == 1 }
}
