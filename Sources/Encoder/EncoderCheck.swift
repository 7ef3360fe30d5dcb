import Foundation

/// Holds an encoder or a reranker to what another implementation computed: an `expected.json` of the format
/// "tiny-bert-oracle-1".
package struct EncoderCheck: Sendable {
    package static let format = "tiny-bert-oracle-1"
    /// Largest difference of a component of an embedding.
    package static let embeddingTolerance = 1e-5
    /// Largest difference of a logit.
    package static let logitTolerance = 1e-4

    /// What a check found.
    package struct Report: Codable, Sendable {
        /// Largest difference of an embedding's component, or of a logit.
        package var maxDifference: Double
        package var tolerance: Double
        /// Embeddings or logits compared.
        package var count: Int
        /// Of the texts, those whose tokens are not the expected ones.
        package var otherTokens: Int

        package var isWithinTolerance: Bool { maxDifference <= tolerance && otherTokens == 0 && count > 0 }
    }

    private let expectation: Expectation

    /// - Throws: `EncoderError` `modelUnreadable`.
    package init(path: String) throws {
        do {
            expectation = try JSONDecoder().decode(Expectation.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
        } catch {
            throw EncoderError(
                code: .modelUnreadable, message: "\(path) is not of the format \(Self.format)", cause: error)
        }
    }

    /// SHA-256 of the `model.safetensors` that is meant, where it is not beside the expectation.
    package var modelSHA256: String? { expectation.modelSHA256 }

    /// - Throws: errors of the model.
    package func run(directory: String, threads: Int = 1) async throws -> Report {
        let pairs = expectation.pairs ?? []
        if pairs.contains(where: { $0.logit != nil }) {
            return try await checkLogits(CrossEncoder(directory: directory, threads: threads), pairs)
        }
        let texts = (expectation.texts ?? []) + pairs.flatMap { [$0.a, $0.b].compactMap { $0 } }
        return try await checkEmbeddings(SentenceEncoder(directory: directory, threads: threads), texts)
    }

    private func checkEmbeddings(_ encoder: SentenceEncoder, _ texts: [Expectation.Text]) async throws -> Report {
        var report = Report(maxDifference: 0, tolerance: Self.embeddingTolerance, count: texts.count, otherTokens: 0)
        let byTokens = try await encoder.embed(tokens: texts.map(\.inputIDs)).vectors
        let byText = try await encoder.embed(texts.map(\.text))
        for (index, text) in texts.enumerated() {
            if byText.tokenCounts[index] != text.inputIDs.count { report.otherTokens += 1 }
            for vector in [byTokens[index], byText.vectors[index]] {
                report.note(vector.map(Double.init), text.embedding)
            }
        }
        return report
    }

    private func checkLogits(_ encoder: CrossEncoder, _ pairs: [Expectation.Pair]) async throws -> Report {
        var report = Report(maxDifference: 0, tolerance: Self.logitTolerance, count: pairs.count, otherTokens: 0)
        for pair in pairs {
            guard let ids = pair.inputIDs, let logit = pair.logit else {
                throw EncoderError(code: .modelUnreadable, message: "a pair without input_ids or logit")
            }
            let types = pair.typeIDs ?? Array(repeating: 0, count: ids.count)
            let tokens = CrossEncoder.TokenPair(tokenIDs: ids, typeIDs: types)
            if let query = pair.query, let document = pair.document,
                encoder.tokens(query: query, document: document) != tokens
            {
                report.otherTokens += 1
            }
            report.note(try await encoder.score([tokens]).map(Double.init), [logit])
        }
        return report
    }
}

extension EncoderCheck.Report {
    fileprivate mutating func note(_ found: [Double], _ expected: [Double]) {
        guard found.count == expected.count else { return maxDifference = .infinity }
        for (a, b) in zip(found, expected) {
            let difference = abs(a - b)
            maxDifference = max(maxDifference, difference.isNaN ? .infinity : difference)
        }
    }
}

/// The file.
private struct Expectation: Decodable, Sendable {
    struct Text: Decodable, Sendable {
        var text: String
        var inputIDs: [UInt32]
        var embedding: [Double]

        private enum CodingKeys: String, CodingKey {
            case text, embedding
            case inputIDs = "input_ids"
        }
    }

    struct Pair: Decodable, Sendable {
        var a: Text?
        var b: Text?
        var query: String?
        var document: String?
        var inputIDs: [UInt32]?
        var typeIDs: [UInt32]?
        var logit: Double?

        private enum CodingKeys: String, CodingKey {
            case a, b, query, document, logit
            case inputIDs = "input_ids"
            case typeIDs = "token_type_ids"
        }
    }

    var pairs: [Pair]?
    var texts: [Text]?
    var modelSHA256: String?

    private enum CodingKeys: String, CodingKey {
        case pairs, texts
        case modelSHA256 = "sha256_model_safetensors"
    }
}
