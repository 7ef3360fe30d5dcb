import Encoder
import Foundation
import Testing

struct SentenceEncoderTests {
    private struct Reference: Decodable {
        var text: String
        var tokens: [UInt32]
        var embedding: [Float]
    }

    private func references() throws -> [Reference] {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../Fixtures/encoder/minilm-fp32.json")
        return try JSONDecoder().decode([Reference].self, from: Data(contentsOf: url))
    }

    /// Those whose text the encoder reads whole. Of the others the reference has the first tokens only, which the test of
    /// token ids covers.
    private func wholeReferences(_ encoder: SentenceEncoder) throws -> [Reference] {
        try references().filter { encoder.tokenCount($0.text) <= encoder.maxTextTokens }
    }

    private func cosine(_ a: [Float], _ b: [Float]) -> Double {
        func dot(_ x: [Float], _ y: [Float]) -> Double { zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) } }
        return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
    }

    @Test("embeddings are those of an independent fp32 implementation, from the same number of tokens")
    func reference() async throws {
        let encoder = try TestModel.encoder()
        let references = try wholeReferences(encoder)
        #expect(references.count >= 9)
        let (vectors, counts) = try await encoder.embed(references.map(\.text))
        for (index, reference) in references.enumerated() {
            #expect(counts[index] == reference.tokens.count)
            #expect(vectors[index].count == encoder.dimension)
            let cosine = cosine(vectors[index], reference.embedding)
            #expect(cosine >= 0.99999, "text \(index): cosine \(cosine)")
            let length = vectors[index].reduce(0) { $0 + $1 * $1 }
            #expect(abs(length - 1) < 1e-5)
        }
    }

    @Test("token ids give the embedding of their text, with or without the start and end marks")
    func tokens() async throws {
        let encoder = try TestModel.encoder()
        let references = try references()
        let marked = try await encoder.embed(tokens: references.map(\.tokens))
        let bare = try await encoder.embed(tokens: references.map { Array($0.tokens.dropFirst().dropLast()) })
        for (index, reference) in references.enumerated() {
            #expect(cosine(marked.vectors[index], reference.embedding) >= 0.99999)
            #expect(cosine(bare.vectors[index], reference.embedding) >= 0.99999)
        }
        #expect(marked.tokenCounts == references.map(\.tokens.count))
        #expect(bare.tokenCounts == marked.tokenCounts)
    }

    @Test("a text's embedding does not depend on what it is computed together with")
    func batches() async throws {
        let encoder = try TestModel.encoder()
        let texts = (1...40).map { String(repeating: "alpha beta ", count: $0 * 3) }
        let together = try await encoder.embed(texts).vectors
        for index in [0, 7, 39] {
            let alone = try await encoder.embed([texts[index]]).vectors
            #expect(cosine(alone[0], together[index]) > 0.999999)
        }
    }

    @Test("no text is cut: a long one is refused with its place and sizes, or read in windows; empty ones embed too")
    func lengths() async throws {
        let encoder = try TestModel.encoder()
        let long = String(repeating: "water ", count: 600)
        let (vectors, counts) = try await encoder.embed([long, "", "   ", "\u{1F9EA}"])
        // 3 windows of 200 tokens, each with its two marks.
        #expect(counts[0] == 600 + 2 * 3)
        #expect(counts[1] == 2 && counts[2] == 2)
        #expect(cosine(vectors[1], vectors[2]) > 0.999999)
        #expect(vectors.allSatisfy { $0.allSatisfy(\.isFinite) })
        // All windows of it are alike, so the mean is that of one.
        let window = try await encoder.embed([String(repeating: "water ", count: 200)]).vectors
        #expect(cosine(window[0], vectors[0]) > 0.999999)
        let endings = try await encoder.embed([
            long + "Penguins live in Antarctica.", long + "The password is swordfish.",
        ])
        #expect(endings.vectors[0] != endings.vectors[1] && endings.vectors[0] != vectors[0])
        #expect(encoder.tokenCount(long) == 600)
        #expect(encoder.tokenCount("") == 0)
        let nothing = try await encoder.embed([String]())
        #expect(nothing.vectors.isEmpty && nothing.tokenCounts.isEmpty)

        let fitting = String(repeating: "water ", count: encoder.maxTokens - 2)
        #expect(try await encoder.embed([fitting], longInputs: .refuse).tokenCounts == [encoder.maxTokens])
        let texts = await #expect(throws: InputTooLong.self) {
            try await encoder.embed(["short", fitting + "water"], longInputs: .refuse)
        }
        #expect(texts?.index == 1 && texts?.tokenCount == encoder.maxTokens + 1 && texts?.limit == encoder.maxTokens)
        let tokens = await #expect(throws: InputTooLong.self) {
            let long = [UInt32](repeating: 2054, count: 300)
            return try await encoder.embed(tokens: [[101] + long + [102]], longInputs: .refuse)
        }
        #expect(tokens?.index == 0 && tokens?.tokenCount == 302)
    }

    @Test("token ids outside the vocabulary are refused and others are unharmed")
    func unknownTokens() async throws {
        let encoder = try TestModel.encoder()
        let error = await #expect(throws: EncoderError.self) {
            try await encoder.embed(tokens: [[101, 30522, 102]])
        }
        #expect(error?.code == .invalidInput)
        #expect(try await encoder.embed(["fine"]).vectors.count == 1)
    }

    @Test("more texts than may wait are refused")
    func queueBound() async throws {
        let encoder = try TestModel.encoder()
        let error = await #expect(throws: EncoderError.self) {
            try await encoder.embed(
                tokens: Array(repeating: [101, 102], count: SentenceEncoder.maxQueuedSequences + 1))
        }
        #expect(error?.code == .queueFull)
    }

    @Test("concurrent callers each get their own embeddings, and a cancelled one gives up")
    func concurrency() async throws {
        let encoder = try TestModel.encoder()
        let references = try wholeReferences(encoder)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for round in 0..<40 {
                group.addTask {
                    let reference = references[round % references.count]
                    let vectors = try await encoder.embed(
                        [reference.text, "other"], priority: round % 2 == 0 ? .interactive : .background
                    ).vectors
                    #expect(cosine(vectors[0], reference.embedding) >= 0.99999)
                }
            }
            try await group.waitForAll()
        }
        let cancelled = Task {
            try await encoder.embed(Array(repeating: String(repeating: "long ", count: 300), count: 200))
        }
        cancelled.cancel()
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        #expect(try await encoder.embed(["still there"]).vectors.count == 1)
    }

    @Test("a directory without a model is an error that names the file")
    func missingModel() throws {
        let error = #expect(throws: EncoderError.self) { try SentenceEncoder(directory: "/nonexistent") }
        #expect(error?.code == .modelUnreadable)
        #expect(error?.message.contains("config.json") == true)
    }

    @Test("a configuration of another architecture is refused")
    func otherArchitecture() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("encoder-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let shape = """
            "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": %, "intermediate_size": 8,
            "vocab_size": 10, "max_position_embeddings": 16
            """
        let configurations = [
            "{\"model_type\": \"roberta\", \(shape.replacingOccurrences(of: "%", with: "2"))}",
            "{\"hidden_act\": \"relu\", \(shape.replacingOccurrences(of: "%", with: "2"))}",
            "{\(shape.replacingOccurrences(of: "%", with: "3"))}",
        ]
        for configuration in configurations {
            try Data(configuration.utf8).write(to: directory.appendingPathComponent("config.json"))
            let error = #expect(throws: EncoderError.self) { try SentenceEncoder(directory: directory.path) }
            #expect(error?.code == .unsupportedModel)
        }
    }

    @Test("any number of threads gives the same embeddings, for short texts and long")
    func threads() async throws {
        let texts = [
            "one", String(repeating: "The pump in hall two leaks at the seal. ", count: 40), "Straße",
            String(repeating: "valve ", count: 120),
        ]
        let expected = try await TestModel.encoder().embed(texts).vectors
        for threads in [2, 3, 8] {
            let encoder = try SentenceEncoder(directory: TestModel.directory, threads: threads)
            let vectors = try await encoder.embed(texts + texts + texts).vectors
            for (index, vector) in vectors.enumerated() {
                let cosine = zip(vector, expected[index % texts.count]).reduce(0) { $0 + $1.0 * $1.1 }
                #expect(cosine > 0.999_999)
            }
        }
    }

    @Test("words are read whole, codes, names and other scripts are not")
    func reads() throws {
        let encoder = try TestModel.encoder()
        for word in ["pump", "pumps", "vacation", "28", "2010"] { #expect(encoder.reads(word), "\(word)") }
        for word in ["4898", "ppr9087", "achterberg", "earplugs", "差", "出", "の", "하", "ไท", ""] {
            #expect(!encoder.reads(word), "\(word)")
        }
    }
}
