import DocumentStore
import Foundation
import RetrievalCore
import Synchronization
import Testing

struct IndexingTests {
    private func status(
        _ store: DocumentStore, _ file: FileRecord, _ collection: VectorStoreRecord
    ) async throws -> AttachmentRecord {
        try await store.attachment(tenant: "acme", fileID: file.id, in: collection.id)
    }

    @Test("an attachment goes from in progress to completed, and the counts follow")
    func lifecycle() async throws {
        let embedder = TestEmbedder()
        embedder.gate.close()
        try await StoreFixture.withStore(embedder: embedder) { store in
            let file = try await store.upload("Some text to be indexed.")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            #expect(collection.fileCounts == .init(inProgress: 1))
            await embedder.gate.arrived()
            #expect(try await status(store, file, collection).status == .inProgress)
            #expect(store.totals == .init(files: 1, chunks: 0, pending: 1))
            embedder.gate.open()
            try await store.waitUntilIndexed()
            let done = try await status(store, file, collection)
            #expect(done.status == .completed && done.chunkCount == 1 && done.usageBytes > 24 && done.errorCode.isEmpty)
            let after = try await store.vectorStore(tenant: "acme", collection.id)
            #expect(after.fileCounts == .init(completed: 1))
            #expect(after.version > collection.version && after.usageBytes == done.usageBytes)
            #expect(store.totals == .init(files: 1, chunks: 1, pending: 0))
            // The same again changes nothing.
            let again = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id)
            #expect(again == done)
            #expect(try await store.vectorStore(tenant: "acme", collection.id).version == after.version)
        }
    }

    @Test("files that cannot be indexed fail with a code and a message")
    func failures() async throws {
        try await StoreFixture.withStore(configure: { $0.maxChunksPerFile = 3 }) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s")
            let cases: [([UInt8], String, String)] = [
                (Array("%PDF-1.7".utf8), "a.pdf", "unsupported_file"),
                ([0xFF, 0x61, 0xFE, 0x62], "a.txt", "invalid_file"),
                (Array("  \n".utf8), "a.txt", "invalid_file"),
                (Array(String(repeating: "word ", count: 2000).utf8), "a.txt", "invalid_file"),
                (Array("<script>only code</script>".utf8), "a.html", "invalid_file"),
            ]
            for (bytes, name, code) in cases {
                let file = try await store.upload(bytes, name: name)
                _ = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id)
                try await store.waitUntilIndexed()
                let result = try await status(store, file, collection)
                #expect(result.status == .failed && result.errorCode == code)
                #expect(!result.errorMessage.isEmpty && result.chunkCount == 0)
            }
            let counts = try await store.vectorStore(tenant: "acme", collection.id).fileCounts
            #expect(counts == .init(failed: 5))
            let failed = try await store.attachments(
                tenant: "acme", in: collection.id, page: .init(limit: 3, ascending: true), status: .failed)
            #expect(failed.items.count == 3 && failed.hasMore)
            #expect(
                try await store.attachments(tenant: "acme", in: collection.id, page: .init(), status: .completed)
                    .items.isEmpty)
        }
    }

    @Test("an encoder's failure is a server error, and attaching again tries again")
    func retry() async throws {
        let embedder = TestEmbedder()
        embedder.failsIndexing.withLock { $0 = true }
        try await StoreFixture.withStore(embedder: embedder) { store in
            let file = try await store.upload("text")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            try await store.waitUntilIndexed()
            #expect(try await status(store, file, collection).errorCode == "server_error")
            embedder.failsIndexing.withLock { $0 = false }
            #expect(
                try await store.attach(tenant: "acme", fileID: file.id, to: collection.id).status == .inProgress)
            try await store.waitUntilIndexed()
            #expect(try await status(store, file, collection).status == .completed)
        }
    }

    @Test("other chunk sizes index anew, other attributes do not")
    func reattach() async throws {
        let embedder = TestEmbedder()
        try await StoreFixture.withStore(embedder: embedder) { store in
            let file = try await store.upload((0..<200).map { "w\($0)" }.joined(separator: " "))
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            try await store.waitUntilIndexed()
            let before = embedder.indexed.withLock { $0 }
            let labelled = try await store.attach(
                tenant: "acme", fileID: file.id, to: collection.id, attributesJSON: "{\"a\":1}")
            #expect(labelled.status == .completed && labelled.attributesJSON == "{\"a\":1}")
            #expect(embedder.indexed.withLock { $0 } == before)
            _ = try await store.attach(
                tenant: "acme", fileID: file.id, to: collection.id, chunking: .init(maxTokens: 20, overlapTokens: 0))
            try await store.waitUntilIndexed()
            let finer = try await status(store, file, collection)
            #expect(finer.chunkCount == 10 && finer.attributesJSON.isEmpty)
            #expect(store.totals.chunks == 10)
        }
    }

    @Test("detaching or deleting during indexing leaves nothing behind")
    func goneMeanwhile() async throws {
        let embedder = TestEmbedder()
        embedder.gate.close()
        try await StoreFixture.withStore(embedder: embedder) { store in
            let file = try await store.upload("soon detached")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            await embedder.gate.arrived()
            try await store.detach(tenant: "acme", fileID: file.id, from: collection.id)
            embedder.gate.open()
            try await store.waitUntilIndexed()
            #expect(store.totals == .init(files: 1, chunks: 0, pending: 0))
            embedder.gate.close()
            _ = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id)
            await embedder.gate.arrived()
            try await store.deleteFile(tenant: "acme", file.id)
            embedder.gate.open()
            try await store.waitUntilIndexed()
            #expect(store.totals == .init(files: 0, chunks: 0, pending: 0))
        }
    }

    @Test("more waiting attachments than allowed are refused")
    func pendingLimit() async throws {
        let embedder = TestEmbedder()
        embedder.gate.close()
        try await StoreFixture.withStore(embedder: embedder, configure: { $0.maxPendingPerTenant = 2 }) { store in
            var ids: [String] = []
            for index in 0..<3 { ids.append(try await store.upload("f \(index)").id) }
            let files = ids
            let error = await #expect(throws: StoreError.self) {
                try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: files)
            }
            #expect(error?.code == .limitExceeded)
            #expect(try await store.vectorStores(tenant: "acme", page: .init()).items.isEmpty)
            _ = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: Array(ids.prefix(2)))
            embedder.gate.open()
            try await store.waitUntilIndexed()
        }
    }

    @Test("workers take turns by batch: two long files keep neither another tenant's note waiting nor one of their own")
    func batchFairness() async throws {
        let embedder = TestEmbedder()
        embedder.gate.close()
        try await StoreFixture.withStore(embedder: embedder) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s")
            var books: [FileRecord] = []
            for book in 0..<2 {
                let text = (0..<60_000).map { "b\(book)w\($0)" }.joined(separator: " ")
                books.append(try await store.upload(text))
                _ = try await store.attach(
                    tenant: "acme", fileID: books[book].id, to: collection.id,
                    chunking: .init(maxTokens: 20, overlapTokens: 0))
            }
            await embedder.gate.arrived()
            let own = try await store.upload("a note of acme")
            _ = try await store.attach(tenant: "acme", fileID: own.id, to: collection.id)
            let other = try await store.upload("a note of zeta", tenant: "zeta")
            let otherCollection = try await store.createVectorStore(tenant: "zeta", name: "z", fileIDs: [other.id])
            let isDone = {
                let first = try await store.attachment(tenant: "zeta", fileID: other.id, in: otherCollection.id)
                let second = try await store.attachment(tenant: "acme", fileID: own.id, in: collection.id)
                return first.status == .completed && second.status == .completed
            }
            // A few batches pass; each of the books has close to two hundred.
            var batches = 0
            while try await !isDone(), batches < 40 {
                embedder.gate.open()
                embedder.gate.close()
                await embedder.gate.arrived()
                batches += 1
            }
            #expect(batches < 40)
            for book in books {
                #expect(
                    try await store.attachment(tenant: "acme", fileID: book.id, in: collection.id).status == .inProgress
                )
            }
            embedder.gate.open()
            try await store.waitUntilIndexed()
            #expect(try await store.vectorStore(tenant: "acme", collection.id).fileCounts == .init(completed: 3))
        }
    }

    @Test("tenants take turns, so that one with many files does not keep another waiting")
    func fairness() async throws {
        let embedder = TestEmbedder()
        embedder.gate.close()
        try await StoreFixture.withStore(embedder: embedder, configure: { $0.indexingWorkers = 1 }) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s")
            for index in 0..<10 {
                let file = try await store.upload("f \(index)")
                _ = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id)
            }
            await embedder.gate.arrived()
            let other = try await store.upload("small", tenant: "zeta")
            let otherCollection = try await store.createVectorStore(tenant: "zeta", name: "z", fileIDs: [other.id])
            // Two jobs pass: the one under way and then, in turn, the other tenant's.
            for _ in 0..<2 {
                embedder.gate.open()
                embedder.gate.close()
                await embedder.gate.arrived()
            }
            let state = try await store.attachment(tenant: "zeta", fileID: other.id, in: otherCollection.id)
            #expect(state.status == .completed)
            #expect(try await store.vectorStore(tenant: "acme", collection.id).fileCounts.inProgress >= 8)
            embedder.gate.open()
            try await store.waitUntilIndexed()
        }
    }
}
