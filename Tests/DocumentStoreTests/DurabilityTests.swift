import DocumentStore
import Foundation
import RetrievalCore
import Synchronization
import Testing

struct DurabilityTests {
    /// What a `kill -9` leaves: the directory as it is at this moment, copied while the store is open.
    private func crashed(_ directory: String) throws -> String {
        let copy = directory + "-crashed"
        try FileManager.default.copyItem(atPath: directory, toPath: copy)
        return copy
    }

    @Test("everything is there after closing and opening, and a search finds the same")
    func reopen() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let request = try await StoreFixture.withStore(in: fixture.directory) { store in
            let file = try await store.upload("Valve seven is opened by turning the wheel left.")
            let collection = try await store.createVectorStore(
                tenant: "acme", name: "s", metadata: ["a": "b"], fileIDs: [file.id])
            try await store.waitUntilIndexed()
            return SearchRequest(vectorStoreIDs: [collection.id], queries: ["valve wheel"])
        }
        let embedder = TestEmbedder()
        try await StoreFixture.withStore(in: fixture.directory, embedder: embedder) { store in
            try await store.waitUntilIndexed()
            #expect(embedder.indexed.withLock { $0 } == 0)
            let hits = try await store.search(tenant: "acme", request)
            #expect(hits.map(\.text) == ["Valve seven is opened by turning the wheel left."])
            #expect(store.totals == .init(files: 1, chunks: 1, pending: 0))
            #expect(try await store.content(tenant: "acme", fileID: hits[0].fileID).bytes.count == 48)
        }
    }

    @Test("indexing that a crash interrupted is resumed, and acknowledged files are complete")
    func crashDuringIndexing() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let embedder = TestEmbedder()
        let (copy, done, pending, collection) = try await StoreFixture.withStore(
            in: fixture.directory, embedder: embedder
        ) { store in
            let done = try await store.upload("finished before the crash")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [done.id])
            try await store.waitUntilIndexed()
            embedder.gate.close()
            let text = (0..<3000).map { "word\($0)" }.joined(separator: " ")
            let pending = try await store.upload(text)
            _ = try await store.attach(tenant: "acme", fileID: pending.id, to: collection.id)
            let upload = try await store.beginUpload(
                tenant: "acme", header: .init(filename: "half", purpose: "", contentType: "", sizeBytes: 100))
            try await upload.append([1, 2, 3])
            await embedder.gate.arrived()
            return (try crashed(fixture.directory), done, pending, collection)
        }
        defer { try? FileManager.default.removeItem(atPath: copy) }
        #expect(StoreFixture.contents(copy).contains { $0.contains("/uploads/") })
        try await StoreFixture.withStore(in: copy) { store in
            try await store.waitUntilIndexed()
            #expect(!StoreFixture.contents(copy).contains { $0.contains("/uploads/") })
            for file in [done, pending] {
                #expect(try await store.file(tenant: "acme", file.id) == file)
                #expect(try await store.content(tenant: "acme", fileID: file.id).bytes.count == file.sizeBytes)
                let state = try await store.attachment(tenant: "acme", fileID: file.id, in: collection.id)
                #expect(state.status == .completed)
            }
            let hits = try await store.search(
                tenant: "acme", .init(vectorStoreIDs: [collection.id], queries: ["word2999"], mode: .lexical))
            #expect(hits.first?.text.contains("word2999") == true)
            let indexes = try await store.search(
                tenant: "acme",
                .init(vectorStoreIDs: [collection.id], queries: ["word1"], maxResults: 50, mode: .vector))
            #expect(Set(indexes.map { "\($0.fileID)#\($0.chunkIndex)" }).count == indexes.count)
        }
    }

    @Test("a crash after any of many changes loses nothing that was acknowledged")
    func crashesUnderLoad() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s")
            var acknowledged: [FileRecord] = []
            for round in 0..<6 {
                for index in 0..<3 {
                    let file = try await store.upload("round \(round) file \(index) marker\(round)x\(index)")
                    _ = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id)
                    acknowledged.append(file)
                }
                if round % 2 == 1 {
                    let victim = acknowledged.removeFirst()
                    try await store.deleteFile(tenant: "acme", victim.id)
                }
                // The database's files are copied one after the other, which is a crash only while nobody writes.
                try await store.waitUntilIndexed()
                let copy = try crashed(fixture.directory)
                defer { try? FileManager.default.removeItem(atPath: copy) }
                let expected = acknowledged
                try await StoreFixture.withStore(in: copy) { recovered in
                    try await recovered.waitUntilIndexed()
                    let files = try await recovered.files(tenant: "acme", page: .init(limit: 100, ascending: true))
                    #expect(files.items == expected)
                    #expect(recovered.totals == .init(files: expected.count, chunks: expected.count, pending: 0))
                }
            }
        }
    }

    @Test("a content without an entry is removed at opening")
    func orphans() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let kept = try await StoreFixture.withStore(in: fixture.directory) { store in
            try await store.upload("kept")
        }
        let path = try #require(StoreFixture.contents(fixture.directory).first)
        let folder = URL(fileURLWithPath: "\(fixture.directory)/\(path)").deletingLastPathComponent()
        try Data("orphan".utf8).write(to: folder.appendingPathComponent("file-0123456789abcdef01234567"))
        try await StoreFixture.withStore(in: fixture.directory) { store in
            let contents = StoreFixture.contents(fixture.directory)
            #expect(contents.count == 1 && contents[0].hasSuffix(kept.id))
        }
    }

    @Test("another encoder embeds everything again")
    func otherEncoder() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let collection = try await StoreFixture.withStore(in: fixture.directory) { store in
            let file = try await store.upload("text to embed")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            try await store.waitUntilIndexed()
            return collection
        }
        let other = TestEmbedder(modelName: "other")
        try await StoreFixture.withStore(in: fixture.directory, embedder: other) { store in
            try await store.waitUntilIndexed()
            #expect(other.indexed.withLock { $0 } == 1)
            #expect(try await store.vectorStore(tenant: "acme", collection.id).fileCounts == .init(completed: 1))
            let hits = try await store.search(tenant: "acme", .init(vectorStoreIDs: [collection.id], queries: ["text"]))
            #expect(hits.count == 1)
        }
    }

    @Test("a directory in use is refused, and free again after closing")
    func lock() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory) { _ in
            let error = #expect(throws: StoreError.self) {
                try DocumentStore(
                    configuration: StoreConfiguration(directory: fixture.directory), embedder: TestEmbedder())
            }
            #expect(error?.code == .unavailable)
        }
        try await StoreFixture.withStore(in: fixture.directory) { store in #expect(store.totals.files == 0) }
    }

    @Test("a closed store refuses calls")
    func closed() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let store = try DocumentStore(
            configuration: StoreConfiguration(directory: fixture.directory), embedder: TestEmbedder())
        try store.close()
        let error = await #expect(throws: StoreError.self) { try await store.files(tenant: "acme", page: .init()) }
        #expect(error?.code == .unavailable)
    }
}
