import Foundation
import GRDB
import Synchronization

/// One tenant's data: a SQLite database, the contents of the files, and nothing of anyone else.
///
/// Every statement runs in this tenant's own database, so an id of another tenant is simply not there. WAL with
/// `synchronous=FULL`: what a call has returned survives a crash of the process and of the machine.
final class TenantStore: Sendable {
    /// Sizes for metrics and limits, kept up to date after each change.
    struct Counters: Sendable, Equatable {
        var files = 0
        /// Attachments that wait for indexing or are being indexed.
        var pending = 0
        /// Searchable chunks.
        var chunks = 0
        /// Unix seconds at which the next file or vector store expires unless it is used; nil: none ever does.
        var nextExpiry: Int?
    }

    /// Descriptors of an open tenant at most: two of the writer, two of each reader, one of what they share, one spare.
    static let descriptors = 2 + 2 * maximumReaders + 2
    private static let maximumReaders = 4

    let tenant: String
    let content: ContentDirectory
    let database: DatabasePool
    let configuration: StoreConfiguration
    let now: @Sendable () -> Int
    private let directory: String
    private let currentCounters = Mutex(Counters())

    /// Opens a tenant's directory, creating it when missing. A directory that is complete is not written to.
    ///
    /// - Parameters:
    ///   - tenant: Whose it is to be; nil: whoever the database says.
    ///   - embedderName: Documents embedded by another model are queued to be indexed again.
    ///   - isFirstOpening: Cleans up what a crash of the process before left.
    /// - Throws: `dataLoss` for another tenant's directory, or one that is nobody's while `tenant` is nil;
    ///   `insufficientStorage`.
    init(
        tenant: String?, directory: String, configuration: StoreConfiguration, embedderName: String,
        isFirstOpening: Bool, now: @escaping @Sendable () -> Int
    ) throws {
        self.configuration = configuration
        self.now = now
        self.directory = directory
        (self.tenant, content, database) = try DatabaseFailure.translating(directory) {
            let content = try ContentDirectory(root: directory)
            let database = try Self.openDatabase("\(directory)/store.sqlite")
            let tenant = try Self.claim(database, tenant: tenant, embedderName: embedderName)
            if isFirstOpening {
                try ContentDirectory.syncDirectory(directory)
                let known = try database.read { db in try String.fetchSet(db, sql: "SELECT id FROM file") }
                try content.removeUploads()
                try content.removeOrphans(known: known)
            }
            return (tenant, content, database)
        }
        let counters = try database.read { db in try Self.count(db) }
        currentCounters.withLock { $0 = counters }
    }

    var counters: Counters { currentCounters.withLock { $0 } }

    func close() throws { try database.close() }

    /// Reads on a consistent snapshot, off the cooperative pool.
    func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do {
            return try await database.read(body)
        } catch {
            throw DatabaseFailure.translate(error, directory)
        }
    }

    /// One durable transaction; the counters follow it.
    ///
    /// - Throws: `insufficientStorage` when the disk is full; nothing has changed then.
    func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        do {
            return try await database.write { db in
                let value = try body(db)
                let counters = try Self.count(db)
                // Set by the writer, one transaction after the other: two writes at once would set them in any order.
                db.afterNextTransaction { _ in self.currentCounters.withLock { $0 = counters } }
                return value
            }
        } catch {
            throw DatabaseFailure.translate(error, directory)
        }
    }

    private static func openDatabase(_ path: String) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.maximumReaderCount = maximumReaders
        configuration.busyMode = .timeout(10)
        configuration.prepareDatabase { db in
            // Sorting must not need room on a disk.
            try db.execute(sql: "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY")
        }
        let database = try DatabasePool(path: path, configuration: configuration)
        if try database.read(StoreSchema.migrator.hasCompletedMigrations) == false {
            try StoreSchema.migrator.migrate(database)
        }
        return database
    }

    /// Writes down whose database this is and who embedded its chunks, unless it says so already.
    ///
    /// - Returns: Whose it is.
    private static func claim(_ database: DatabasePool, tenant: String?, embedderName: String) throws -> String {
        func settings(_ db: Database) throws -> (owner: String?, embedder: String?) {
            (
                try String.fetchOne(db, sql: "SELECT value FROM setting WHERE key = 'tenant'"),
                try String.fetchOne(db, sql: "SELECT value FROM setting WHERE key = 'embedder'")
            )
        }
        let known = try database.read(settings)
        guard let tenant = tenant ?? known.owner else {
            throw StoreError(code: .dataLoss, message: "the directory says nowhere whose it is")
        }
        guard known.owner == nil || known.owner == tenant else {
            throw StoreError(code: .dataLoss, message: "the directory belongs to another tenant")
        }
        if known.owner == tenant && known.embedder == embedderName { return tenant }
        try database.write { db in
            if let embedder = try settings(db).embedder, embedder != embedderName {
                try db.execute(
                    sql: """
                        DELETE FROM chunk;
                        UPDATE attachment SET status = 0, chunk_count = 0, usage_bytes = 0, next_chunk = -1,
                            content_key = '' WHERE status <= 1;
                        UPDATE vector_store SET version = version + 1;
                        """)
            }
            for (key, value) in [("tenant", tenant), ("embedder", embedderName)] {
                try db.execute(
                    sql: "INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    arguments: [key, value])
            }
        }
        return tenant
    }

    private static func count(_ db: Database) throws -> Counters {
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT (SELECT COUNT(*) FROM file) AS files,
                       (SELECT COUNT(*) FROM attachment WHERE status = 0) AS pending,
                       (SELECT IFNULL(SUM(chunk_count), 0) FROM attachment WHERE status = 1) AS chunks,
                       (SELECT MIN(moment) FROM (
                            SELECT MIN(last_active_at + expires_after_days * 86400) AS moment FROM vector_store
                            WHERE expires_after_days > 0
                            UNION ALL SELECT MIN(expires_at) FROM file WHERE expires_at > 0)) AS next_expiry
                """)
        return Counters(
            files: row?["files"] ?? 0, pending: row?["pending"] ?? 0, chunks: row?["chunks"] ?? 0,
            nextExpiry: row?["next_expiry"])
    }
}
