import DocumentStore
import Foundation
import RetrievalCore
import Synchronization
import Testing

struct SearchTests {
    private static let handbook = """
        # Handbook

        ## Leave
        Every employee has thirty days of annual leave. Unused days expire in March.

        ### Sick leave
        Report sickness by phone before nine. A certificate is needed from the third day.

        ## Travel
        Trains are booked in second class. Hotels may cost up to one hundred and forty euros a night.

        ## Security
        The vault combination is changed by the duty officer on every first Monday.
        """

    /// A store with the handbook among unrelated files.
    private func withHandbook(
        _ body: (DocumentStore, _ collection: String, _ handbook: FileRecord) async throws -> Void
    ) async throws {
        try await StoreFixture.withStore { store in
            let handbook = try await store.upload(Self.handbook, name: "handbook.md")
            var ids = [handbook.id]
            for index in 0..<12 {
                let text = (0..<120).map { "filler\($0 % 17) topic\(index) sentence." }.joined(separator: " ")
                ids.append(try await store.upload(text, name: "noise\(index).txt").id)
            }
            let collection = try await store.createVectorStore(tenant: "acme", name: "docs")
            for id in ids {
                let record = try await store.attach(
                    tenant: "acme", fileID: id, to: collection.id,
                    chunking: .init(maxTokens: 40, overlapTokens: 8), attributesJSON: "{\"kind\":\"doc\"}")
                #expect(record.chunking == .init(maxTokens: 40, overlapTokens: 8))
            }
            try await store.waitUntilIndexed()
            try await body(store, collection.id, handbook)
        }
    }

    @Test("planted facts are found, with their place in the document", arguments: SearchRequest.Mode.allCases)
    func plantedFacts(mode: SearchRequest.Mode) async throws {
        try await withHandbook { store, collection, handbook in
            let questions = [
                ("who changes the vault combination", "duty officer", ["Handbook", "Security"]),
                ("certificate sickness third day", "certificate", ["Handbook", "Leave", "Sick leave"]),
                ("hotel cost per night in euros", "hundred and forty", ["Handbook", "Travel"]),
            ]
            for (question, fact, headings) in questions {
                let hits = try await store.search(
                    tenant: "acme",
                    .init(vectorStoreIDs: [collection], queries: [question], maxResults: 3, mode: mode))
                let best = try #require(hits.first)
                #expect(best.fileID == handbook.id && best.filename == "handbook.md")
                #expect(best.text.contains(fact))
                #expect(best.headings == headings)
                #expect(best.attributesJSON == "{\"kind\":\"doc\"}")
                #expect(best.vectorStoreID == collection)
                let extracted = try TextExtractor.extract(Array(Self.handbook.utf8), format: .markdown)
                #expect(extracted.text(in: best.range) == best.text)
                #expect(best.sha256.utf8.count == 64)
                #expect(hits.allSatisfy { (0...1).contains($0.score) })
                for (a, b) in zip(hits, hits.dropFirst()) { #expect(a.score >= b.score) }
            }
        }
    }

    @Test("limit, threshold and several queries behave as documented")
    func parameters() async throws {
        try await withHandbook { store, collection, handbook in
            func search(_ queries: [String], _ limit: Int = 50, _ threshold: Double = 0) async throws -> [SearchHit] {
                try await store.search(
                    tenant: "acme",
                    .init(
                        vectorStoreIDs: [collection], queries: queries, maxResults: limit, scoreThreshold: threshold))
            }
            let all = try await search(["filler3 topic4"])
            #expect(all.count == 50)
            #expect(try await search(["filler3 topic4"], 5) == Array(all.prefix(5)))
            let threshold = all[7].score
            #expect(try await search(["filler3 topic4"], 50, threshold).allSatisfy { $0.score >= threshold })
            #expect(try await search(["filler3 topic4"], 50, 1).count <= 1)
            let merged = try await search(["vault combination", "hotels night euros"], 50)
            #expect(merged.prefix(2).allSatisfy { $0.fileID == handbook.id })
            #expect(Set(merged.map { "\($0.fileID) \($0.range)" }).count == merged.count)
            let alone = try await search(["vault combination"], 1)[0]
            let same = merged.first { $0.range == alone.range && $0.fileID == alone.fileID }
            #expect(same?.score == alone.score)
        }
    }

    @Test("several vector stores are searched as one, and a file in two of them is found once")
    func severalStores() async throws {
        try await StoreFixture.withStore { store in
            let shared = try await store.upload("The reactor door is green.")
            let other = try await store.upload("The reactor door handle is red.")
            let first = try await store.createVectorStore(tenant: "acme", name: "1", fileIDs: [shared.id])
            let second = try await store.createVectorStore(tenant: "acme", name: "2", fileIDs: [shared.id, other.id])
            try await store.waitUntilIndexed()
            let hits = try await store.search(
                tenant: "acme", .init(vectorStoreIDs: [first.id, second.id, first.id], queries: ["reactor door"]))
            #expect(Set(hits.map(\.fileID)) == [shared.id, other.id])
            #expect(hits.count == 2)
            try await store.deleteVectorStore(tenant: "acme", first.id)
            let gone = await #expect(throws: StoreError.self) {
                try await store.search(tenant: "acme", .init(vectorStoreIDs: [first.id, second.id], queries: ["door"]))
            }
            #expect(gone?.code == .notFound)
            let kept = try await store.search(tenant: "acme", .init(vectorStoreIDs: [second.id], queries: ["door"]))
            #expect(kept.count == 2)
        }
    }

    @Test("what is attached and detached shows in the next search, through a cache of one vector store")
    func freshness() async throws {
        try await StoreFixture.withStore(configure: { $0.maxLoadedVectorStores = 1 }) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s")
            let other = try await store.createVectorStore(tenant: "acme", name: "o")
            func found() async throws -> Set<String> {
                _ = try await store.search(tenant: "acme", .init(vectorStoreIDs: [other.id], queries: ["common"]))
                let hits = try await store.search(
                    tenant: "acme", .init(vectorStoreIDs: [collection.id], queries: ["common"]))
                return Set(hits.map(\.fileID))
            }
            #expect(try await found().isEmpty)
            var expected: Set<String> = []
            for index in 0..<6 {
                let file = try await store.upload("common word, number \(index)")
                _ = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id)
                try await store.waitUntilIndexed()
                expected.insert(file.id)
                #expect(try await found() == expected)
                if index % 2 == 1, let victim = expected.sorted().first {
                    try await store.detach(tenant: "acme", fileID: victim, from: collection.id)
                    expected.remove(victim)
                    #expect(try await found() == expected)
                }
            }
        }
    }

    @Test("searches out of bounds are refused")
    func validation() async throws {
        try await StoreFixture.withStore { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s").id
            let requests = [
                SearchRequest(vectorStoreIDs: [], queries: ["q"]),
                SearchRequest(vectorStoreIDs: [collection], queries: []),
                SearchRequest(vectorStoreIDs: [collection], queries: [""]),
                SearchRequest(vectorStoreIDs: [collection], queries: [String(repeating: "q", count: 4097)]),
                SearchRequest(vectorStoreIDs: [collection], queries: Array(repeating: "q", count: 9)),
                SearchRequest(vectorStoreIDs: [collection], queries: ["q"], maxResults: 0),
                SearchRequest(vectorStoreIDs: [collection], queries: ["q"], maxResults: 51),
                SearchRequest(vectorStoreIDs: [collection], queries: ["q"], scoreThreshold: 1.5),
                SearchRequest(vectorStoreIDs: [collection], queries: ["q"], scoreThreshold: .nan),
            ]
            for request in requests {
                let error = await #expect(throws: StoreError.self) { try await store.search(tenant: "acme", request) }
                #expect(error?.code == .invalidArgument)
            }
            #expect(try await store.search(tenant: "acme", .init(vectorStoreIDs: [collection], queries: ["q"])).isEmpty)
        }
    }

    @Test("a vector store that is not used for its days is gone, with the files it owns")
    func expiry() async throws {
        let clock = TestClock()
        try await StoreFixture.withStore(clock: clock) { store in
            let file = try await store.upload("text")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", expiresAfterDays: 2)
            let kept = try await store.createVectorStore(tenant: "acme", name: "k", fileIDs: [file.id])
            _ = try await store.attach(
                tenant: "acme", fileID: file.id, to: collection.id, options: .init(ownsFile: true))
            try await store.waitUntilIndexed()
            #expect(collection.expiresAt == collection.createdAt + 2 * 86_400 && kept.expiresAt == nil)
            let request = SearchRequest(vectorStoreIDs: [collection.id], queries: ["text"])
            clock.advance(by: 86_400)
            #expect(try await store.search(tenant: "acme", request).count == 1)
            clock.advance(by: 2 * 86_400 - 1)
            #expect(try await store.vectorStore(tenant: "acme", collection.id).fileCounts.completed == 1)
            clock.advance(by: 1)
            let error = await #expect(throws: StoreError.self) { try await store.search(tenant: "acme", request) }
            #expect(error?.code == .notFound)
            #expect(try await store.vectorStores(tenant: "acme", page: .init()).items.map(\.id) == [kept.id])
            #expect(try await store.file(tenant: "acme", file.id) == file)
            #expect(try await store.attachment(tenant: "acme", fileID: file.id, in: kept.id).status == .completed)
            let days = await #expect(throws: StoreError.self) {
                try await store.createVectorStore(tenant: "acme", name: "s", expiresAfterDays: 366)
            }
            #expect(days?.code == .invalidArgument)
        }
    }

    @Test("a search counts as activity, at most once a minute")
    func activity() async throws {
        let clock = TestClock()
        try await StoreFixture.withStore(clock: clock) { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "s")
            func searchAfter(_ seconds: Int) async throws -> Int {
                clock.advance(by: seconds)
                _ = try await store.search(tenant: "acme", .init(vectorStoreIDs: [collection.id], queries: ["q"]))
                return try await store.vectorStore(tenant: "acme", collection.id).lastActiveAt - collection.createdAt
            }
            #expect(try await searchAfter(30) == 0)
            #expect(try await searchAfter(30) == 60)
            #expect(try await searchAfter(59) == 60)
        }
    }

    @Test("what is attached in larger chunks than the encoder reads is cut into more, titles included")
    func neverCutSilently() async throws {
        let embedder = TestEmbedder(maxTextTokens: 64)
        try await StoreFixture.withStore(embedder: embedder) { store in
            let body = (0..<400).map { "word\($0)" }.joined(separator: " ")
            let title = (0..<30).map { "title\($0)" }.joined(separator: " ")
            let text = "# \(title)\n\n\(body)\n\n# Blob\n\n\(String(repeating: "x9", count: 900)) needleword"
            let file = try await store.upload(text, name: "long.md")
            let collection = try await store.createVectorStore(tenant: "acme", name: "docs")
            _ = try await store.attach(
                tenant: "acme", fileID: file.id, to: collection.id,
                chunking: .init(maxTokens: 800, overlapTokens: 400), attributesJSON: "")
            try await store.waitUntilIndexed()
            #expect(try await store.attachment(tenant: "acme", fileID: file.id, in: collection.id).status == .completed)
            #expect(embedder.longest.withLock { $0 } <= 64)
            for word in ["word0", "word399", "needleword"] {
                let hits = try await store.search(
                    tenant: "acme", .init(vectorStoreIDs: [collection.id], queries: [word], mode: .lexical))
                #expect(hits.first?.text.contains(word) == true)
            }
        }
    }

    @Test("among near twins the one that is named comes first, and a threshold keeps the others out")
    func namedTwin() async throws {
        try await StoreFixture.withStore { store in
            let collection = try await store.createVectorStore(tenant: "acme", name: "reports")
            for number in 4001..<4061 {
                let file = try await store.upload(
                    "Report PPR-\(number) says that the pump in hall \(number % 7) leaks.", name: "\(number).txt")
                _ = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id)
            }
            try await store.waitUntilIndexed()
            func search(_ query: String, _ threshold: Double = 0) async throws -> [SearchHit] {
                try await store.search(
                    tenant: "acme",
                    .init(vectorStoreIDs: [collection.id], queries: [query], scoreThreshold: threshold))
            }
            for query in ["PPR-4048", "ppr4048", "what does report 4048 say", "ＰＰＲ－４０４８"] {
                #expect(try await search(query).first?.filename == "4048.txt")
                #expect(try await search(query, 0.4).map(\.filename) == ["4048.txt"])
            }
            #expect(try await search("PPR-9999", 0.4).isEmpty)
        }
    }

    @Test("a page is found by its title, and its chunks name it")
    func pageTitle() async throws {
        try await StoreFixture.withStore { store in
            let page =
                "<html><head><title>Zeppelin rules</title></head><body><h1>Doors</h1><p>Keep shut.</p></body></html>"
            let file = try await store.upload(page, name: "page.html")
            let other = try await store.upload("Something about windows.", name: "other.txt")
            let collection = try await store.createVectorStore(
                tenant: "acme", name: "pages", fileIDs: [file.id, other.id])
            try await store.waitUntilIndexed()
            for mode in SearchRequest.Mode.allCases {
                let hit = try #require(
                    try await store.search(
                        tenant: "acme", .init(vectorStoreIDs: [collection.id], queries: ["zeppelin"], mode: mode)
                    ).first)
                #expect(hit.filename == "page.html" && hit.headings == ["Zeppelin rules", "Doors"])
                #expect(hit.text == "Doors\n\nKeep shut.")
            }
        }
    }
}
