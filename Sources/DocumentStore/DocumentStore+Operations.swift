import RetrievalCore

extension DocumentStore {
    // MARK: Files

    /// Starts an upload.
    ///
    /// - Throws: `limitExceeded` above the size limit or when too many uploads are under way; `insufficientStorage`;
    ///   `invalidArgument`.
    package func beginUpload(tenant: String, header: FileUpload.Header) async throws -> FileUpload {
        try StoreValidation.tenant(tenant)
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
        guard header.expiresAfterSeconds == 0 || (3_600...2_592_000).contains(header.expiresAfterSeconds) else {
            throw StoreError(
                code: .invalidArgument,
                message: "a file may expire after 3600...2592000 seconds, got \(header.expiresAfterSeconds)")
        }
        try requireSpace(for: header.sizeBytes)
        // The tenant stays open until the upload has ended.
        let lease = try await tenants.leaseCreating(tenant)
        let leave: @Sendable () -> Void
        do {
            leave = try enterUpload()
        } catch {
            lease.end()
            throw error
        }
        let end: @Sendable () -> Void = {
            leave()
            lease.end()
        }
        do {
            return try await BlockingWork.run { try FileUpload(header: header, tenant: lease.store, onEnd: end) }
        } catch {
            end()
            throw error
        }
    }

    /// - Throws: `notFound`.
    package func file(tenant: String, _ id: String) async throws -> FileRecord {
        try await withExistingTenant(tenant, missing: { throw StoreError.noSuchFile(id) }) { try await $0.file(id) }
    }

    /// The files of a purpose, or all.
    ///
    /// - Throws: `invalidArgument` for the page, `notFound` when its `after` does not exist.
    package func files(tenant: String, page: Page, purpose: String? = nil) async throws -> Listing<FileRecord> {
        try await withExistingTenant(tenant, missing: { try emptyListing(page, StoreError.noSuchFile) }) {
            try await $0.files(page, purpose: purpose)
        }
    }

    /// Deletes a file and takes it out of every vector store.
    ///
    /// - Throws: `notFound`.
    package func deleteFile(tenant: String, _ id: String) async throws {
        try await withExistingTenant(tenant, missing: { throw StoreError.noSuchFile(id) }) {
            try await $0.deleteFile(id)
        }
    }

    /// The whole content of a file, checked against its SHA-256.
    ///
    /// - Throws: `notFound`, `dataLoss`.
    package func content(tenant: String, fileID: String) async throws -> (file: FileRecord, bytes: [UInt8]) {
        try await withExistingTenant(tenant, missing: { throw StoreError.noSuchFile(fileID) }) {
            try await $0.readContent(fileID)
        }
    }

    private func emptyListing<Item>(_ page: Page, _ missing: (String) -> StoreError) throws -> Listing<Item> {
        try page.validate()
        if let after = page.after { throw missing(after) }
        return Listing(fetched: [], limit: page.limit)
    }
}

extension DocumentStore {
    // MARK: Vector stores

    /// Creates a vector store with files attached, all or nothing.
    ///
    /// - Parameter expiresAfterDays: Days without activity after which it is deleted, 1...365; 0: never.
    /// - Throws: `invalidArgument`, `notFound` for a file, `limitExceeded`.
    package func createVectorStore(
        tenant: String, name: String, metadata: [String: String] = [:], fileIDs: [String] = [],
        chunking: Chunker.Parameters = .init(), expiresAfterDays: Int = 0
    ) async throws -> VectorStoreRecord {
        defer { indexing.wake() }
        return try await withTenant(tenant) {
            try await $0.createVectorStore(
                name: name, metadata: metadata, fileIDs: fileIDs, chunking: chunking,
                expiresAfterDays: expiresAfterDays)
        }
    }

    /// - Throws: `notFound`.
    package func vectorStore(tenant: String, _ id: String) async throws -> VectorStoreRecord {
        try await withExistingVectorStore(tenant, id) { try await $0.vectorStore(id) }
    }

    /// - Throws: as `files(tenant:page:)`.
    package func vectorStores(tenant: String, page: Page) async throws -> Listing<VectorStoreRecord> {
        try await withExistingTenant(tenant, missing: { try emptyListing(page, StoreError.noSuchVectorStore) }) {
            try await $0.vectorStores(page)
        }
    }

    /// Deletes a vector store, and the files that its attachments own; other files stay.
    ///
    /// - Throws: `notFound`.
    package func deleteVectorStore(tenant: String, _ id: String) async throws {
        try await withExistingVectorStore(tenant, id) { try await $0.deleteVectorStore(id) }
        forgetPartition(id)
        indexing.wake()
    }

    private func withExistingVectorStore<Result>(
        _ tenant: String, _ id: String, _ body: (TenantStore) async throws -> Result
    ) async throws -> Result {
        try await withExistingTenant(tenant, missing: { throw StoreError.noSuchVectorStore(id) }, body)
    }
}

extension DocumentStore {
    // MARK: Attachments

    /// Attaches a file to a vector store, to be indexed in the background.
    ///
    /// With a document id the file is that document's new version: once indexed it replaces, in one transaction, what
    /// the vector store held under this id. Until then, and when it cannot be indexed, the version before is found.
    ///
    /// - Throws: `notFound`, `invalidArgument` for the options, `limitExceeded` when too much waits.
    package func attach(
        tenant: String, fileID: String, to vectorStoreID: String, options: AttachmentOptions
    ) async throws -> AttachmentRecord {
        defer { indexing.wake() }
        return try await withExistingVectorStore(tenant, vectorStoreID) {
            try await $0.attach(fileID: fileID, to: vectorStoreID, options: options)
        }
    }

    /// As `attach(tenant:fileID:to:options:)`, for a file that is no version of a document.
    package func attach(
        tenant: String, fileID: String, to vectorStoreID: String, chunking: Chunker.Parameters = .init(),
        attributesJSON: String = ""
    ) async throws -> AttachmentRecord {
        try await attach(
            tenant: tenant, fileID: fileID, to: vectorStoreID,
            options: AttachmentOptions(chunking: chunking, attributesJSON: attributesJSON))
    }

    /// - Throws: `notFound`.
    package func attachment(tenant: String, fileID: String, in vectorStoreID: String) async throws -> AttachmentRecord {
        try await withExistingVectorStore(tenant, vectorStoreID) { try await $0.attachment(fileID, vectorStoreID) }
    }

    /// The files of a vector store, of one status or of all, of one document or of all.
    ///
    /// - Throws: `notFound`, `invalidArgument` for the page.
    package func attachments(
        tenant: String, in vectorStoreID: String, page: Page, status: AttachmentRecord.Status? = nil,
        documentID: String = ""
    ) async throws -> Listing<AttachmentRecord> {
        try await withExistingVectorStore(tenant, vectorStoreID) {
            try await $0.attachments(vectorStoreID, page, status: status, documentID: documentID)
        }
    }

    /// Takes a file out of a vector store; one that its attachment owns is deleted unless it is attached elsewhere.
    ///
    /// - Throws: `notFound`.
    package func detach(tenant: String, fileID: String, from vectorStoreID: String) async throws {
        try await withExistingVectorStore(tenant, vectorStoreID) {
            try await $0.detach(fileID, from: vectorStoreID)
        }
        indexing.wake()
    }
}
