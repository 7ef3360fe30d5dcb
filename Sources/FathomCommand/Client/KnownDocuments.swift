/// What a vector store holds, as far as `fathom ingest` wants to know it.
package struct KnownDocuments: Sendable {
    private var versions: [String: [VectorStoreFileObject]] = [:]
    /// Files that are no version of a document, by the SHA-256 of their bytes: of other clients, or of an ingest that
    /// did not know documents yet.
    private var unnamed: [String: [VectorStoreFileObject]] = [:]

    package init(_ files: [VectorStoreFileObject]) {
        for file in files {
            if let document = file.documentID, !document.isEmpty {
                versions[document, default: []].append(file)
            } else if let sha256 = file.sha256, file.status == "completed" || file.status == "in_progress" {
                unnamed[sha256, default: []].append(file)
            }
        }
    }

    /// What is to be done about a document.
    package enum Action: Sendable, Equatable {
        /// Its bytes are there, and searchable unless `isIndexed` is false.
        case keep(file: String, isIndexed: Bool)
        /// Its bytes are there without a name; the file gets it.
        case adopt(file: String)
        /// It is new.
        case add
        /// Another version is there.
        case replace
    }

    package func action(for document: String, sha256: String) -> Action {
        let versions = versions[document] ?? []
        let same = versions.filter { $0.sha256 == sha256 }
        // A version on its way is the latest; what is indexed will be replaced by it.
        if let waiting = versions.first(where: { $0.status == "in_progress" }) {
            return waiting.sha256 == sha256 ? .keep(file: waiting.id, isIndexed: false) : .replace
        }
        if let indexed = same.first(where: { $0.status == "completed" }) {
            return .keep(file: indexed.id, isIndexed: true)
        }
        if versions.contains(where: { $0.status == "completed" }) { return .replace }
        if let file = unnamed[sha256]?.first { return .adopt(file: file.id) }
        return .add
    }

    /// A file that was adopted has a name now.
    mutating func forgetUnnamed(_ file: String, sha256: String) {
        unnamed[sha256]?.removeAll { $0.id == file }
    }

    /// Documents that are gone from where they were, with all their versions, in order.
    package func gone(_ isGone: (String) -> Bool) -> [(document: String, files: [String])] {
        versions.filter { isGone($0.key) }.sorted { $0.key < $1.key }.map { ($0.key, $0.value.map(\.id)) }
    }
}
