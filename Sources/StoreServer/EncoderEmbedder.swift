import DocumentStore
import Encoder
import ServiceSupport

/// The sentence encoder as the document store sees it: texts of any length, of which nothing is left out.
struct EncoderEmbedder: TextEmbedder {
    let encoder: SentenceEncoder
    let modelName: String
    let embeddedTokens: Counter

    var dimension: Int { encoder.dimension }

    var maxTextTokens: Int { encoder.maxTextTokens }

    func tokenCount(_ text: String) -> Int { encoder.tokenCount(text) }

    func reads(_ word: String) -> Bool { encoder.reads(word) }

    func embed(_ texts: [String], isBackground: Bool) async throws -> [[Float]] {
        do {
            let (vectors, counts) = try await encoder.embed(
                texts, priority: isBackground ? .background : .interactive, longInputs: .pool)
            embeddedTokens.increment(by: counts.reduce(0, +))
            return vectors
        } catch let error as EncoderError where isBackground && error.code == .queueFull {
            throw StoreError(code: .limitExceeded, message: error.message, cause: error)
        }
    }
}
