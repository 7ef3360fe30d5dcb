import RetrievalCore

/// An uploaded file.
package struct FileRecord: Sendable, Equatable {
    /// "file-" and 24 hex digits.
    package var id: String
    package var filename: String
    package var purpose: String
    package var contentType: String
    package var sizeBytes: Int
    /// Unix seconds.
    package var createdAt: Int
    /// SHA-256 of the content, hex.
    package var sha256: String
    /// Unix seconds at which the file is deleted; nil: never.
    package var expiresAt: Int?
}

/// A collection that files are attached to and that is searched as one.
package struct VectorStoreRecord: Sendable, Equatable {
    /// Attachments by status.
    package struct FileCounts: Sendable, Equatable {
        package var inProgress = 0
        package var completed = 0
        package var failed = 0
        package var cancelled = 0

        package init(inProgress: Int = 0, completed: Int = 0, failed: Int = 0, cancelled: Int = 0) {
            self.inProgress = inProgress
            self.completed = completed
            self.failed = failed
            self.cancelled = cancelled
        }

        package var total: Int { inProgress + completed + failed + cancelled }
    }

    /// "vs_" and 24 hex digits.
    package var id: String
    package var name: String
    package var metadata: [String: String]
    /// Unix seconds.
    package var createdAt: Int
    /// Unix seconds of the last change or search, exact to a minute.
    package var lastActiveAt: Int
    /// Grows with every change of what a search can find.
    package var version: Int
    /// Bytes of chunk texts and embeddings.
    package var usageBytes: Int
    package var fileCounts: FileCounts
    /// Days without activity after which the vector store is deleted; 0: never.
    package var expiresAfterDays: Int

    /// Unix seconds; nil: never.
    package var expiresAt: Int? { expiresAfterDays > 0 ? lastActiveAt + expiresAfterDays * 86_400 : nil }
}

/// A file in a vector store.
package struct AttachmentRecord: Sendable, Equatable {
    /// Where indexing is.
    package enum Status: Int, Sendable, CaseIterable {
        /// Waits or is being indexed. Leaves to any of the others.
        case inProgress = 0
        /// Searchable.
        case completed = 1
        /// Cannot be indexed; attaching again tries again.
        case failed = 2
        /// Given up: a newer version of its document came while it waited.
        case cancelled = 3
    }

    package var fileID: String
    package var vectorStoreID: String
    package var status: Status
    /// "unsupported_file", "invalid_file" or "server_error" when failed, else empty.
    package var errorCode: String
    package var errorMessage: String
    /// Unix seconds.
    package var createdAt: Int
    package var usageBytes: Int
    /// Chunks of the file; 0 while they are not known.
    package var chunkCount: Int
    /// Chunks embedded so far.
    package var indexedChunks: Int
    package var chunking: Chunker.Parameters
    /// JSON object, or empty.
    package var attributesJSON: String
    /// Which document of the vector store the file is a version of; empty: of none.
    package var documentID: String
    /// True when the file is deleted with its last attachment.
    package var ownsFile: Bool
    /// SHA-256 of the file's bytes, hex.
    package var sha256: String
}

/// Which part of a listing is wanted.
package struct Page: Sendable, Equatable {
    /// Entries at most, 1...100.
    package var limit: Int
    /// The id of the entry before the first wanted one; nil: from the start.
    package var after: String?
    /// Oldest first instead of newest first.
    package var ascending: Bool

    package init(limit: Int = 20, after: String? = nil, ascending: Bool = false) {
        self.limit = limit
        self.after = after
        self.ascending = ascending
    }

    func validate() throws {
        guard (1...100).contains(limit) else {
            throw StoreError(code: .invalidArgument, message: "limit must be 1...100, got \(limit)")
        }
    }
}

/// One page of a listing.
package struct Listing<Item: Sendable>: Sendable {
    package var items: [Item]
    /// True when more entries follow the last of `items`.
    package var hasMore: Bool

    /// - Parameter fetched: Up to `limit + 1` entries; the one too many only says that there are more.
    init(fetched: [Item], limit: Int) {
        items = Array(fetched.prefix(limit))
        hasMore = fetched.count > limit
    }
}
