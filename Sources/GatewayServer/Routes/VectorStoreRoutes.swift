import HTTPTypes
import Hummingbird
import NIOCore
import WireProtocols

/// `/v1/vector_stores`, its files, and its search.
struct VectorStoreRoutes: Sendable {
    /// Most files attached when a store is made.
    private static let maximumFileCount = 100
    /// Most metadata entries of a store.
    private static let maximumMetadataCount = 16
    /// Most queries of one search.
    private static let maximumQueryCount = 8
    /// Longest document id, in bytes.
    private static let maximumDocumentIDSize = 1_024
    /// Longest query, in bytes.
    private static let maximumQuerySize = 4_096

    let configuration: GatewayConfiguration
    let store: StoreClient

    func add(to router: Router<GatewayContext>) {
        router.post("/v1/vector_stores") { request, context in try await create(request, context) }
        router.get("/v1/vector_stores") { request, context in
            let page = try Listing.page(request)
            let response = try await store.listVectorStores(page, scope: context.scope)
            return Listing.response(response.vectorStores.map(Self.json), hasMore: response.hasMore_p)
        }
        router.get("/v1/vector_stores/:id") { _, context in
            let id = try context.parameters.require("id")
            return Response.json(Self.json(try await store.getVectorStore(id, scope: context.scope)))
        }
        router.delete("/v1/vector_stores/:id") { _, context in
            let id = try context.parameters.require("id")
            let response = try await store.deleteVectorStore(id, scope: context.scope)
            return Listing.deletion(response, object: "vector_store.deleted")
        }
        router.post("/v1/vector_stores/:id/search") { request, context in try await search(request, context) }
        addFileRoutes(to: router)
    }

    private func addFileRoutes(to router: Router<GatewayContext>) {
        router.post("/v1/vector_stores/:id/files") { request, context in try await attach(request, context) }
        router.get("/v1/vector_stores/:id/files") { request, context in
            var list = Fathom_Store_V1_ListVectorStoreFilesRequest()
            list.vectorStoreID = try context.parameters.require("id")
            list.page = try Listing.page(request)
            list.filter = try Self.filter(request)
            list.documentID = request.uri.queryParameters["document_id"].map { String($0) } ?? ""
            let response = try await store.listVectorStoreFiles(list, scope: context.scope)
            return Listing.response(response.files.map(Self.json), hasMore: response.hasMore_p)
        }
        router.get("/v1/vector_stores/:id/files/:file") { _, context in
            let file = try await store.getVectorStoreFile(
                store: try context.parameters.require("id"), file: try context.parameters.require("file"),
                scope: context.scope)
            return Response.json(Self.json(file))
        }
        router.delete("/v1/vector_stores/:id/files/:file") { _, context in
            let response = try await store.detachFile(
                store: try context.parameters.require("id"), file: try context.parameters.require("file"),
                scope: context.scope)
            return Listing.deletion(response, object: "vector_store.file.deleted")
        }
    }

    // MARK: Stores

    private func create(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let fields = JSONFields(try await request.jsonObject(limit: configuration.maximumBodySize))
        var create = Fathom_Store_V1_CreateVectorStoreRequest()
        create.name = try fields.string("name") ?? ""
        create.fileIds = try Self.strings("file_ids", fields, maximumCount: Self.maximumFileCount)
        create.expiresAfterDays = try Expiry.days(fields)
        if let chunking = try Self.chunking(fields) { create.chunking = chunking }
        if let metadata = fields["metadata"] {
            guard let object = metadata.object else { throw fields.wrongType("metadata", "an object", metadata) }
            guard object.members.count <= Self.maximumMetadataCount else {
                throw fields.outOfRange(
                    "metadata", "\(object.members.count) entries", "with at most \(Self.maximumMetadataCount) entries")
            }
            for member in object.members {
                guard let value = member.value.string, member.name.utf8.count <= 64, value.utf8.count <= 512 else {
                    throw APIError.invalid(
                        "'metadata' must hold strings of at most 512 bytes under names of at most 64.",
                        parameter: "metadata")
                }
                create.metadata[member.name] = value
            }
        }
        return .json(Self.json(try await store.createVectorStore(create, scope: context.scope)))
    }

    static func json(_ store: Fathom_Store_V1_VectorStore) -> JSONValue {
        let counts = store.fileCounts
        let metadata = store.metadata.sorted { $0.key < $1.key }.map {
            JSONObject.Member(name: $0.key, value: .string($0.value))
        }
        return [
            "id": .string(store.id), "object": "vector_store", "created_at": .integer(Int(clamping: store.createdAt)),
            "name": .string(store.name), "usage_bytes": .integer(Int(clamping: store.usageBytes)),
            "file_counts": [
                "in_progress": .integer(Int(counts.inProgress)), "completed": .integer(Int(counts.completed)),
                "failed": .integer(Int(counts.failed)), "cancelled": .integer(Int(counts.cancelled)),
                "total": .integer(Int(counts.total)),
            ],
            "status": counts.inProgress > 0 ? "in_progress" : "completed",
            "expires_after": store.expiresAfterDays == 0
                ? .null : ["anchor": "last_active_at", "days": .integer(Int(store.expiresAfterDays))],
            "expires_at": Expiry.json(store.expiresAt),
            "last_active_at": .integer(Int(clamping: store.lastActiveAt)), "metadata": .object(JSONObject(metadata)),
        ]
    }

    // MARK: Files of a store

    private func attach(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let fields = JSONFields(try await request.jsonObject(limit: configuration.maximumBodySize))
        var attach = Fathom_Store_V1_AttachFileRequest()
        attach.vectorStoreID = try context.parameters.require("id")
        attach.fileID = try fields.requiredString("file_id")
        attach.documentID = try fields.string("document_id") ?? ""
        guard attach.documentID.utf8.count <= Self.maximumDocumentIDSize else {
            throw fields.outOfRange(
                "document_id", "\(attach.documentID.utf8.count) bytes", "of at most \(Self.maximumDocumentIDSize) bytes"
            )
        }
        attach.ownsFile = try fields.bool("owns_file") ?? false
        if let attributes = fields["attributes"] {
            attach.attributesJson = try Self.attributes(attributes, fields)
        }
        if let chunking = try Self.chunking(fields) { attach.chunking = chunking }
        return .json(Self.json(try await store.attachFile(attach, scope: context.scope)))
    }

    /// The `chunking_strategy` of a body; nil: ours to choose.
    private static func chunking(_ fields: JSONFields) throws(APIError) -> Fathom_Store_V1_ChunkingStrategy? {
        guard let strategy = try fields.object("chunking_strategy") else { return nil }
        switch try strategy.requiredString("type") {
        case "auto": return nil
        case "static":
            guard let sizes = try strategy.object("static") else { throw strategy.missing("static") }
            let size = try sizes.integer("max_chunk_size_tokens", in: 16...4_096) ?? 200
            let overlap = try sizes.integer("chunk_overlap_tokens", in: 0...2_048) ?? 0
            guard overlap <= size / 2 else {
                throw sizes.outOfRange("chunk_overlap_tokens", "\(overlap)", "of at most half the chunk size")
            }
            var chunking = Fathom_Store_V1_ChunkingStrategy()
            chunking.maxChunkTokens = UInt32(size)
            chunking.overlapTokens = UInt32(overlap)
            return chunking
        default:
            throw .invalid(
                "'chunking_strategy.type' must be 'auto' or 'static'.", parameter: "chunking_strategy.type",
                code: "invalid_value")
        }
    }

    private static func attributes(_ value: JSONValue, _ fields: JSONFields) throws(APIError) -> String {
        guard let object = value.object else { throw fields.wrongType("attributes", "an object", value) }
        let isFlat = object.members.allSatisfy {
            $0.value.string != nil || $0.value.number != nil || $0.value.bool != nil
        }
        guard isFlat, object.members.count <= maximumMetadataCount else {
            throw .invalid(
                "'attributes' must hold at most \(maximumMetadataCount) strings, numbers or booleans.",
                parameter: "attributes")
        }
        return value.text
    }

    private static func filter(_ request: Request) throws(APIError) -> Fathom_Store_V1_VectorStoreFile.Status {
        switch request.uri.queryParameters["filter"] {
        case nil: .unspecified
        case "in_progress": .inProgress
        case "completed": .completed
        case "failed": .failed
        case "cancelled": .cancelled
        default:
            throw .invalid(
                "'filter' must be in_progress, completed, failed or cancelled.", parameter: "filter")
        }
    }

    static func json(_ file: Fathom_Store_V1_VectorStoreFile) -> JSONValue {
        let status =
            switch file.status {
            case .inProgress: "in_progress"
            case .failed: "failed"
            case .cancelled: "cancelled"
            default: "completed"
            }
        let error: JSONValue =
            file.status == .failed
            ? ["code": .string(file.errorCode), "message": .string(file.errorMessage)] : .null
        return [
            "id": .string(file.fileID), "object": "vector_store.file",
            "usage_bytes": .integer(Int(clamping: file.usageBytes)),
            "created_at": .integer(Int(clamping: file.createdAt)), "vector_store_id": .string(file.vectorStoreID),
            "status": .string(status), "last_error": error,
            "chunking_strategy": [
                "type": "static",
                "static": [
                    "max_chunk_size_tokens": .integer(Int(file.chunking.maxChunkTokens)),
                    "chunk_overlap_tokens": .integer(Int(file.chunking.overlapTokens)),
                ],
            ],
            "attributes": attributes(file.attributesJson), "chunk_count": .integer(Int(file.chunkCount)),
            "document_id": file.documentID.isEmpty ? .null : .string(file.documentID),
            "indexed_chunks": .integer(Int(file.indexedChunks)), "owns_file": .bool(file.ownsFile),
            "sha256": .string(file.sha256),
        ]
    }

    /// Attributes as the store keeps them; an empty object when there are none.
    private static func attributes(_ json: String) -> JSONValue {
        json.isEmpty ? .object(JSONObject()) : (try? JSONParser.parse(json)) ?? .object(JSONObject())
    }

    // MARK: Search

    private func search(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let fields = JSONFields(try await request.jsonObject(limit: configuration.maximumBodySize))
        try BodyMembers.check(fields, .search)
        var search = Fathom_Store_V1_SearchRequest()
        search.vectorStoreIds = [try context.parameters.require("id")]
        if let query = fields["query"]?.string {
            search.queries = [query]
        } else {
            search.queries = try Self.strings("query", fields, maximumCount: Self.maximumQueryCount)
        }
        guard !search.queries.isEmpty else { throw fields.missing("query") }
        for query in search.queries where !(1...Self.maximumQuerySize).contains(query.utf8.count) {
            throw fields.outOfRange(
                "query", "a query of \(query.utf8.count) bytes", "of 1 to \(Self.maximumQuerySize) bytes")
        }
        search.maxResults = UInt32(try fields.integer("max_num_results", in: 1...50) ?? 10)
        if let ranking = try fields.object("ranking_options") {
            try BodyMembers.check(ranking, .rankingOptions)
            search.scoreThreshold = try ranking.number("score_threshold", in: 0...1) ?? 0
        }
        let results = try await store.search(search, scope: context.scope).results
        return .json([
            "object": "vector_store.search_results.page",
            "search_query": .array(search.queries.map { .string($0) }),
            "data": .array(results.map(Self.json)), "has_more": false, "next_page": nil,
        ])
    }

    private static func json(_ result: Fathom_Store_V1_SearchResult) -> JSONValue {
        [
            "file_id": .string(result.fileID), "filename": .string(result.filename), "score": .number(result.score),
            "attributes": attributes(result.attributesJson),
            "content": [["type": "text", "text": .string(result.text)]],
            "chunk": [
                "index": .integer(Int(result.chunkIndex)), "start_byte": .integer(Int(clamping: result.startByte)),
                "end_byte": .integer(Int(clamping: result.endByte)), "sha256": .string(result.sha256),
                "vector_store_id": .string(result.vectorStoreID),
                "headings": .array(result.headings.map { .string($0) }),
            ],
        ]
    }

    private static func strings(
        _ name: String, _ fields: JSONFields, maximumCount: Int
    ) throws(APIError) -> [String] {
        var strings: [String] = []
        for element in try fields.array(name, maximumCount: maximumCount) ?? [] {
            guard let text = element.string else { throw fields.wrongType(name, "an array of strings", element) }
            strings.append(text)
        }
        return strings
    }
}
