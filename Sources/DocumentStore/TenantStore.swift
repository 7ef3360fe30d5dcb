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
    }

    let tenant: String
    let content: ContentDirectory
    let database: DatabasePool
    let configuration: StoreConfiguration
    let now: @Sendable () -> Int
    private let currentCounters = Mutex(Counters())

    /// Opens the tenant's directory, creating it when missing, and cleans up after a crash.
    ///
    /// - Parameter embedderName: Documents embedded by another model are queued to be indexed again.
    init(
        tenant: String, directory: String, configuration: StoreConfiguration, embedderName: String,
        now: @escaping @Sendable () -> Int
    ) throws {
        self.tenant = tenant
        self.configuration = configuration
        self.now = now
        content = try ContentDirectory(root: directory)
        database = try Self.openDatabase("\(directory)/store.sqlite")
        try ContentDirectory.syncDirectory(directory)
        try claim(embedderName: embedderName)
        let known = try database.read { db in try String.fetchSet(db, sql: "SELECT id FROM file") }
        try content.removeOrphans(known: known)
    }

    /// The tenant whose database this is, or nil when the file holds none yet.
    static func tenantName(directory: String) throws -> String? {
        let path = "\(directory)/store.sqlite"
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let database = try openDatabase(path)
        defer { try? database.close() }
        return try database.read { db in
            try String.fetchOne(db, sql: "SELECT value FROM setting WHERE key = 'tenant'")
        }
    }

    var counters: Counters { currentCounters.withLock { $0 } }

    func close() throws { try database.close() }

    /// Reads on a consistent snapshot, off the cooperative pool.
    func read<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        try await database.read(body)
    }

    /// One durable transaction; the counters follow it.
    func write<Value: Sendable>(_ body: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        let (value, counters) = try await database.write { db in
            let value = try body(db)
            return (value, try Self.count(db))
        }
        currentCounters.withLock { $0 = counters }
        return value
    }

    private static func openDatabase(_ path: String) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.maximumReaderCount = 4
        configuration.busyMode = .timeout(10)
        configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA synchronous = FULL") }
        let database = try DatabasePool(path: path, configuration: configuration)
        try StoreSchema.migrator.migrate(database)
        return database
    }

    /// Writes down whose database this is and who embedded its chunks.
    private func claim(embedderName: String) throws {
        let tenant = tenant
        let counters = try database.write { db in
            let owner = try String.fetchOne(db, sql: "SELECT value FROM setting WHERE key = 'tenant'")
            guard owner == nil || owner == tenant else {
                throw StoreError(code: .dataLoss, message: "the directory belongs to another tenant")
            }
            let embedder = try String.fetchOne(db, sql: "SELECT value FROM setting WHERE key = 'embedder'")
            if let embedder, embedder != embedderName {
                try db.execute(
                    sql: """
                        DELETE FROM chunk;
                        UPDATE attachment SET status = 0, chunk_count = 0, usage_bytes = 0 WHERE status = 1;
                        UPDATE vector_store SET version = version + 1;
                        """)
            }
            for (key, value) in [("tenant", tenant), ("embedder", embedderName)] {
                try db.execute(
                    sql: "INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    arguments: [key, value])
            }
            return try Self.count(db)
        }
        currentCounters.withLock { $0 = counters }
    }

    private static func count(_ db: Database) throws -> Counters {
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT (SELECT COUNT(*) FROM file) AS files,
                       (SELECT COUNT(*) FROM attachment WHERE status = 0) AS pending,
                       (SELECT IFNULL(SUM(chunk_count), 0) FROM attachment) AS chunks
                """)
        return Counters(files: row?["files"] ?? 0, pending: row?["pending"] ?? 0, chunks: row?["chunks"] ?? 0)
    }
}
