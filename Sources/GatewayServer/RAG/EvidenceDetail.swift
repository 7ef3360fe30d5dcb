/// How much of what was found the model is given to read.
package enum EvidenceDetail: String, Sendable, CaseIterable {
    /// Whole chunks: for models that find the answer in a page of text.
    case passages
    /// Only the sentences nearest to the question: for models of a few hundred million weights, which lose the thread in
    /// whole chunks.
    case sentences
}
