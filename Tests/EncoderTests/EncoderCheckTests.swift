import Encoder
import Foundation
import Testing

/// Encoders and rerankers against what Hugging Face transformers computes; see `ModelCheckTests` for where that is.
@Suite(.enabled(if: OracleFolder.path != nil)) struct EncoderCheckTests {
    @Test(
        "embeddings and logits of tiny BERT models are those of transformers", arguments: ["bert-embed", "bert-rerank"])
    func tinyModels(name: String) async throws {
        let folder = try #require(OracleFolder.path) + "/" + name
        let report = try await EncoderCheck(path: folder + "/expected.json").run(directory: folder)
        #expect(report.isWithinTolerance, "\(report)")
        #expect(report.count > 1)
    }

    @Test("embeddings of the real encoder are those of transformers")
    func realModel() async throws {
        _ = try TestModel.encoder()
        let check = try EncoderCheck(path: #require(OracleFolder.path) + "/minilm-real/expected.json")
        let report = try await check.run(directory: TestModel.directory)
        #expect(report.isWithinTolerance, "\(report)")
        #expect(check.modelSHA256?.count == 64)
    }

    @Test("a document decides its score, by itself or among others, and a long one is cut")
    func scores() async throws {
        let encoder = try CrossEncoder(directory: #require(OracleFolder.path) + "/bert-rerank")
        let documents = ["a", String(repeating: "water and wine ", count: 400), "the lazy dog"]
        let together = try await encoder.score(query: "which dog", documents: documents)
        for (document, score) in zip(documents, together) {
            let alone = try await encoder.score(query: "which dog", documents: [document])
            #expect(abs(alone[0] - score) < 1e-4)
        }
        let longQuery = encoder.tokens(query: documents[1], document: "end")
        #expect(longQuery.tokenIDs.count <= encoder.maxTokens && longQuery.typeIDs.count == longQuery.tokenIDs.count)
        #expect(Set(together).count == documents.count)
    }

    @Test("token types that the model lacks, and a model without a classifier, are refused")
    func refusals() async throws {
        let folder = try #require(OracleFolder.path)
        let encoder = try CrossEncoder(directory: folder + "/bert-rerank")
        await #expect(throws: EncoderError.self) {
            try await encoder.score([.init(tokenIDs: [2, 3], typeIDs: [0, 2])])
        }
        await #expect(throws: EncoderError.self) {
            try await encoder.score([.init(tokenIDs: [2, 3], typeIDs: [0])])
        }
        #expect(throws: EncoderError.self) { try CrossEncoder(directory: folder + "/bert-embed") }
    }
}

private enum OracleFolder {
    static let path: String? = {
        let environment = ProcessInfo.processInfo.environment["FATHOM_ORACLE"]
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let beside = repository.deletingLastPathComponent().appendingPathComponent("shared/oracle").path
        return [environment, beside].compactMap { $0.map { $0 + "/architectures" } }.first {
            FileManager.default.fileExists(atPath: $0)
        }
    }()
}
