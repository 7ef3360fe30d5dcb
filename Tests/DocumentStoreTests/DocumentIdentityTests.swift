import DocumentStore
import Foundation
import RetrievalCore
import Synchronization
import Testing

struct DocumentIdentityTests {
    /// Uploads a text and attaches it as a version of a document.
    private func ingest(
        _ store: DocumentStore, _ text: String, as document: String, in collection: String, ownsFile: Bool = true
    ) async throws -> FileRecord {
        let file = try await store.upload(text, name: "d.txt")
        _ = try await store.attach(
            tenant: "acme", fileID: file.id, to: collection,
            options: .init(documentID: document, ownsFile: ownsFile))
        return file
    }

    private func texts(
        _ store: DocumentStore, _ collection: String, _ query: String, limit: Int = 10
    ) async throws -> [String] {
        try await store.search(
            tenant: "acme", .init(vectorStoreIDs: [collection], queries: [query], maxResults: limit)
        ).map(\.text)
    }

    @Test("a new version is found instead of the old one once it is indexed, and the old file goes")
    func replaces() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let embedder = TestEmbedder()
        try await StoreFixture.withStore(in: fixture.directory, embedder: embedder) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            let old = try await ingest(store, "The rule is: wake at six.", as: "rules.md", in: collection)
            try await store.waitUntilIndexed()
            embedder.gate.close()
            let new = try await ingest(store, "The rule is: wake at noon.", as: "rules.md", in: collection)
            await embedder.gate.arrived()
            #expect(try await texts(store, collection, "rule") == ["The rule is: wake at six."])
            embedder.gate.open()
            try await store.waitUntilIndexed()
            #expect(try await texts(store, collection, "rule") == ["The rule is: wake at noon."])
            #expect(try await store.files(tenant: "acme", page: .init()).items.map(\.id) == [new.id])
            #expect(StoreFixture.contents(fixture.directory).allSatisfy { !$0.contains(old.id) })
            let listed = try await store.attachments(
                tenant: "acme", in: collection, page: .init(), documentID: "rules.md")
            #expect(listed.items.map(\.fileID) == [new.id])
            #expect(listed.items[0].sha256 == new.sha256 && listed.items[0].ownsFile)
            #expect(listed.items[0].indexedChunks == 1)
            let none = try await store.attachments(tenant: "acme", in: collection, page: .init(), documentID: "other")
            #expect(none.items.isEmpty)
        }
    }

    @Test("a search during replacements always finds one version, never both and never none")
    func atomic() async throws {
        try await StoreFixture.withStore { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            _ = try await ingest(store, "marker version 0", as: "d", in: collection)
            try await store.waitUntilIndexed()
            let isDone = Shared(false)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        while !isDone.value {
                            let found = try await texts(store, collection, "marker version")
                            #expect(found.count == 1)
                        }
                    }
                }
                for version in 1...40 {
                    _ = try await ingest(store, "marker version \(version)", as: "d", in: collection)
                    try await store.waitUntilIndexed()
                }
                isDone.update { $0 = true }
                try await group.waitForAll()
            }
            #expect(try await texts(store, collection, "marker version") == ["marker version 40"])
        }
    }

    @Test("a version that cannot be indexed leaves the one before, and the next one clears it away")
    func failingVersion() async throws {
        try await StoreFixture.withStore { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            _ = try await ingest(store, "good words", as: "d", in: collection)
            try await store.waitUntilIndexed()
            _ = try await ingest(store, " \n ", as: "d", in: collection)
            try await store.waitUntilIndexed()
            #expect(try await texts(store, collection, "words") == ["good words"])
            #expect(
                try await store.vectorStore(tenant: "acme", collection).fileCounts == .init(completed: 1, failed: 1))
            // The same again does not pile up.
            _ = try await ingest(store, " \n ", as: "d", in: collection)
            try await store.waitUntilIndexed()
            #expect(store.totals == .init(files: 2, chunks: 1, pending: 0))
            _ = try await ingest(store, "better words", as: "d", in: collection)
            try await store.waitUntilIndexed()
            #expect(try await texts(store, collection, "words") == ["better words"])
            #expect(try await store.vectorStore(tenant: "acme", collection).fileCounts == .init(completed: 1))
            #expect(store.totals == .init(files: 1, chunks: 1, pending: 0))
        }
    }

    @Test("a version that waits is given up for a newer one")
    func overtaken() async throws {
        let embedder = TestEmbedder()
        try await StoreFixture.withStore(embedder: embedder) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            embedder.gate.close()
            let first = try await ingest(store, "words one", as: "d", in: collection)
            await embedder.gate.arrived()
            _ = try await ingest(store, "words two", as: "d", in: collection)
            let state = try await store.attachment(tenant: "acme", fileID: first.id, in: collection)
            #expect(state.status == .cancelled)
            embedder.gate.open()
            try await store.waitUntilIndexed()
            #expect(try await texts(store, collection, "words") == ["words two"])
            #expect(store.totals == .init(files: 1, chunks: 1, pending: 0))
        }
    }

    @Test("copies are embedded once and take one place, and one stays when the other goes")
    func copies() async throws {
        let embedder = TestEmbedder()
        try await StoreFixture.withStore(embedder: embedder) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            var copies: [FileRecord] = []
            for index in 0..<80 {
                copies.append(try await ingest(store, "the pump runs on diesel", as: "copy\(index)", in: collection))
            }
            _ = try await ingest(store, "the pump at the gate is green and old", as: "other", in: collection)
            try await store.waitUntilIndexed()
            let found = try await texts(store, collection, "pump runs diesel")
            #expect(found == ["the pump runs on diesel", "the pump at the gate is green and old"])
            // Two workers may embed the same text side by side before either has written it down.
            #expect(embedder.indexed.withLock { $0 } <= 3)
            try await store.detach(tenant: "acme", fileID: copies[0].id, from: collection)
            let hits = try await store.search(
                tenant: "acme", .init(vectorStoreIDs: [collection], queries: ["pump runs diesel"]))
            #expect(hits.count == 2 && hits[0].fileID == copies[1].id)
        }
    }

    @Test("what a new version has in common with the old one is not embedded again")
    func reuse() async throws {
        let embedder = TestEmbedder()
        try await StoreFixture.withStore(embedder: embedder) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            func text(_ middle: String) -> String {
                (0..<30).map { section in
                    "# Section \(section)\n\n"
                        + (0..<60).map { "s\(section)w\($0)" }.joined(separator: " ") + (section == 15 ? middle : "")
                }.joined(separator: "\n\n")
            }
            func add(_ text: String) async throws {
                let file = try await store.upload(text, name: "d.md")
                _ = try await store.attach(
                    tenant: "acme", fileID: file.id, to: collection, options: .init(documentID: "d", ownsFile: true))
                try await store.waitUntilIndexed()
            }
            try await add(text(""))
            let first = embedder.indexed.withLock { $0 }
            #expect(first == 30)
            try await add(text(" changed"))
            #expect(embedder.indexed.withLock { $0 } == first + 1)
            #expect(try await texts(store, collection, "changed", limit: 1)[0].contains("changed"))
            #expect(store.totals == .init(files: 1, chunks: 30, pending: 0))
        }
    }

    @Test("an owned file goes with its last attachment, another one stays")
    func ownership() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory) { store in
            let first = try await store.createVectorStore(tenant: "acme", name: "1").id
            let second = try await store.createVectorStore(tenant: "acme", name: "2").id
            let owned = try await ingest(store, "owned", as: "a", in: first)
            _ = try await store.attach(
                tenant: "acme", fileID: owned.id, to: second, options: .init(documentID: "a", ownsFile: true))
            let free = try await ingest(store, "free", as: "b", in: first, ownsFile: false)
            try await store.waitUntilIndexed()
            try await store.detach(tenant: "acme", fileID: owned.id, from: first)
            #expect(try await store.file(tenant: "acme", owned.id) == owned)
            try await store.deleteVectorStore(tenant: "acme", second)
            let gone = await #expect(throws: StoreError.self) { try await store.file(tenant: "acme", owned.id) }
            #expect(gone?.code == .notFound)
            try await store.detach(tenant: "acme", fileID: free.id, from: first)
            #expect(try await store.file(tenant: "acme", free.id) == free)
            #expect(StoreFixture.contents(fixture.directory).count == 1)
        }
    }

    @Test("an attached file can be given its document later, and takes the place of another version")
    func adoption() async throws {
        try await StoreFixture.withStore { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            let plain = try await store.upload("plain words")
            _ = try await store.attach(tenant: "acme", fileID: plain.id, to: collection)
            try await store.waitUntilIndexed()
            let version = try await store.vectorStore(tenant: "acme", collection).version
            let named = try await store.attach(
                tenant: "acme", fileID: plain.id, to: collection, options: .init(documentID: "d"))
            #expect(named.status == .completed && named.documentID == "d")
            #expect(try await store.vectorStore(tenant: "acme", collection).version == version)
            _ = try await ingest(store, "newer words", as: "d", in: collection)
            try await store.waitUntilIndexed()
            #expect(try await texts(store, collection, "words") == ["newer words"])
            // The first file is not owned, so it is still there; it becomes the version once more.
            _ = try await store.attach(
                tenant: "acme", fileID: plain.id, to: collection, options: .init(documentID: "d"))
            try await store.waitUntilIndexed()
            #expect(try await texts(store, collection, "words") == ["plain words"])
        }
    }

    @Test("a crash in the middle of a replacement leaves the old version, and then the new one")
    func crash() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let copy = fixture.directory + "-crashed"
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let embedder = TestEmbedder()
        let collection = try await StoreFixture.withStore(in: fixture.directory, embedder: embedder) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            _ = try await ingest(store, "marker old", as: "d", in: collection)
            try await store.waitUntilIndexed()
            embedder.gate.close()
            let text = "marker new " + (0..<20_000).map { "word\($0)" }.joined(separator: " ")
            _ = try await ingest(store, text, as: "d", in: collection)
            await embedder.gate.arrived()
            // Some batches are written down, the rest is not.
            for _ in 0..<2 {
                embedder.gate.open()
                embedder.gate.close()
                await embedder.gate.arrived()
            }
            try FileManager.default.copyItem(atPath: fixture.directory, toPath: copy)
            return collection
        }
        let second = TestEmbedder()
        second.gate.close()
        try await StoreFixture.withStore(in: copy, embedder: second) { store in
            #expect(try await texts(store, collection, "marker") == ["marker old"])
            second.gate.open()
            try await store.waitUntilIndexed()
            let found = try await texts(store, collection, "marker", limit: 50).filter { $0.contains("marker") }
            #expect(found.count == 1 && found.first?.hasPrefix("marker new") == true)
            let chunks = store.totals.chunks
            // What was embedded before the crash is not embedded again.
            #expect(second.indexed.withLock { $0 } < chunks)
            #expect(store.totals.files == 1)
        }
    }

    @Test("a document id out of bounds is refused")
    func validation() async throws {
        try await StoreFixture.withStore { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            let file = try await store.upload("text")
            for id in [String(repeating: "x", count: 1025), "a\0b"] {
                let error = await #expect(throws: StoreError.self) {
                    try await store.attach(
                        tenant: "acme", fileID: file.id, to: collection, options: .init(documentID: id))
                }
                #expect(error?.code == .invalidArgument)
            }
        }
    }
}
