import NIOCore
import Wire
import WireProtocols

/// Calls to the store, each made for one tenant.
package struct StoreClient: Sendable {
    private let client: WireClient
    private let timeout: Duration

    /// - Parameters:
    ///   - timeout: for everything but uploads and downloads, which have `transferTimeout`.
    package init(_ client: WireClient, timeout: Duration = .seconds(30)) {
        self.client = client
        self.timeout = timeout
    }

    /// Longest an upload to, or a download from, the store may take.
    static let transferTimeout = Duration.seconds(120)

    // MARK: Files

    /// Uploads a file whose bytes `pieces` yields; they must be as many as the header says.
    func createFile(
        _ header: Fathom_Store_V1_FileHeader, pieces: () throws -> ByteBuffer?, scope: RequestScope
    ) async throws -> Fathom_Store_V1_File {
        try await client.bidirectional(StoreService.createFile, options: options(scope, Self.transferTimeout)) {
            writer, responses in
            var first = Fathom_Store_V1_CreateFileRequest()
            first.header = header
            try await writer.write(first)
            while let piece = try pieces() {
                try await writer.write(Fathom_Store_V1_CreateFileRequest(), attachment: piece)
            }
            writer.finish()
            for try await response in responses { return response.message }
            throw RPCError(.unavailable, "the store ended an upload without an answer")
        }
    }

    func getFile(_ id: String, scope: RequestScope) async throws -> Fathom_Store_V1_File {
        try await client.unary(StoreService.getFile, Self.file(id), options: options(scope))
    }

    func listFiles(
        _ page: Fathom_Store_V1_ListRequest, scope: RequestScope
    ) async throws
        -> Fathom_Store_V1_ListFilesResponse
    {
        try await client.unary(StoreService.listFiles, page, options: options(scope))
    }

    func deleteFile(_ id: String, scope: RequestScope) async throws -> Fathom_Store_V1_DeleteResponse {
        try await client.unary(StoreService.deleteFile, Self.file(id), options: options(scope))
    }

    /// The content, in attachments.
    func readFile(_ id: String, scope: RequestScope) async throws -> RPCResponses<Fathom_Store_V1_FileChunk> {
        try await client.serverStreaming(
            StoreService.readFile, Self.file(id), options: options(scope, Self.transferTimeout))
    }

    // MARK: Vector stores

    func createVectorStore(
        _ request: Fathom_Store_V1_CreateVectorStoreRequest, scope: RequestScope
    ) async throws -> Fathom_Store_V1_VectorStore {
        try await client.unary(StoreService.createVectorStore, request, options: options(scope))
    }

    func getVectorStore(_ id: String, scope: RequestScope) async throws -> Fathom_Store_V1_VectorStore {
        try await client.unary(StoreService.getVectorStore, Self.vectorStore(id), options: options(scope))
    }

    func listVectorStores(
        _ page: Fathom_Store_V1_ListRequest, scope: RequestScope
    ) async throws -> Fathom_Store_V1_ListVectorStoresResponse {
        try await client.unary(StoreService.listVectorStores, page, options: options(scope))
    }

    func deleteVectorStore(_ id: String, scope: RequestScope) async throws -> Fathom_Store_V1_DeleteResponse {
        try await client.unary(StoreService.deleteVectorStore, Self.vectorStore(id), options: options(scope))
    }

    func attachFile(
        _ request: Fathom_Store_V1_AttachFileRequest, scope: RequestScope
    ) async throws -> Fathom_Store_V1_VectorStoreFile {
        try await client.unary(StoreService.attachFile, request, options: options(scope))
    }

    func getVectorStoreFile(
        store: String, file: String, scope: RequestScope
    ) async throws -> Fathom_Store_V1_VectorStoreFile {
        try await client.unary(
            StoreService.getVectorStoreFile, Self.vectorStoreFile(store, file), options: options(scope))
    }

    func listVectorStoreFiles(
        _ request: Fathom_Store_V1_ListVectorStoreFilesRequest, scope: RequestScope
    ) async throws -> Fathom_Store_V1_ListVectorStoreFilesResponse {
        try await client.unary(StoreService.listVectorStoreFiles, request, options: options(scope))
    }

    func detachFile(store: String, file: String, scope: RequestScope) async throws -> Fathom_Store_V1_DeleteResponse {
        try await client.unary(StoreService.detachFile, Self.vectorStoreFile(store, file), options: options(scope))
    }

    // MARK: Search

    func search(
        _ request: Fathom_Store_V1_SearchRequest, scope: RequestScope
    ) async throws -> Fathom_Store_V1_SearchResponse {
        try await client.unary(StoreService.search, request, options: options(scope))
    }

    func embed(
        _ request: Fathom_Store_V1_EmbedRequest, scope: RequestScope
    ) async throws
        -> Fathom_Store_V1_EmbedResponse
    {
        try await client.unary(StoreService.embed, request, options: options(scope))
    }

    // MARK: Messages

    private func options(_ scope: RequestScope, _ timeout: Duration? = nil) -> CallOptions {
        CallOptions(timeout: timeout ?? self.timeout, metadata: scope.metadata)
    }

    private static func file(_ id: String) -> Fathom_Store_V1_GetFileRequest {
        var request = Fathom_Store_V1_GetFileRequest()
        request.id = id
        return request
    }

    private static func vectorStore(_ id: String) -> Fathom_Store_V1_GetVectorStoreRequest {
        var request = Fathom_Store_V1_GetVectorStoreRequest()
        request.id = id
        return request
    }

    private static func vectorStoreFile(_ store: String, _ file: String) -> Fathom_Store_V1_VectorStoreFileRequest {
        var request = Fathom_Store_V1_VectorStoreFileRequest()
        request.vectorStoreID = store
        request.fileID = file
        return request
    }
}
