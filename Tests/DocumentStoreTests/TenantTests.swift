import DocumentStore
import Foundation
import RetrievalCore
import Synchronization
import Testing

struct TenantTests {
    /// Descriptors of this process that are open on something below a directory.
    private func descriptors(below directory: String) throws -> Int {
        let real = URL(fileURLWithPath: directory).resolvingSymlinksInPath().path
        return try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter { name in
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(name)")
            return target?.hasPrefix(real) == true
        }.count
    }

    @Test("many tenants need few descriptors, and each finds its own after it was closed")
    func bounded() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let tenants = (0..<30).map { "tenant\($0)" }
        let configure: @Sendable (inout StoreConfiguration) -> Void = { $0.maxOpenTenants = 3 }
        let limit = 2 * 3 * StoreConfiguration.descriptorsPerTenant
        let collections = try await StoreFixture.withStore(in: fixture.directory, configure: configure) { store in
            var collections: [String: String] = [:]
            for tenant in tenants {
                let file = try await store.upload("the word of \(tenant) is w\(tenant)", tenant: tenant)
                collections[tenant] = try await store.createVectorStore(tenant: tenant, name: "s", fileIDs: [file.id])
                    .id
                #expect(try descriptors(below: fixture.directory) <= limit)
            }
            try await store.waitUntilIndexed()
            #expect(store.totals == .init(files: 30, chunks: 30, pending: 0))
            for tenant in tenants.shuffled() {
                let hits = try await store.search(
                    tenant: tenant, .init(vectorStoreIDs: [collections[tenant] ?? ""], queries: ["w\(tenant)"]))
                #expect(hits.map(\.text) == ["the word of \(tenant) is w\(tenant)"])
            }
            #expect(try descriptors(below: fixture.directory) <= limit)
            return collections
        }
        try await StoreFixture.withStore(in: fixture.directory, configure: configure) { store in
            #expect(store.totals == .init(files: 30, chunks: 30, pending: 0))
            let open = try descriptors(below: fixture.directory)
            #expect(open <= limit && collections.count == 30)
        }
    }

    @Test("tenants in use at the same time stay open and are not mixed up")
    func concurrent() async throws {
        try await StoreFixture.withStore(configure: { $0.maxOpenTenants = 4 }) { store in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<24 {
                    group.addTask {
                        let tenant = "tenant\(index % 8)"
                        for round in 0..<5 {
                            let file = try await store.upload("text \(index) \(round)", tenant: tenant)
                            let read = try await store.content(tenant: tenant, fileID: file.id)
                            #expect(read.bytes == Array("text \(index) \(round)".utf8))
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(store.totals.files == 120)
        }
    }

    @Test("one tenant's broken database does not keep the store from opening")
    func broken() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        try await StoreFixture.withStore(in: fixture.directory) { store in
            _ = try await store.upload("fine", tenant: "good")
            _ = try await store.upload("lost", tenant: "bad")
        }
        let root = fixture.directory + "/tenants"
        for name in try FileManager.default.contentsOfDirectory(atPath: root) {
            let files = try FileManager.default.contentsOfDirectory(atPath: "\(root)/\(name)/files")
            let content = try String(contentsOfFile: "\(root)/\(name)/files/\(files[0])", encoding: .utf8)
            if content == "lost" {
                try Data(repeating: 0x55, count: 5000).write(to: URL(fileURLWithPath: "\(root)/\(name)/store.sqlite"))
                try? FileManager.default.removeItem(atPath: "\(root)/\(name)/store.sqlite-wal")
            }
        }
        try await StoreFixture.withStore(in: fixture.directory) { store in
            #expect(store.unusableDirectories.count == 1)
            let good = try await store.files(tenant: "good", page: .init())
            #expect(good.items.count == 1)
            await #expect(throws: (any Error).self) { try await store.files(tenant: "bad", page: .init()) }
        }
    }
}
