import Foundation
import NIOCore
import ServiceSupport
import StoreServer
import Testing
import Wire
import WireProtocols

struct StoreServerTests {
    private static let handbook = """
        # Handbook

        ## Leave
        Every employee has thirty days of paid vacation a year. Unused days expire at the end of March.

        ## Expenses
        Hotel rooms are reimbursed up to one hundred and forty euros a night. Keep the receipts.

        ## Emergencies
        In case of fire, leave the building by the stairs and gather at the car park behind the canteen.
        """

    @Test("a question in other words finds the right passage, through the whole service")
    func search() async throws {
        try await StoreServerFixture.withServer { fixture in
            let file = try await fixture.upload(Array(Self.handbook.utf8), name: "handbook.md")
            let collection = try await fixture.call(StoreService.createVectorStore) {
                $0.name = "docs"
                $0.metadata = ["team": "hr"]
            }
            #expect(collection.id.hasPrefix("vs_") && collection.metadata == ["team": "hr"])
            let state = try await fixture.attach(file.id, to: collection.id)
            #expect(state.status == .completed && state.chunkCount == 3)
            #expect(state.chunking.maxChunkTokens == 200 && state.chunking.overlapTokens == 40)
            let questions = [
                ("How many holidays do I get?", "thirty days"), ("What may accommodation cost on a trip?", "Hotel"),
                ("Where is the assembly point when something burns?", "car park"),
            ]
            for mode in [Fathom_Store_V1_SearchRequest.Mode.unspecified, .hybrid, .vector] {
                for (question, fact) in questions {
                    let found = try await fixture.call(StoreService.search) {
                        $0.vectorStoreIds = [collection.id]
                        $0.queries = [question]
                        $0.maxResults = 2
                        $0.mode = mode
                    }
                    let best = try #require(found.results.first)
                    #expect(best.text.contains(fact))
                    #expect(best.fileID == file.id && best.filename == "handbook.md")
                    #expect(best.headings.first == "Handbook")
                    #expect(Int(best.endByte - best.startByte) == best.text.utf8.count)
                    #expect((0...1).contains(best.score) && found.results.count == 2)
                }
            }
            let metrics = fixture.process.metrics.prometheusText()
            #expect(metrics.contains("fathom_store_documents 1"))
            #expect(metrics.contains("fathom_store_index_queue 0"))
            #expect(metrics.contains("fathom_store_search_seconds_count 9"))
            #expect(!metrics.contains("fathom_store_embedded_tokens_total 0"))
        }
    }

    @Test("files are uploaded in pieces, listed, read back and deleted")
    func files() async throws {
        try await StoreServerFixture.withServer { fixture in
            let bytes = (0..<900_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            let file = try await fixture.upload(bytes, name: "data.bin")
            #expect(file.sizeBytes == 900_000 && file.purpose == "assistants")
            #expect(try await fixture.call(StoreService.getFile) { $0.id = file.id } == file)
            var read: [UInt8] = []
            var request = Fathom_Store_V1_GetFileRequest()
            request.id = file.id
            let responses = try await fixture.client.serverStreaming(
                StoreService.readFile, request, options: fixture.options("acme"))
            for try await response in responses {
                #expect(response.message.offset == UInt64(read.count))
                let piece = try #require(response.attachment)
                #expect(piece.readableBytes <= 256 << 10)
                read += Array(piece.readableBytesView)
            }
            #expect(read == bytes)
            let second = try await fixture.upload([1], piece: 1)
            let page = try await fixture.call(StoreService.listFiles) { $0.limit = 1 }
            #expect(page.files == [second] && page.hasMore_p)
            let rest = try await fixture.call(StoreService.listFiles) { $0.after = second.id }
            #expect(rest.files == [file] && !rest.hasMore_p)
            let deleted = try await fixture.call(StoreService.deleteFile) { $0.id = file.id }
            #expect(deleted.deleted && deleted.id == file.id)
            await expect(.notFound) { _ = try await fixture.call(StoreService.getFile) { $0.id = file.id } }
        }
    }

    @Test("truncated, oversized and headless uploads are refused and nothing is kept")
    func refusedUploads() async throws {
        try await StoreServerFixture.withServer { fixture in
            await expect(.invalidArgument) { _ = try await fixture.upload([1, 2, 3], declared: 10) }
            await expect(.invalidArgument) { _ = try await fixture.upload([1, 2, 3], declared: 2) }
            await expect(.invalidArgument) { _ = try await fixture.upload([]) }
            await expect(.resourceExhausted) { _ = try await fixture.upload([1], declared: (4 << 20) + 1) }
            await expect(.invalidArgument) {
                try await fixture.client.bidirectional(
                    StoreService.createFile, options: fixture.options("acme")
                ) { writer, responses in
                    try await writer.write(Fathom_Store_V1_CreateFileRequest(), attachment: ByteBuffer(bytes: [1]))
                    writer.finish()
                    for try await _ in responses {}
                }
            }
            // A client that goes away in the middle.
            try await fixture.client.bidirectional(
                StoreService.createFile, options: fixture.options("acme")
            ) { writer, _ in
                var request = Fathom_Store_V1_CreateFileRequest()
                request.header.filename = "half"
                request.header.sizeBytes = 1000
                try await writer.write(request, attachment: ByteBuffer(repeating: 1, count: 10))
            }
            #expect(try await fixture.call(StoreService.listFiles) { _ in }.files.isEmpty)
        }
    }

    @Test("a call without a tenant is unauthenticated, and another tenant's ids do not exist")
    func tenants() async throws {
        try await StoreServerFixture.withServer { fixture in
            let file = try await fixture.upload(Array("secret".utf8))
            let collection = try await fixture.call(StoreService.createVectorStore) { $0.fileIds = [file.id] }
            await expect(.unauthenticated) {
                _ = try await fixture.client.unary(StoreService.listFiles, .init(), options: CallOptions())
            }
            await expect(.unauthenticated) {
                _ = try await fixture.client.unary(StoreService.embed, .init(), options: CallOptions())
            }
            await expect(.notFound) {
                _ = try await fixture.call(StoreService.getFile, tenant: "rival") { $0.id = file.id }
            }
            await expect(.notFound) {
                _ = try await fixture.call(StoreService.getVectorStore, tenant: "rival") { $0.id = collection.id }
            }
            await expect(.notFound) {
                _ = try await fixture.call(StoreService.search, tenant: "rival") {
                    $0.vectorStoreIds = [collection.id]
                    $0.queries = ["secret"]
                }
            }
            #expect(try await fixture.call(StoreService.listFiles, tenant: "rival") { _ in }.files.isEmpty)
            let health = try await fixture.client.unary(HealthService.check, .init(), options: CallOptions())
            #expect(health.status == .serving)
        }
    }

    @Test("embeddings come from texts or from token ids, and bad inputs are refused")
    func embeddings() async throws {
        try await StoreServerFixture.withServer { fixture in
            let texts = try await fixture.call(StoreService.embed) { $0.inputs = ["How do I reset my password?", "x"] }
            #expect(texts.model == "all-minilm-l6-v2" && texts.promptTokens == 12)
            #expect(texts.embeddings.count == 2)
            #expect(texts.embeddings.allSatisfy { $0.values.count == 384 })
            let tokens = try await fixture.call(StoreService.embed) { request in
                var ids = Fathom_Store_V1_EmbedTokens()
                ids.ids = [101, 2129, 2079, 1045, 25141, 2026, 20786, 1029, 102]
                request.tokenInputs = [ids]
            }
            let dot = zip(tokens.embeddings[0].values, texts.embeddings[0].values).reduce(0) { $0 + $1.0 * $1.1 }
            #expect(dot > 0.99999)
            await expect(.invalidArgument) { _ = try await fixture.call(StoreService.embed) { _ in } }
            await expect(.invalidArgument) {
                _ = try await fixture.call(StoreService.embed) { $0.inputs = Array(repeating: "x", count: 257) }
            }
            await expect(.invalidArgument) {
                _ = try await fixture.call(StoreService.embed) { request in
                    var ids = Fathom_Store_V1_EmbedTokens()
                    ids.ids = [99_999_999]
                    request.tokenInputs = [ids]
                }
            }
        }
    }

    @Test("an input longer than the encoder reads is out of range, with its place and sizes, unless it is to be pooled")
    func longInputs() async throws {
        try await StoreServerFixture.withServer { fixture in
            let head = String(repeating: "The quarterly report lists revenue by region. ", count: 40)
            let texts = ["short", head + "Penguins live in Antarctica.", head + "The password is swordfish."]
            do {
                _ = try await fixture.call(StoreService.embed) { $0.inputs = texts }
                Issue.record("a long text was taken")
            } catch let error as RPCError {
                #expect(error.code == .outOfRange)
                #expect(error.metadata[MetadataKey.inputIndex] == "1")
                #expect(error.metadata[MetadataKey.maxContextTokens] == "256")
                #expect(error.metadata[MetadataKey.tokenCount].flatMap(Int.init) ?? 0 > 320)
            }
            await expect(.outOfRange) {
                _ = try await fixture.call(StoreService.embed) { request in
                    var ids = Fathom_Store_V1_EmbedTokens()
                    ids.ids = Array(repeating: 2_054, count: 5_000)
                    request.tokenInputs = [ids]
                }
            }
            let pooled = try await fixture.call(StoreService.embed) {
                $0.inputs = texts
                $0.poolLongInputs = true
            }
            #expect(pooled.embeddings.count == 3 && pooled.embeddings[1] != pooled.embeddings[2])
            for embedding in pooled.embeddings {
                #expect(abs(embedding.values.reduce(0) { $0 + $1 * $1 } - 1) < 1e-4)
            }
        }
    }

    @Test("vector stores and their files are listed, filtered, detached and deleted")
    func vectorStores() async throws {
        try await StoreServerFixture.withServer { fixture in
            let good = try await fixture.upload(Array("a fine text".utf8))
            let bad = try await fixture.upload([0, 1, 2, 3], name: "b.bin")
            let collection = try await fixture.call(StoreService.createVectorStore) { $0.name = "c" }
            #expect(try await fixture.attach(good.id, to: collection.id).status == .completed)
            let failed = try await fixture.attach(bad.id, to: collection.id)
            #expect(failed.status == .failed && failed.errorCode == "unsupported_file")
            let state = try await fixture.call(StoreService.getVectorStore) { $0.id = collection.id }
            #expect(state.fileCounts.completed == 1 && state.fileCounts.failed == 1 && state.fileCounts.total == 2)
            let completed = try await fixture.call(StoreService.listVectorStoreFiles) {
                $0.vectorStoreID = collection.id
                $0.filter = .completed
            }
            #expect(completed.files.map(\.fileID) == [good.id])
            let detached = try await fixture.call(StoreService.detachFile) {
                $0.vectorStoreID = collection.id
                $0.fileID = good.id
            }
            #expect(detached.deleted)
            let after = try await fixture.call(StoreService.getVectorStore) { $0.id = collection.id }
            #expect(after.version > state.version && after.fileCounts.total == 1)
            #expect(
                try await fixture.call(StoreService.listVectorStores) { _ in }.vectorStores.map(\.id) == [collection.id]
            )
            _ = try await fixture.call(StoreService.deleteVectorStore) { $0.id = collection.id }
            await expect(.notFound) {
                _ = try await fixture.call(StoreService.deleteVectorStore) { $0.id = collection.id }
            }
            await expect(.invalidArgument) {
                _ = try await fixture.call(StoreService.listVectorStores) { $0.limit = 101 }
            }
        }
    }

    /// Expects a call to fail with a status.
    private func expect(
        _ code: StatusCode, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
    ) async {
        do {
            try await body()
            Issue.record("expected \(code), got success", sourceLocation: sourceLocation)
        } catch let error as RPCError {
            #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        } catch {
            Issue.record("expected \(code), got \(error)", sourceLocation: sourceLocation)
        }
    }
}
