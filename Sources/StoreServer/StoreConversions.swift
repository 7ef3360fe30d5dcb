import DocumentStore
import RetrievalCore
import Wire
import WireProtocols

// Between the store's values and their wire form.

extension FileRecord {
    func proto() -> Fathom_Store_V1_File {
        var proto = Fathom_Store_V1_File()
        proto.id = id
        proto.filename = filename
        proto.purpose = purpose
        proto.contentType = contentType
        proto.sizeBytes = UInt64(sizeBytes)
        proto.createdAt = UInt64(createdAt)
        proto.sha256 = sha256
        proto.expiresAt = UInt64(expiresAt ?? 0)
        return proto
    }
}

extension VectorStoreRecord {
    func proto() -> Fathom_Store_V1_VectorStore {
        var counts = Fathom_Store_V1_FileCounts()
        counts.inProgress = UInt32(fileCounts.inProgress)
        counts.completed = UInt32(fileCounts.completed)
        counts.failed = UInt32(fileCounts.failed)
        counts.cancelled = UInt32(fileCounts.cancelled)
        counts.total = UInt32(fileCounts.total)
        var proto = Fathom_Store_V1_VectorStore()
        proto.id = id
        proto.name = name
        proto.createdAt = UInt64(createdAt)
        proto.usageBytes = UInt64(usageBytes)
        proto.fileCounts = counts
        proto.metadata = metadata
        proto.version = UInt64(version)
        proto.lastActiveAt = UInt64(lastActiveAt)
        proto.expiresAfterDays = UInt32(expiresAfterDays)
        proto.expiresAt = UInt64(expiresAt ?? 0)
        return proto
    }
}

extension AttachmentRecord {
    func proto() -> Fathom_Store_V1_VectorStoreFile {
        var strategy = Fathom_Store_V1_ChunkingStrategy()
        strategy.maxChunkTokens = UInt32(chunking.maxTokens)
        strategy.overlapTokens = UInt32(chunking.overlapTokens)
        var proto = Fathom_Store_V1_VectorStoreFile()
        proto.fileID = fileID
        proto.vectorStoreID = vectorStoreID
        proto.status = status.proto()
        proto.errorCode = errorCode
        proto.errorMessage = errorMessage
        proto.createdAt = UInt64(createdAt)
        proto.usageBytes = UInt64(usageBytes)
        proto.chunkCount = UInt32(chunkCount)
        proto.chunking = strategy
        proto.attributesJson = attributesJSON
        proto.documentID = documentID
        proto.ownsFile = ownsFile
        proto.sha256 = sha256
        proto.indexedChunks = UInt32(indexedChunks)
        return proto
    }
}

extension AttachmentRecord.Status {
    func proto() -> Fathom_Store_V1_VectorStoreFile.Status {
        switch self {
        case .inProgress: .inProgress
        case .completed: .completed
        case .failed: .failed
        case .cancelled: .cancelled
        }
    }

    /// The status to filter by; nil for all.
    static func filter(_ proto: Fathom_Store_V1_VectorStoreFile.Status) throws -> Self? {
        switch proto {
        case .unspecified: return nil
        case .inProgress: return .inProgress
        case .completed: return .completed
        case .failed: return .failed
        case .cancelled: return .cancelled
        case .UNRECOGNIZED(let value): throw RPCError(.invalidArgument, "unknown status \(value)")
        }
    }
}

extension SearchHit {
    func proto() -> Fathom_Store_V1_SearchResult {
        var proto = Fathom_Store_V1_SearchResult()
        proto.fileID = fileID
        proto.filename = filename
        proto.vectorStoreID = vectorStoreID
        proto.score = score
        proto.text = text
        proto.chunkIndex = UInt32(chunkIndex)
        proto.startByte = UInt64(range.lowerBound)
        proto.endByte = UInt64(range.upperBound)
        proto.sha256 = sha256
        proto.attributesJson = attributesJSON
        proto.headings = headings
        return proto
    }
}

extension Fathom_Store_V1_ListRequest {
    func native() -> Page {
        Page(limit: limit == 0 ? 20 : Int(limit), after: after.isEmpty ? nil : after, ascending: ascending)
    }
}

extension Fathom_Store_V1_AttachFileRequest {
    func native() -> AttachmentOptions {
        AttachmentOptions(
            chunking: chunking.native(), attributesJSON: attributesJson, documentID: documentID, ownsFile: ownsFile)
    }
}

extension Fathom_Store_V1_ChunkingStrategy {
    /// A chunk size without an overlap gets the default overlap, or half of a small chunk.
    func native() -> Chunker.Parameters {
        var parameters = Chunker.Parameters()
        if maxChunkTokens > 0 {
            parameters.maxTokens = Int(maxChunkTokens)
            parameters.overlapTokens = min(parameters.overlapTokens, parameters.maxTokens / 2)
        }
        if overlapTokens > 0 { parameters.overlapTokens = Int(overlapTokens) }
        return parameters
    }
}

extension Fathom_Store_V1_FileHeader {
    func native() throws -> FileUpload.Header {
        guard let size = Int(exactly: sizeBytes) else {
            throw RPCError(.resourceExhausted, "the declared size of \(sizeBytes) bytes is beyond any limit")
        }
        return FileUpload.Header(
            filename: filename, purpose: purpose, contentType: contentType, sizeBytes: size,
            expiresAfterSeconds: Int(expiresAfterSeconds))
    }
}

extension Fathom_Store_V1_SearchRequest {
    func native() throws -> SearchRequest {
        let searchMode: SearchRequest.Mode
        switch mode {
        case .unspecified, .hybrid: searchMode = .hybrid
        case .vector: searchMode = .vector
        case .lexical: searchMode = .lexical
        case .UNRECOGNIZED(let value): throw RPCError(.invalidArgument, "unknown search mode \(value)")
        }
        return SearchRequest(
            vectorStoreIDs: vectorStoreIds, queries: queries, maxResults: maxResults == 0 ? 10 : Int(maxResults),
            scoreThreshold: scoreThreshold, mode: searchMode)
    }
}
