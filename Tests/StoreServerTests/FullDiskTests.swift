import Foundation
import Logging
import NIOCore
import ServiceSupport
import Testing
import Wire
import WireProtocols

/// The store on a disk that is really full: a small one of its own, where the system lets a test make one.
struct FullDiskTests {
    @Test(
        "a full disk gives one code for large and small writes; reads and searches go on, and writes come back",
        .enabled(if: PrivateMounts.areAllowed, "mounting needs unshare and root"))
    func fullDisk() async throws {
        let directory = try StoreServerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let process = try StoreProcess(directory: directory, diskMebibytes: 6)
        defer { process.kill() }
        let client = WireClient(
            target: .address(host: process.ready.host, port: process.ready.port), logger: Logger(label: "test"))
        let settings = try ServiceConfiguration(service: "test", options: .parsing([]), environment: [:])
        let fixture = StoreServerFixture(client: client, process: ServiceProcess(settings))

        let kept = try await fixture.upload(Array("The pump runs on diesel.".utf8), name: "kept.txt")
        let collection = try await fixture.call(StoreService.createVectorStore) { $0.name = "s" }
        #expect(try await fixture.attach(kept.id, to: collection.id).status == .completed)
        var large: [String] = []
        // Fill it until nothing fits any more, first by much and then by little.
        for size in [1 << 20, 100_000, 1000] {
            while true {
                do {
                    large.append(try await fixture.upload([UInt8](repeating: 65, count: size)).id)
                    try #require(large.count < 200)
                } catch let error as RPCError {
                    #expect(error.code == .resourceExhausted, "\(size): \(error)")
                    #expect(error.metadata[MetadataKey.errorCode] == "insufficient_storage", "\(size): \(error)")
                    break
                }
            }
        }
        let other = try await fixture.call(StoreService.listFiles) { $0.limit = 1 }
        #expect(!other.files.isEmpty)
        let found = try await fixture.call(StoreService.search) {
            $0.vectorStoreIds = [collection.id]
            $0.queries = ["What does the pump run on?"]
        }
        #expect(found.results.map(\.fileID) == [kept.id])
        var read: [UInt8] = []
        var request = Fathom_Store_V1_GetFileRequest()
        request.id = kept.id
        let responses = try await client.serverStreaming(
            StoreService.readFile, request, options: fixture.options("acme"))
        for try await response in responses {
            if let piece = response.attachment { read += Array(piece.readableBytesView) }
        }
        #expect(read == Array("The pump runs on diesel.".utf8))

        for id in large { _ = try await fixture.call(StoreService.deleteFile) { $0.id = id } }
        let again = try await fixture.upload(Array("The crane is red.".utf8), name: "again.txt")
        #expect(try await fixture.attach(again.id, to: collection.id).status == .completed)
        await client.close()
    }
}

/// File systems that only one process sees.
enum PrivateMounts {
    /// Whether a process may mount a file system that only it sees.
    static let areAllowed: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()
}
