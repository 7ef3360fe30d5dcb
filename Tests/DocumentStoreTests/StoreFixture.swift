import DocumentStore
import Foundation
import Synchronization

/// A data directory that goes away with the test.
struct StoreFixture {
    let directory: String

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("store-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(atPath: directory) }

    /// Opens the store over `directory`, runs its indexing while `body` runs, and closes it.
    static func withStore<Result: Sendable>(
        in directory: String, embedder: TestEmbedder = TestEmbedder(), clock: TestClock = TestClock(),
        configure: (inout StoreConfiguration) -> Void = { _ in },
        _ body: (DocumentStore) async throws -> Result
    ) async throws -> Result {
        var configuration = StoreConfiguration(directory: directory)
        configure(&configuration)
        let store = try DocumentStore(configuration: configuration, embedder: embedder, now: clock.now)
        let result = try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await store.run() }
            do {
                let result = try await body(store)
                group.cancelAll()
                return result
            } catch {
                group.cancelAll()
                throw error
            }
        }
        try store.close()
        return result
    }

    /// As `withStore(in:)`, over a fresh directory.
    static func withStore<Result: Sendable>(
        embedder: TestEmbedder = TestEmbedder(), clock: TestClock = TestClock(),
        configure: (inout StoreConfiguration) -> Void = { _ in },
        _ body: (DocumentStore) async throws -> Result
    ) async throws -> Result {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        return try await withStore(
            in: fixture.directory, embedder: embedder, clock: clock, configure: configure, body)
    }

    /// Paths below the directory that hold file contents or uploads.
    static func contents(_ directory: String) -> [String] {
        let paths = FileManager.default.enumerator(atPath: directory)?.compactMap { $0 as? String } ?? []
        return paths.filter { ($0.contains("/files/") || $0.contains("/uploads/")) }
    }
}

/// A value that closures of a test share.
final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock { $0 } }
    func update(_ body: @Sendable (inout Value) -> Void) { state.withLock { body(&$0) } }
}

/// Time that moves only when told.
final class TestClock: Sendable {
    private let seconds = Mutex(1_700_000_000)

    func now() -> Int { seconds.withLock { $0 } }
    func advance(by amount: Int) { seconds.withLock { $0 += amount } }
}

extension DocumentStore {
    /// Uploads a text in pieces.
    func upload(
        _ text: String, name: String = "a.txt", type: String = "", tenant: String = "acme"
    ) async throws -> FileRecord {
        try await upload(Array(text.utf8), name: name, type: type, tenant: tenant)
    }

    func upload(
        _ bytes: [UInt8], name: String = "a.txt", type: String = "", tenant: String = "acme"
    ) async throws -> FileRecord {
        let upload = try await beginUpload(
            tenant: tenant,
            header: .init(filename: name, purpose: "assistants", contentType: type, sizeBytes: bytes.count))
        for start in stride(from: 0, to: bytes.count, by: 1000) {
            try await upload.append(Array(bytes[start..<min(start + 1000, bytes.count)]))
        }
        return try await upload.finish()
    }
}
