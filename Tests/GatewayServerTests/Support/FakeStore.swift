import Foundation
import NIOCore
import Synchronization
import Wire
import WireProtocols

/// A store in memory, with the tenant rules of the real one: real loopback Wire, no index.
final class FakeStore: Sendable {
    private struct Tenant {
        var files: [(file: Fathom_Store_V1_File, content: [UInt8])] = []
        var stores: [Fathom_Store_V1_VectorStore] = []
        var attached: [Fathom_Store_V1_VectorStoreFile] = []
    }

    private struct State {
        var tenants: [String: Tenant] = [:]
        var counter = 0
        var results: [Fathom_Store_V1_SearchResult] = []
        var searches: [Fathom_Store_V1_SearchRequest] = []
        var embeds: [Fathom_Store_V1_EmbedRequest] = []
        var created: [Fathom_Store_V1_CreateVectorStoreRequest] = []
        var largestPiece = 0
        var createFailure: RPCError?
    }

    private let state = Mutex(State())

    /// What every search finds.
    func setResults(_ results: [Fathom_Store_V1_SearchResult]) {
        state.withLock { $0.results = results }
    }

    /// What uploads fail with from now on.
    func setCreateFailure(_ error: RPCError) {
        state.withLock { $0.createFailure = error }
    }

    /// Makes the version of a tenant's stores grow.
    func touch(tenant: String) {
        state.withLock { state in
            for index in state.tenants[tenant]?.stores.indices ?? 0..<0 {
                state.tenants[tenant]?.stores[index].version += 1
            }
        }
    }

    var searches: [Fathom_Store_V1_SearchRequest] { state.withLock { $0.searches } }
    var embeds: [Fathom_Store_V1_EmbedRequest] { state.withLock { $0.embeds } }
    var created: [Fathom_Store_V1_CreateVectorStoreRequest] { state.withLock { $0.created } }
    var largestPiece: Int { state.withLock { $0.largestPiece } }
    func fileCount(tenant: String) -> Int { state.withLock { $0.tenants[tenant]?.files.count ?? 0 } }
    func content(tenant: String) -> [UInt8]? { state.withLock { $0.tenants[tenant]?.files.last?.content } }

    private static func tenant(_ context: ServerContext) throws -> String {
        guard let tenant = context.metadata[MetadataKey.tenant] else {
            throw RPCError(.unauthenticated, "no tenant")
        }
        return tenant
    }

    private static func notFound(_ what: String) -> RPCError { RPCError(.notFound, "no such \(what)") }

    private func withTenant<T: Sendable>(
        _ context: ServerContext, _ body: (inout Tenant, inout Int) throws -> T
    ) throws -> T {
        let name = try Self.tenant(context)
        return try state.withLock { state in
            var tenant = state.tenants[name] ?? Tenant()
            defer { state.tenants[name] = tenant }
            return try body(&tenant, &state.counter)
        }
    }

    private static func id(_ prefix: String, _ counter: inout Int) -> String {
        counter += 1
        let digits = String(counter, radix: 16)
        return prefix + String(repeating: "0", count: 24 - digits.count) + digits
    }

    /// Newest first unless ascending, after a cursor, cut at the limit.
    private static func page<T>(
        _ items: [T], _ page: Fathom_Store_V1_ListRequest, id: (T) -> String
    ) -> (items: [T], hasMore: Bool) {
        var items = page.ascending ? items : items.reversed()
        if let index = items.firstIndex(where: { id($0) == page.after }) { items.removeFirst(index + 1) }
        let limit = page.limit == 0 ? 20 : Int(page.limit)
        return (Array(items.prefix(limit)), items.count > limit)
    }

    func add(to router: inout RPCRouter) {
        addFiles(to: &router)
        addStores(to: &router)
        addAttachments(to: &router)
        router.unary(StoreService.search) { request, context in
            _ = try Self.tenant(context)
            for id in request.vectorStoreIds {
                try self.withTenant(context) { tenant, _ in
                    guard tenant.stores.contains(where: { $0.id == id }) else { throw Self.notFound("vector store") }
                }
            }
            return self.state.withLock { state in
                state.searches.append(request)
                var response = Fathom_Store_V1_SearchResponse()
                response.results = Array(
                    state.results.filter { $0.score >= request.scoreThreshold }.prefix(Int(request.maxResults)))
                return response
            }
        }
        router.unary(StoreService.embed) { request, context in
            _ = try Self.tenant(context)
            self.state.withLock { $0.embeds.append(request) }
            if !request.poolLongInputs { try Self.checkLengths(request) }
            var response = Fathom_Store_V1_EmbedResponse()
            response.model = "all-minilm-l6-v2"
            response.embeddings = (0..<(request.inputs.count + request.tokenInputs.count)).map { index in
                var embedding = Fathom_Store_V1_Embedding()
                embedding.values = [Float(index), 0.5, -1]
                return embedding
            }
            response.promptTokens = UInt32(
                request.inputs.count * 2 + request.tokenInputs.reduce(0) { $0 + $1.ids.count })
            return response
        }
    }

    /// Texts have a token for each word, and all inputs their two marks.
    private static func checkLengths(_ request: Fathom_Store_V1_EmbedRequest) throws {
        let counts =
            request.inputs.map { $0.split(separator: " ").count + 2 } + request.tokenInputs.map { $0.ids.count + 2 }
        guard let index = counts.firstIndex(where: { $0 > 256 }) else { return }
        throw RPCError(
            .outOfRange, "input \(index) is too long",
            metadata: [
                MetadataKey.maxContextTokens: "256", MetadataKey.inputIndex: "\(index)",
                MetadataKey.tokenCount: "\(counts[index])",
            ])
    }

    private func addFiles(to router: inout RPCRouter) {
        router.bidirectional(StoreService.createFile) { requests, writer, context in
            if let failure = self.state.withLock({ $0.createFailure }) { throw failure }
            var header: Fathom_Store_V1_FileHeader?
            var content: [UInt8] = []
            for try await request in requests {
                if request.message.hasHeader { header = request.message.header }
                guard let piece = request.attachment else { continue }
                content.append(contentsOf: piece.readableBytesView)
                self.state.withLock { $0.largestPiece = max($0.largestPiece, piece.readableBytes) }
            }
            guard let header, header.sizeBytes == UInt64(content.count) else {
                throw RPCError(.invalidArgument, "got \(content.count) bytes")
            }
            let file = try self.withTenant(context) { tenant, counter in
                var file = Fathom_Store_V1_File()
                file.id = Self.id("file-", &counter)
                file.filename = header.filename
                file.purpose = header.purpose
                file.contentType = header.contentType
                file.sizeBytes = header.sizeBytes
                file.createdAt = 1_700_000_000
                if header.expiresAfterSeconds > 0 {
                    file.expiresAt = file.createdAt + UInt64(header.expiresAfterSeconds)
                }
                tenant.files.append((file, content))
                return file
            }
            try await writer.write(file)
        }
        router.unary(StoreService.getFile) { request, context in
            try self.withTenant(context) { tenant, _ in
                guard let entry = tenant.files.first(where: { $0.file.id == request.id }) else {
                    throw Self.notFound("file")
                }
                return entry.file
            }
        }
        router.unary(StoreService.listFiles) { request, context in
            try self.withTenant(context) { tenant, _ in
                let files = tenant.files.map(\.file).filter { request.purpose.isEmpty || $0.purpose == request.purpose }
                let page = Self.page(files, request) { $0.id }
                var response = Fathom_Store_V1_ListFilesResponse()
                response.files = page.items
                response.hasMore_p = page.hasMore
                return response
            }
        }
        router.unary(StoreService.deleteFile) { request, context in
            try self.withTenant(context) { tenant, _ in
                guard tenant.files.contains(where: { $0.file.id == request.id }) else { throw Self.notFound("file") }
                tenant.files.removeAll { $0.file.id == request.id }
                return Self.deleted(request.id)
            }
        }
        router.serverStreaming(StoreService.readFile) { request, writer, context in
            let content = try self.withTenant(context) { tenant, _ in
                guard let entry = tenant.files.first(where: { $0.file.id == request.id }) else {
                    throw Self.notFound("file")
                }
                return entry.content
            }
            for start in stride(from: 0, to: content.count, by: 1_000) {
                var chunk = Fathom_Store_V1_FileChunk()
                chunk.offset = UInt64(start)
                let end = min(start + 1_000, content.count)
                try await writer.write(chunk, attachment: ByteBuffer(bytes: content[start..<end]))
            }
        }
    }

    private func addStores(to router: inout RPCRouter) {
        router.unary(StoreService.createVectorStore) { request, context in
            self.state.withLock { $0.created.append(request) }
            return try self.withTenant(context) { tenant, counter in
                var store = Fathom_Store_V1_VectorStore()
                store.id = Self.id("vs_", &counter)
                store.name = request.name
                store.metadata = request.metadata
                store.createdAt = 1_700_000_000
                store.version = 1
                store.expiresAfterDays = request.expiresAfterDays
                if request.expiresAfterDays > 0 {
                    store.expiresAt = store.createdAt + UInt64(request.expiresAfterDays) * 86_400
                }
                store.fileCounts.completed = UInt32(request.fileIds.count)
                store.fileCounts.total = UInt32(request.fileIds.count)
                tenant.stores.append(store)
                return store
            }
        }
        router.unary(StoreService.getVectorStore) { request, context in
            try self.withTenant(context) { tenant, _ in
                guard let store = tenant.stores.first(where: { $0.id == request.id }) else {
                    throw Self.notFound("vector store")
                }
                return store
            }
        }
        router.unary(StoreService.listVectorStores) { request, context in
            try self.withTenant(context) { tenant, _ in
                let page = Self.page(tenant.stores, request) { $0.id }
                var response = Fathom_Store_V1_ListVectorStoresResponse()
                response.vectorStores = page.items
                response.hasMore_p = page.hasMore
                return response
            }
        }
        router.unary(StoreService.deleteVectorStore) { request, context in
            try self.withTenant(context) { tenant, _ in
                guard tenant.stores.contains(where: { $0.id == request.id }) else {
                    throw Self.notFound("vector store")
                }
                tenant.stores.removeAll { $0.id == request.id }
                return Self.deleted(request.id)
            }
        }
    }

    private func addAttachments(to router: inout RPCRouter) {
        router.unary(StoreService.attachFile) { request, context in
            try self.withTenant(context) { tenant, _ in
                guard tenant.files.contains(where: { $0.file.id == request.fileID }) else {
                    throw Self.notFound("file")
                }
                var file = Fathom_Store_V1_VectorStoreFile()
                file.fileID = request.fileID
                file.vectorStoreID = request.vectorStoreID
                file.status = .completed
                file.attributesJson = request.attributesJson
                file.chunking = request.chunking
                file.chunkCount = 3
                file.indexedChunks = 3
                file.documentID = request.documentID
                file.ownsFile = request.ownsFile
                file.sha256 = "sha-of-file"
                tenant.attached.append(file)
                return file
            }
        }
        router.unary(StoreService.getVectorStoreFile) { request, context in
            try self.withTenant(context) { tenant, _ in
                guard let file = tenant.attached.first(where: { $0.fileID == request.fileID }) else {
                    throw Self.notFound("file of this vector store")
                }
                return file
            }
        }
        router.unary(StoreService.listVectorStoreFiles) { request, context in
            try self.withTenant(context) { tenant, _ in
                let matching = tenant.attached.filter {
                    $0.vectorStoreID == request.vectorStoreID
                        && (request.filter == .unspecified || $0.status == request.filter)
                        && (request.documentID.isEmpty || $0.documentID == request.documentID)
                }
                var response = Fathom_Store_V1_ListVectorStoreFilesResponse()
                response.files = matching
                return response
            }
        }
        router.unary(StoreService.detachFile) { request, context in
            try self.withTenant(context) { tenant, _ in
                tenant.attached.removeAll { $0.fileID == request.fileID }
                return Self.deleted(request.fileID)
            }
        }
    }

    private static func deleted(_ id: String) -> Fathom_Store_V1_DeleteResponse {
        var response = Fathom_Store_V1_DeleteResponse()
        response.id = id
        response.deleted = true
        return response
    }

    static func result(
        _ text: String, file: String = "file-1", name: String = "handbook.md", score: Double = 0.9
    ) -> Fathom_Store_V1_SearchResult {
        var result = Fathom_Store_V1_SearchResult()
        result.fileID = file
        result.filename = name
        result.vectorStoreID = "vs_1"
        result.score = score
        result.text = text
        result.startByte = 10
        result.endByte = 10 + UInt64(text.utf8.count)
        result.sha256 = "sha-of-\(text.utf8.count)"
        result.headings = ["Travel"]
        return result
    }
}
