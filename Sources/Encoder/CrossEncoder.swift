import Dispatch
import ModelFiles
import Tokenization

/// A reranker: the relevance of a document to a query by a BERT classifier that reads both at once, such as the MS MARCO
/// MiniLM models.
///
/// Compute runs on one dedicated queue, never on the cooperative pool, in `threads` threads.
// @unchecked: `model` is touched on `queue` only; everything else is immutable.
package final class CrossEncoder: @unchecked Sendable {
    /// Pairs of one call.
    package static let maxPairs = 8192

    /// Tokens read of a pair, with start and end marks.
    package let maxTokens: Int

    private let tokenizer: WordPieceTokenizer
    private let model: BertModel
    private let queue = DispatchQueue(label: "fathom.cross-encoder", qos: .userInitiated)

    /// One input of the model.
    package struct TokenPair: Sendable, Equatable {
        /// [CLS] query [SEP] document [SEP].
        package var tokenIDs: [UInt32]
        /// 0 up to the first [SEP], 1 after it.
        package var typeIDs: [UInt32]

        package init(tokenIDs: [UInt32], typeIDs: [UInt32]) {
            self.tokenIDs = tokenIDs
            self.typeIDs = typeIDs
        }
    }

    /// Loads `model.safetensors`, `config.json` and `vocab.txt` from a directory.
    ///
    /// - Parameters:
    ///   - threads: Threads of a pass, 1...256.
    ///   - maxTokens: Longest pair; nil: as many as the model has positions for.
    /// - Throws: `modelUnreadable`, `unsupportedModel`, `invalidInput`; errors of the model's files.
    package init(directory: String, threads: Int = 1, maxTokens requested: Int? = nil) throws {
        guard (1...256).contains(threads) else {
            throw EncoderError(code: .invalidInput, message: "the number of threads must be 1...256, got \(threads)")
        }
        let configuration = try EncoderConfiguration.read(path: "\(directory)/config.json")
        maxTokens = requested ?? configuration.maxPositions
        guard (4...max(4, configuration.maxPositions)).contains(maxTokens) else {
            throw EncoderError(
                code: .invalidInput,
                message: "pairs must have 4...\(configuration.maxPositions) tokens, got \(maxTokens)")
        }
        tokenizer = try WordPieceTokenizer(
            vocabularyPath: "\(directory)/vocab.txt", maxLength: configuration.maxPositions)
        model = try BertModel(
            configuration: configuration, file: SafetensorsFile(path: "\(directory)/model.safetensors"),
            threads: threads)
        guard model.isClassifier else {
            throw EncoderError(
                code: .unsupportedModel, message: "the model has no classifier, expected a cross-encoder")
        }
    }

    /// The model's input for a pair. A pair that is too long loses the end of the document, and of the query only when it
    /// alone is too long.
    package func tokens(query: String, document: String) -> TokenPair {
        var head = tokenizer.encode(query, parseSpecial: false, addSpecial: true)
        guard let end = head.last else { return TokenPair(tokenIDs: [], typeIDs: []) }
        if head.count > maxTokens - 2 { head = head.prefix(maxTokens - 3) + [end] }
        let tail = tokenizer.encode(document, parseSpecial: false, addSpecial: false)
            .prefix(maxTokens - head.count - 1)
        return TokenPair(
            tokenIDs: head + tail + [end],
            typeIDs: Array(repeating: 0, count: head.count) + Array(repeating: 1, count: tail.count + 1))
    }

    /// The logit of each document for a query; greater is more relevant.
    ///
    /// - Throws: `invalidInput` for too many documents.
    package func score(query: String, documents: [String]) async throws -> [Float] {
        try await withCheckedThrowingContinuation { continuation in
            queue.async {
                continuation.resume(
                    with: Result { try self.compute(documents.map { self.tokens(query: query, document: $0) }) })
            }
        }
    }

    /// The logit of each pair.
    ///
    /// - Throws: `invalidInput` for too many pairs, for ids that the model does not have, and for a pair that is too long.
    package func score(_ pairs: [TokenPair]) async throws -> [Float] {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try self.compute(pairs) }) }
        }
    }

    /// In passes of bounded size.
    private func compute(_ pairs: [TokenPair]) throws -> [Float] {
        guard pairs.count <= Self.maxPairs else {
            throw EncoderError(
                code: .invalidInput, message: "\(pairs.count) pairs, expected at most \(Self.maxPairs)")
        }
        var scores: [Float] = []
        var next = 0
        while next < pairs.count {
            var tokens = pairs[next].tokenIDs.count
            var end = next + 1
            while end < pairs.count, tokens + pairs[end].tokenIDs.count <= SentenceEncoder.maxPassTokens {
                tokens += pairs[end].tokenIDs.count
                end += 1
            }
            scores += try model.score(pairs[next..<end].map(\.tokenIDs), types: pairs[next..<end].map(\.typeIDs))
            next = end
        }
        return scores
    }
}
