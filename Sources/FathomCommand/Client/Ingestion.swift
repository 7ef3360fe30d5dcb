import Foundation

/// Brings a vector store up to date with a listing of documents.
///
/// A fault of one document is noted and the others go on; a fault of the gateway ends the uploads, and what was
/// attached until then is waited for.
struct Ingestion {
    /// Longest time without any progress of the store.
    static let stallDeadline = Duration.seconds(600)
    /// Pauses before what a busy gateway refused is tried again, unless it says how long.
    static let pauses = [1, 2, 4, 8, 16].map(Duration.seconds)
    /// Longest pause that a gateway may ask for.
    static let maximumPause = Duration.seconds(60)

    private struct Waiting {
        var file: String
        var name: String
        var isChange: Bool
        /// False for a document that an ingest before attached.
        var isOurs = true
    }

    let client: GatewayClient
    /// Id of the vector store.
    let store: String
    private(set) var report = IngestReport()
    private var waiting: [Waiting] = []
    private var known: KnownDocuments

    init(client: GatewayClient, store: String) async throws {
        self.client = client
        self.store = store
        known = KnownDocuments(try await client.vectorStoreFiles(in: store))
    }

    /// Does it all.
    ///
    /// - Parameter removesGone: Documents that are not there any more are taken out.
    /// - Throws: `CancellationError`. Everything else is in the report.
    mutating func run(_ listing: DocumentListing, removesGone: Bool) async throws {
        report.skipped = listing.skipped
        report.failures = listing.failures
        var documents = listing.documents[...]
        do {
            while let document = documents.first {
                Terminal.progress(
                    "uploading \(listing.documents.count - documents.count + 1) of \(listing.documents.count)  "
                        + document.name)
                try await ingest(document)
                documents.removeFirst()
            }
            if removesGone { try await remove(known.gone(listing.isGone)) }
        } catch let error as CommandError {
            if let document = documents.first { note(document.name, error) }
            report.untried = max(0, documents.count - 1)
            if documents.isEmpty { note("--sync", error) }
        }
        try await waitForIndexing()
        Terminal.endProgress()
    }

    // MARK: Uploading

    /// - Throws: ``CommandError`` when the gateway cannot go on.
    private mutating func ingest(_ document: FoundDocument) async throws {
        do {
            let content = try DocumentReader.read(document.path)
            switch known.action(for: document.id, sha256: content.sha256) {
            case .keep(_, isIndexed: true):
                report.unchanged += 1
            case .keep(let file, isIndexed: false):
                waiting.append(Waiting(file: file, name: document.name, isChange: false, isOurs: false))
            case .adopt(let file):
                try await patiently { try await $0.attach(file: file, to: store, document: document.id) }
                known.forgetUnnamed(file, sha256: content.sha256)
                waiting.append(Waiting(file: file, name: document.name, isChange: false, isOurs: false))
            case .add: try await upload(document, content, isChange: false)
            case .replace: try await upload(document, content, isChange: true)
            }
        } catch let error as CommandError where error.code == .fileUnavailable || error.isAboutTheRequest {
            note(document.name, error)
        }
    }

    private mutating func upload(
        _ document: FoundDocument, _ content: DocumentContent, isChange: Bool
    ) async throws {
        let file = try await patiently { try await $0.upload(filename: document.name, content: content.bytes) }
        try await patiently {
            try await $0.attach(file: file, to: store, document: document.id, ownsFile: true)
        }
        waiting.append(Waiting(file: file, name: document.name, isChange: isChange))
    }

    private mutating func remove(_ gone: [(document: String, files: [String])]) async throws {
        for (document, files) in gone {
            Terminal.progress("removing \(document)")
            do {
                for file in files { try await patiently { try await $0.detach(file: file, from: store) } }
                report.removed += 1
            } catch let error as CommandError where error.isAboutTheRequest {
                note(document, error)
            }
        }
    }

    /// Tries again, a few times, what a busy gateway refuses.
    private func patiently<Result>(_ body: (GatewayClient) async throws -> Result) async throws -> Result {
        for pause in Self.pauses {
            do {
                return try await body(client)
            } catch let error as CommandError {
                guard let failure = error.cause as? HTTPFailure, failure.isTemporary else { throw error }
                let asked = failure.retryAfter.map { Duration.seconds($0) } ?? pause
                try await Task.sleep(for: min(asked, Self.maximumPause))
            }
        }
        return try await body(client)
    }

    private mutating func note(_ name: String, _ error: CommandError) {
        report.failures.append(SetAside(name: name, reason: error.message))
    }

    // MARK: Indexing

    /// Returns when all that waits is indexed, or has failed, or nothing moves any more.
    private mutating func waitForIndexing() async throws {
        let total = waiting.count
        var deadline = ContinuousClock.now + Self.stallDeadline
        var last = -1
        while let next = waiting.first {
            let state: VectorStoreFileObject
            do {
                state = try await patiently { try await $0.vectorStoreFile(next.file, in: store) }
            } catch let error as CommandError {
                guard error.isAboutTheRequest else {
                    for unknown in waiting { note(unknown.name, error) }
                    return
                }
                note(next.name, error)
                waiting.removeFirst()
                last = -1
                continue
            }
            guard state.status == "in_progress" else {
                waiting.removeFirst()
                deadline = .now + Self.stallDeadline
                last = -1
                settle(next, state)
                continue
            }
            let indexed = state.indexedChunks ?? 0
            if indexed != last { deadline = .now + Self.stallDeadline }
            last = indexed
            guard ContinuousClock.now < deadline else {
                for late in waiting {
                    report.failures.append(
                        SetAside(name: late.name, reason: "not indexed within \(Self.stallDeadline); it still may be"))
                }
                waiting = []
                return
            }
            let share = state.chunkCount.map { $0 > 0 ? ", \(indexed) of \($0) chunks" : "" } ?? ""
            Terminal.progress("indexing \(total - waiting.count + 1) of \(total)  \(next.name)\(share)")
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private mutating func settle(_ document: Waiting, _ state: VectorStoreFileObject) {
        guard state.status == "completed" else {
            let reason = state.status == "cancelled" ? "a newer version came meanwhile" : state.lastError?.message
            report.failures.append(SetAside(name: document.name, reason: reason ?? state.status))
            return
        }
        if !document.isOurs {
            report.unchanged += 1
        } else {
            report.chunks += state.chunkCount ?? 0
            if document.isChange { report.changed += 1 } else { report.added += 1 }
        }
    }
}
