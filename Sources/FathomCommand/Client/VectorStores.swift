import Foundation
import NIOCore

/// What `ingest` and `ask` do with files and vector stores.
extension GatewayClient {
    /// Most pages of a listing that are read; a bound for a server that never says "no more".
    private static let maximumPages = 100

    private struct CreateStore: Encodable { var name: String }

    private struct Attach: Encodable {
        var fileID: String

        enum CodingKeys: String, CodingKey { case fileID = "file_id" }
    }

    /// The id of the vector store called `name`: the oldest one when there are several, nil when there is none.
    func findVectorStore(named name: String) async throws -> String? {
        var after: String?
        var found: String?
        for _ in 0..<Self.maximumPages {
            let path = "/v1/vector_stores?limit=100" + (after.map { "&after=\($0)" } ?? "")
            let page: ListObject<VectorStoreObject> = try await get(path)
            found = page.data.last { $0.name == name }?.id ?? found
            guard page.hasMore == true, let last = page.data.last else { break }
            after = last.id
        }
        return found
    }

    /// Makes a vector store and returns its id.
    func createVectorStore(named name: String) async throws -> String {
        let store: VectorStoreObject = try await post("/v1/vector_stores", json: CreateStore(name: name))
        return store.id
    }

    /// Attaches a file; it is chunked and embedded in the background.
    func attach(file: String, to store: String) async throws {
        let _: VectorStoreFileObject = try await post("/v1/vector_stores/\(store)/files", json: Attach(fileID: file))
    }

    /// How far a file of a store is.
    func vectorStoreFile(_ file: String, in store: String) async throws -> VectorStoreFileObject {
        try await get("/v1/vector_stores/\(store)/files/\(file)")
    }
}
