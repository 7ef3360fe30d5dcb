import Foundation
import NIOCore

/// What `ingest` and `ask` do with files and vector stores.
extension GatewayClient {
    /// Most pages of a listing that are read; a bound for a server that never says "no more".
    private static let maximumPages = 2000

    private struct CreateStore: Encodable { var name: String }

    private struct Attach: Encodable {
        var fileID: String
        var documentID: String
        var ownsFile: Bool?

        enum CodingKeys: String, CodingKey {
            case fileID = "file_id"
            case documentID = "document_id"
            case ownsFile = "owns_file"
        }
    }

    /// The id of the vector store called `name`: the oldest one when there are several, nil when there is none.
    func findVectorStore(named name: String) async throws -> String? {
        var found: String?
        try await list("/v1/vector_stores", id: \VectorStoreObject.id) { if $0.name == name { found = $0.id } }
        return found
    }

    /// Makes a vector store and returns its id.
    func createVectorStore(named name: String) async throws -> String {
        let store: VectorStoreObject = try await post("/v1/vector_stores", json: CreateStore(name: name))
        return store.id
    }

    /// Attaches a file as the next version of a document; it is chunked and embedded in the background.
    ///
    /// - Parameter ownsFile: The file is deleted when another version replaces it.
    func attach(file: String, to store: String, document: String, ownsFile: Bool = false) async throws {
        let attach = Attach(fileID: file, documentID: document, ownsFile: ownsFile ? true : nil)
        let _: VectorStoreFileObject = try await post("/v1/vector_stores/\(store)/files", json: attach)
    }

    /// Takes a file out of a vector store; one that is not there any more is fine.
    func detach(file: String, from store: String) async throws {
        do {
            let _: ObjectID = try await delete("/v1/vector_stores/\(store)/files/\(file)")
        } catch let error as CommandError where (error.cause as? HTTPFailure)?.status == 404 {
            return
        }
    }

    /// How far a file of a store is.
    func vectorStoreFile(_ file: String, in store: String) async throws -> VectorStoreFileObject {
        try await get("/v1/vector_stores/\(store)/files/\(file)")
    }

    /// All files of a store.
    func vectorStoreFiles(in store: String) async throws -> [VectorStoreFileObject] {
        var files: [VectorStoreFileObject] = []
        try await list("/v1/vector_stores/\(store)/files", id: \VectorStoreFileObject.id) { files.append($0) }
        return files
    }

    /// Reads a listing page by page, newest first.
    private func list<Element: Decodable & Sendable>(
        _ path: String, id: (Element) -> String, _ body: (Element) -> Void
    ) async throws {
        var after: String?
        for _ in 0..<Self.maximumPages {
            let page: ListObject<Element> = try await get(
                path + "?limit=100" + (after.map { "&after=\($0)" } ?? ""))
            page.data.forEach(body)
            guard page.hasMore == true, let last = page.data.last else { break }
            after = id(last)
        }
    }
}
