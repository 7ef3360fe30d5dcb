import RetrievalCore

extension DocumentStore {
    // MARK: Files

    /// Starts an upload.
    ///
    /// - Throws: `limitExceeded` above the size limit or when too many uploads are under way; `invalidArgument`.
    package func beginUpload(tenant: String, header: FileUpload.Header) async throws -> FileUpload {
        try StoreValidation.text(header.filename, "file name", maxBytes: 1024, minBytes: 1)
        try StoreValidation.text(header.purpose, "purpose", maxBytes: 64)
        try StoreValidation.text(header.contentType, "content type", maxBytes: 256)
        guard header.sizeBytes <= configuration.maxFileBytes else {
            throw StoreError(
                code: .limitExceeded,
                message: "the file has \(header.sizeBytes) bytes; the limit is \(configuration.maxFileBytes)")
        }
        guard header.sizeBytes > 0 else {
            throw StoreError(code: .invalidArgument, message: "the file is empty")
        }
        let store = try await self.tenant(tenant)
        let leave = try enterUpload()
        do {
            return try await BlockingWork.run { try FileUpload(header: header, tenant: store, onEnd: leave) }
        } catch {
            leave()
            throw error
        }
    }

    /// - Throws: `notFound`.
    package func file(tenant: String, _ id: String) async throws -> FileRecord {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchFile(id) }
        return try await store.file(id)
    }

    /// - Throws: `invalidArgument` for the page, `notFound` when its `after` does not exist.
    package func files(tenant: String, page: Page) async throws -> Listing<FileRecord> {
        guard let store = try await existingTenant(tenant) else { return try emptyListing(page) }
        return try await store.files(page)
    }

    /// Deletes a file and takes it out of every vector store.
    ///
    /// - Throws: `notFound`.
    package func deleteFile(tenant: String, _ id: String) async throws {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchFile(id) }
        try await store.deleteFile(id)
    }

    /// The whole content of a file, checked against its SHA-256.
    ///
    /// - Throws: `notFound`, `dataLoss`.
    package func content(tenant: String, fileID: String) async throws -> (file: FileRecord, bytes: [UInt8]) {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchFile(fileID) }
        return try await store.readContent(fileID)
    }

    private func emptyListing<Item>(_ page: Page) throws -> Listing<Item> {
        try page.validate()
        if let after = page.after { throw StoreError.noSuchFile(after) }
        return Listing(fetched: [], limit: page.limit)
    }
}

extension DocumentStore {
    // MARK: Vector stores

    /// Creates a vector store with files attached, all or nothing.
    ///
    /// - Throws: `invalidArgument`, `notFound` for a file, `limitExceeded`.
    package func createVectorStore(
        tenant: String, name: String, metadata: [String: String] = [:], fileIDs: [String] = []
    ) async throws -> VectorStoreRecord {
        let record = try await self.tenant(tenant).createVectorStore(name: name, metadata: metadata, fileIDs: fileIDs)
        indexing.wake()
        return record
    }

    /// - Throws: `notFound`.
    package func vectorStore(tenant: String, _ id: String) async throws -> VectorStoreRecord {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchVectorStore(id) }
        return try await store.vectorStore(id)
    }

    /// - Throws: as `files(tenant:page:)`.
    package func vectorStores(tenant: String, page: Page) async throws -> Listing<VectorStoreRecord> {
        guard let store = try await existingTenant(tenant) else {
            try page.validate()
            if let after = page.after { throw StoreError.noSuchVectorStore(after) }
            return Listing(fetched: [], limit: page.limit)
        }
        return try await store.vectorStores(page)
    }

    /// Deletes a vector store; its files stay.
    ///
    /// - Throws: `notFound`.
    package func deleteVectorStore(tenant: String, _ id: String) async throws {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchVectorStore(id) }
        try await store.deleteVectorStore(id)
        forgetPartition(id)
        indexing.wake()
    }
}

extension DocumentStore {
    // MARK: Attachments

    /// Attaches a file to a vector store, to be indexed in the background.
    ///
    /// - Throws: `notFound`, `invalidArgument` for chunk sizes or attributes, `limitExceeded` when too much waits.
    package func attach(
        tenant: String, fileID: String, to vectorStoreID: String, chunking: Chunker.Parameters = .init(),
        attributesJSON: String = ""
    ) async throws -> AttachmentRecord {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchVectorStore(vectorStoreID) }
        let record = try await store.attach(
            fileID: fileID, to: vectorStoreID, chunking: chunking, attributesJSON: attributesJSON)
        indexing.wake()
        return record
    }

    /// - Throws: `notFound`.
    package func attachment(tenant: String, fileID: String, in vectorStoreID: String) async throws -> AttachmentRecord {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchVectorStore(vectorStoreID) }
        return try await store.attachment(fileID, vectorStoreID)
    }

    /// The files of a vector store, of one status or of all.
    ///
    /// - Throws: `notFound`, `invalidArgument` for the page.
    package func attachments(
        tenant: String, in vectorStoreID: String, page: Page, status: AttachmentRecord.Status? = nil
    ) async throws -> Listing<AttachmentRecord> {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchVectorStore(vectorStoreID) }
        return try await store.attachments(vectorStoreID, page, status: status)
    }

    /// Takes a file out of a vector store.
    ///
    /// - Throws: `notFound`.
    package func detach(tenant: String, fileID: String, from vectorStoreID: String) async throws {
        guard let store = try await existingTenant(tenant) else { throw StoreError.noSuchVectorStore(vectorStoreID) }
        try await store.detach(fileID, from: vectorStoreID)
        indexing.wake()
    }
}
