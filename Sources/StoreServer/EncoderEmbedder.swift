import DocumentStore
import Encoder
import RetrievalCore
import ServiceSupport

/// The sentence encoder as the document store sees it: texts of any length.
///
/// A text beyond the encoder's context is embedded in windows, cut at sentences where there are any, and gets the mean
/// of their vectors, weighted by tokens: nothing of it is left out.
struct EncoderEmbedder: TextEmbedder {
    let encoder: SentenceEncoder
    let modelName: String
    let embeddedTokens: Counter

    var dimension: Int { encoder.dimension }

    func tokenCount(_ text: String) -> Int { encoder.tokenCount(text) }

    func embed(_ texts: [String], isBackground: Bool) async throws -> [[Float]] {
        let parts = try texts.map { try windows($0) }
        let (vectors, counts) = try await compute(parts.flatMap { $0 }, isBackground: isBackground)
        embeddedTokens.increment(by: counts.reduce(0, +))
        var start = 0
        return parts.map { windows in
            let range = start..<start + windows.count
            start = range.upperBound
            if windows.count == 1 { return vectors[range.lowerBound] }
            return Self.mean(of: vectors[range], weights: counts[range])
        }
    }

    private func compute(
        _ texts: [String], isBackground: Bool
    ) async throws -> (vectors: [[Float]], tokenCounts: [Int]) {
        do {
            return try await encoder.embed(texts, priority: isBackground ? .background : .interactive)
        } catch let error as EncoderError where isBackground && error.code == .queueFull {
            throw StoreError(code: .limitExceeded, message: error.message, cause: error)
        }
    }

    /// The text, or the parts of it that fit the encoder with its start and end marks.
    private func windows(_ text: String) throws -> [String] {
        let limit = encoder.maxTokens - 2
        // A token has a byte at least.
        if text.utf8.count <= limit || encoder.tokenCount(text) <= limit { return [text] }
        let chunker = try Chunker(parameters: .init(maxTokens: max(16, limit), overlapTokens: 0))
        let windows = try chunker.chunks(of: ExtractedText(utf8: Array(text.utf8)), tokenCount: encoder.tokenCount)
        return windows.isEmpty ? [text] : windows.map(\.text)
    }

    /// The weighted mean of unit vectors, at unit length.
    static func mean(of vectors: ArraySlice<[Float]>, weights: ArraySlice<Int>) -> [Float] {
        var mean = [Float](repeating: 0, count: vectors.first?.count ?? 0)
        for (vector, weight) in zip(vectors, weights) {
            for index in mean.indices { mean[index] += vector[index] * Float(weight) }
        }
        let length = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return length > 0 ? mean.map { $0 / length } : mean
    }
}
