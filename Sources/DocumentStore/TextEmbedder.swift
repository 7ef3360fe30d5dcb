/// What the document store needs from an encoder.
package protocol TextEmbedder: Sendable {
    /// Identifies the model; documents are embedded again when it changes.
    var modelName: String { get }
    /// Components of an embedding.
    var dimension: Int { get }
    /// Tokens of a text, without start and end marks.
    func tokenCount(_ text: String) -> Int
    /// One vector per text.
    ///
    /// - Parameter isBackground: True for indexing, which lets searches go first.
    /// - Throws: `StoreError` `limitExceeded` in the background when there is too much to do; it is tried again.
    func embed(_ texts: [String], isBackground: Bool) async throws -> [[Float]]
}
