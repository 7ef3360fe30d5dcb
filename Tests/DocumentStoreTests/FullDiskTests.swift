import DocumentStore
import Foundation
import RetrievalCore
import Synchronization
import Testing

struct FullDiskTests {
    @Test("without room uploads are refused with a code of their own, the rest goes on, and indexing resumes with room")
    func fullDisk() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let space = Shared(DiskSpace(available: 1 << 30, total: 1 << 30))
        let postponed = Shared(0)
        let store = try DocumentStore(
            configuration: StoreConfiguration(directory: fixture.directory), embedder: TestEmbedder(),
            diskSpace: { space.value },
            onIndexingEvent: { event in
                if case .postponed(_, _, let error as StoreError, _) = event, error.code == .insufficientStorage {
                    postponed.update { $0 += 1 }
                }
            })
        let indexing = Task { await store.run() }
        let file = try await store.upload("the pump runs on diesel")
        let collection = try await store.createVectorStore(tenant: "acme", name: "s", fileIDs: [file.id])
        try await store.waitUntilIndexed()
        let waiting = try await store.upload("the crane is red")

        space.update { $0.available = 1000 }
        for size in [1, 1 << 20] {
            let error = await #expect(throws: StoreError.self) {
                try await store.upload([UInt8](repeating: 65, count: size))
            }
            #expect(error?.code == .insufficientStorage)
        }
        _ = try await store.attach(tenant: "acme", fileID: waiting.id, to: collection.id)
        let request = SearchRequest(vectorStoreIDs: [collection.id], queries: ["diesel"])
        #expect(try await store.search(tenant: "acme", request).count == 1)
        #expect(try await store.content(tenant: "acme", fileID: file.id).bytes.count == 23)
        let deadline = ContinuousClock.now + .seconds(60)
        while postponed.value == 0, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(5))
        }
        #expect(postponed.value > 0)
        let state = try await store.attachment(tenant: "acme", fileID: waiting.id, in: collection.id)
        #expect(state.status == .inProgress)
        // Deleting works, or the disk could never be emptied.
        try await store.deleteFile(tenant: "acme", file.id)

        space.update { $0.available = 1 << 30 }
        try await store.waitUntilIndexed()
        #expect(
            try await store.attachment(tenant: "acme", fileID: waiting.id, in: collection.id).status == .completed)
        _ = try await store.upload("room again")
        indexing.cancel()
        await indexing.value
        try store.close()
    }

    @Test("an upload may take all but the reserve")
    func reserve() async throws {
        let fixture = try StoreFixture()
        defer { fixture.remove() }
        let space = Shared(DiskSpace(available: 10_000, total: 100_000))
        let store = try DocumentStore(
            configuration: StoreConfiguration(directory: fixture.directory), embedder: TestEmbedder(),
            diskSpace: { space.value })
        _ = try await store.upload([UInt8](repeating: 65, count: 5_000))
        let error = await #expect(throws: StoreError.self) {
            try await store.upload([UInt8](repeating: 65, count: 5_001))
        }
        #expect(error?.code == .insufficientStorage)
        try store.close()
    }
}
