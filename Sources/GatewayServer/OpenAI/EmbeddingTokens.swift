/// Whether `/v1/embeddings` takes token ids.
package enum EmbeddingTokens: String, Sendable, CaseIterable {
    /// 400: most clients that send ids made them with a tokeniser of OpenAI's, and ids do not tell.
    case refused
    /// Ids of the encoder's own vocabulary; all clients of this gateway are known to have its tokeniser.
    case allowed
}
