import DocumentStore
import Foundation
import RetrievalCore
import Synchronization
import Testing

struct FileTests {
    @Test("a file comes back as it was sent, with its checksum")
    func roundTrip() async throws {
        try await StoreFixture.withStore { store in
            let bytes = (0..<300_001).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let file = try await store.upload(bytes, name: "data.bin", type: "application/octet-stream")
            #expect(file.id.wholeMatch(of: /file-[0-9a-f]{24}/) != nil)
            #expect(file.sizeBytes == bytes.count && file.filename == "data.bin" && file.purpose == "assistants")
            #expect(file.createdAt == 1_700_000_000)
            #expect(try await store.file(tenant: "acme", file.id) == file)
            let content = try await store.content(tenant: "acme", fileID: file.id)
            #expect(content.bytes == bytes && content.file == file)
            #expect(
                try await store.upload("abc").sha256
                    == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        }
    }

    @Test("an upload that is too short, too long, too large, empty or abandoned leaves nothing")
    func refusedUploads() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory, configure: { $0.maxFileBytes = 1000 }) { store in
            func begin(_ size: Int) async throws -> FileUpload {
                try await store.beginUpload(
                    tenant: "acme", header: .init(filename: "f", purpose: "", contentType: "", sizeBytes: size))
            }
            let short = try await begin(10)
            try await short.append([1, 2, 3])
            let tooShort = await #expect(throws: StoreError.self) { try await short.finish() }
            #expect(tooShort?.code == .invalidArgument)
            #expect(tooShort?.message.contains("got 3 of 10") == true)
            let long = try await begin(2)
            let tooLong = await #expect(throws: StoreError.self) { try await long.append([1, 2, 3]) }
            #expect(tooLong?.code == .invalidArgument)
            await #expect(throws: StoreError.self) { try await long.finish() }
            let large = await #expect(throws: StoreError.self) { try await begin(1001) }
            #expect(large?.code == .limitExceeded)
            let empty = await #expect(throws: StoreError.self) { try await begin(0) }
            #expect(empty?.code == .invalidArgument)
            let abandoned = try await begin(10)
            try await abandoned.append([1])
            abandoned.abort()
            await #expect(throws: StoreError.self) { try await abandoned.finish() }
            do {
                let dropped = try await begin(10)
                try await dropped.append([1])
            }
            #expect(try await store.files(tenant: "acme", page: .init()).items.isEmpty)
            #expect(StoreFixture.contents(fixture.directory).isEmpty)
        }
    }

    @Test("uploads under way, files and vector stores are bounded")
    func limits() async throws {
        try await StoreFixture.withStore(configure: {
            $0.maxConcurrentUploads = 2
            $0.maxFilesPerTenant = 2
            $0.maxVectorStoresPerTenant = 1
            $0.maxTenants = 2
        }) { store in
            let header = FileUpload.Header(filename: "f", purpose: "", contentType: "", sizeBytes: 1)
            let first = try await store.beginUpload(tenant: "acme", header: header)
            let second = try await store.beginUpload(tenant: "acme", header: header)
            let third = await #expect(throws: StoreError.self) {
                try await store.beginUpload(tenant: "acme", header: header)
            }
            #expect(third?.code == .limitExceeded)
            first.abort()
            first.abort()
            second.abort()
            _ = try await store.upload("one")
            _ = try await store.upload("two")
            let error = await #expect(throws: StoreError.self) { try await store.upload("three") }
            #expect(error?.code == .limitExceeded)
            _ = try await store.createVectorStore(tenant: "acme", name: "one")
            let stores = await #expect(throws: StoreError.self) {
                try await store.createVectorStore(tenant: "acme", name: "two")
            }
            #expect(stores?.code == .limitExceeded)
            _ = try await store.upload("x", tenant: "other")
            let tenants = await #expect(throws: StoreError.self) { try await store.upload("x", tenant: "third") }
            #expect(tenants?.code == .limitExceeded)
        }
    }

    @Test("deleting a file takes its content and its chunks along")
    func deletion() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory) { store in
            let file = try await store.upload("The pump runs on diesel.")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            try await store.waitUntilIndexed()
            let request = SearchRequest(vectorStoreIDs: [collection.id], queries: ["diesel pump"])
            #expect(try await store.search(tenant: "acme", request).count == 1)
            let version = try await store.vectorStore(tenant: "acme", collection.id).version
            try await store.deleteFile(tenant: "acme", file.id)
            #expect(try await store.search(tenant: "acme", request).isEmpty)
            let after = try await store.vectorStore(tenant: "acme", collection.id)
            #expect(after.version > version && after.fileCounts.total == 0 && after.usageBytes == 0)
            #expect(StoreFixture.contents(fixture.directory).isEmpty)
            #expect(store.totals == .init(files: 0, chunks: 0, pending: 0))
            let gone = await #expect(throws: StoreError.self) { try await store.deleteFile(tenant: "acme", file.id) }
            #expect(gone?.code == .notFound)
        }
    }

    @Test("listings are paged in both directions, without gaps or repetitions")
    func pagination() async throws {
        try await StoreFixture.withStore { store in
            var ids: [String] = []
            for index in 0..<7 { ids.append(try await store.upload("file \(index)").id) }
            for ascending in [true, false] {
                var seen: [String] = []
                var after: String?
                while true {
                    let listing = try await store.files(
                        tenant: "acme", page: .init(limit: 3, after: after, ascending: ascending))
                    seen += listing.items.map(\.id)
                    after = listing.items.last?.id
                    if !listing.hasMore { break }
                    #expect(listing.items.count == 3)
                }
                #expect(seen == (ascending ? ids : ids.reversed()))
            }
            let exact = try await store.files(tenant: "acme", page: .init(limit: 7))
            #expect(exact.items.count == 7 && !exact.hasMore)
            let unknown = await #expect(throws: StoreError.self) {
                try await store.files(tenant: "acme", page: .init(after: "file-000000000000000000000000"))
            }
            #expect(unknown?.code == .notFound)
            for limit in [0, 101, -1] {
                let error = await #expect(throws: StoreError.self) {
                    try await store.files(tenant: "acme", page: .init(limit: limit))
                }
                #expect(error?.code == .invalidArgument)
            }
        }
    }

    @Test("a file that expires is gone then, from vector stores and from the disk")
    func expiry() async throws {
        let clock = TestClock()
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory, clock: clock) { store in
            func upload(_ seconds: Int) async throws -> FileRecord {
                let upload = try await store.beginUpload(
                    tenant: "acme",
                    header: .init(
                        filename: "a.txt", purpose: "", contentType: "", sizeBytes: 4, expiresAfterSeconds: seconds))
                try await upload.append(Array("text".utf8))
                return try await upload.finish()
            }
            let file = try await upload(3600)
            #expect(file.expiresAt == file.createdAt + 3600)
            #expect(try await store.file(tenant: "acme", file.id) == file)
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            try await store.waitUntilIndexed()
            let request = SearchRequest(vectorStoreIDs: [collection.id], queries: ["text"])
            clock.advance(by: 3599)
            #expect(try await store.search(tenant: "acme", request).count == 1)
            clock.advance(by: 1)
            #expect(try await store.search(tenant: "acme", request).isEmpty)
            let gone = await #expect(throws: StoreError.self) { try await store.file(tenant: "acme", file.id) }
            #expect(gone?.code == .notFound)
            #expect(StoreFixture.contents(fixture.directory).isEmpty)
            for seconds in [1, 3599, 2_592_001] {
                let error = await #expect(throws: StoreError.self) { try await upload(seconds) }
                #expect(error?.code == .invalidArgument)
            }
        }
    }

    @Test("vector stores are made with files cut as asked for")
    func chunkingAtCreation() async throws {
        try await StoreFixture.withStore { store in
            let file = try await store.upload((0..<200).map { "w\($0)" }.joined(separator: " "))
            let collection = try await store.createVectorStore(
                tenant: "acme", name: "s", fileIDs: [file.id], chunking: .init(maxTokens: 20, overlapTokens: 0))
            try await store.waitUntilIndexed()
            let state = try await store.attachment(tenant: "acme", fileID: file.id, in: collection.id)
            #expect(state.chunkCount == 10 && state.chunking == .init(maxTokens: 20, overlapTokens: 0))
        }
    }

    @Test("a listing by purpose has full pages")
    func purposes() async throws {
        try await StoreFixture.withStore { store in
            var wanted: [String] = []
            for index in 0..<12 {
                let header = FileUpload.Header(
                    filename: "f\(index)", purpose: index % 3 == 0 ? "batch" : "assistants", contentType: "",
                    sizeBytes: 1)
                let upload = try await store.beginUpload(tenant: "acme", header: header)
                try await upload.append([65])
                let file = try await upload.finish()
                if file.purpose == "batch" { wanted.append(file.id) }
            }
            let first = try await store.files(tenant: "acme", page: .init(limit: 3, ascending: true), purpose: "batch")
            #expect(first.items.map(\.id) == Array(wanted.prefix(3)) && first.hasMore)
            let rest = try await store.files(
                tenant: "acme", page: .init(limit: 3, after: wanted[2], ascending: true), purpose: "batch")
            #expect(rest.items.map(\.id) == [wanted[3]] && !rest.hasMore)
        }
    }

    @Test("damaged content is refused when it is read")
    func damage() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory) { store in
            let file = try await store.upload("precious words")
            let path = try #require(StoreFixture.contents(fixture.directory).first { $0.hasSuffix(file.id) })
            try Data("precious wOrds".utf8).write(to: URL(fileURLWithPath: "\(fixture.directory)/\(path)"))
            let error = await #expect(throws: StoreError.self) {
                try await store.content(tenant: "acme", fileID: file.id)
            }
            #expect(error?.code == .dataLoss)
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            try await store.waitUntilIndexed()
            let attachment = try await store.attachment(tenant: "acme", fileID: file.id, in: collection.id)
            #expect(attachment.status == .failed && attachment.errorCode == "server_error")
        }
    }

    @Test("a tenant sees nothing of another, whatever ids it knows")
    func isolation() async throws {
        try await StoreFixture.withStore { store in
            let file = try await store.upload("Secret of acme: the pump is blue.")
            let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
            try await store.waitUntilIndexed()
            let own = try await store.upload("Something else", tenant: "rival")
            let ownCollection = try await store.createVectorStore(tenant: "rival", name: "r", fileIDs: [own.id])
            for tenant in ["rival", "nobody"] {
                let attempts: [@Sendable () async throws -> Void] = [
                    { _ = try await store.file(tenant: tenant, file.id) },
                    { _ = try await store.content(tenant: tenant, fileID: file.id) },
                    { try await store.deleteFile(tenant: tenant, file.id) },
                    { _ = try await store.vectorStore(tenant: tenant, collection.id) },
                    { try await store.deleteVectorStore(tenant: tenant, collection.id) },
                    { _ = try await store.attachment(tenant: tenant, fileID: file.id, in: collection.id) },
                    { _ = try await store.attachments(tenant: tenant, in: collection.id, page: .init()) },
                    { try await store.detach(tenant: tenant, fileID: file.id, from: collection.id) },
                    { _ = try await store.attach(tenant: tenant, fileID: file.id, to: collection.id) },
                    { _ = try await store.attach(tenant: tenant, fileID: file.id, to: ownCollection.id) },
                    { _ = try await store.createVectorStore(tenant: tenant, name: "x", fileIDs: [file.id]) },
                    { _ = try await store.files(tenant: tenant, page: .init(after: file.id)) },
                    {
                        _ = try await store.search(
                            tenant: tenant, .init(vectorStoreIDs: [collection.id], queries: ["pump"]))
                    },
                ]
                for attempt in attempts {
                    let error = await #expect(throws: StoreError.self) { try await attempt() }
                    #expect(error?.code == .notFound)
                }
            }
            #expect(try await store.files(tenant: "rival", page: .init()).items == [own])
            #expect(try await store.files(tenant: "nobody", page: .init()).items.isEmpty)
            #expect(try await store.vectorStores(tenant: "rival", page: .init()).items.count == 1)
            #expect(try await store.file(tenant: "acme", file.id) == file)
        }
    }

    @Test("names, metadata and attributes out of bounds are refused")
    func validation() async throws {
        try await StoreFixture.withStore { store in
            let file = try await store.upload("text")
            let collection = try await store.createVectorStore(
                tenant: "acme", name: "né", metadata: ["k": "v"], fileIDs: [])
            #expect(try await store.vectorStore(tenant: "acme", collection.id).metadata == ["k": "v"])
            let attempts: [@Sendable () async throws -> Void] = [
                { _ = try await store.upload("x", name: "") },
                { _ = try await store.upload("x", name: String(repeating: "n", count: 2000)) },
                { _ = try await store.upload("x", tenant: "") },
                { _ = try await store.createVectorStore(tenant: "acme", name: String(repeating: "n", count: 2000)) },
                {
                    let metadata = Dictionary(uniqueKeysWithValues: (0..<17).map { ("k\($0)", "v") })
                    _ = try await store.createVectorStore(tenant: "acme", name: "n", metadata: metadata)
                },
                {
                    _ = try await store.attach(
                        tenant: "acme", fileID: file.id, to: collection.id, chunking: .init(maxTokens: 1))
                },
                {
                    _ = try await store.attach(
                        tenant: "acme", fileID: file.id, to: collection.id, attributesJSON: "{\"a\":[1]}")
                },
                {
                    _ = try await store.attach(tenant: "acme", fileID: file.id, to: collection.id, attributesJSON: "[]")
                },
            ]
            for (index, attempt) in attempts.enumerated() {
                let error = await #expect(throws: StoreError.self, "attempt \(index)") { try await attempt() }
                #expect(error?.code == .invalidArgument, "attempt \(index)")
            }
        }
    }
}
