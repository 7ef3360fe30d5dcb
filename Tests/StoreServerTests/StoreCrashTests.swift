import DocumentStore
import Foundation
import Logging
import NIOCore
import ServiceSupport
import Testing
import Wire
import WireProtocols

struct StoreCrashTests {
    @Test("after kill -9 every acknowledged file is there, whole, indexed and found")
    func killed() async throws {
        let directory = try StoreServerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var collection = ""
        var acknowledged: [(id: String, bytes: [UInt8], marker: String)] = []
        for round in 0..<3 {
            let process = try StoreProcess(directory: directory)
            let fixture = try connect(process)
            if collection.isEmpty {
                collection = try await fixture.call(StoreService.createVectorStore) { $0.name = "crash" }.id
            }
            for index in 0..<3 {
                let marker = "marker\(round)x\(index)"
                // Long enough that the kill finds indexing under way.
                let text = marker + " " + (0..<1200).map { "word\($0 % 97)" }.joined(separator: " ")
                let bytes = Array(text.utf8)
                let file = try await fixture.upload(bytes)
                _ = try await fixture.call(StoreService.attachFile) {
                    $0.vectorStoreID = collection
                    $0.fileID = file.id
                }
                acknowledged.append((file.id, bytes, marker))
            }
            process.kill()
            await fixture.client.close()
        }
        let process = try StoreProcess(directory: directory)
        defer { process.kill() }
        let fixture = try connect(process)
        try await waitUntilIndexed(fixture, collection)
        let state = try await fixture.call(StoreService.getVectorStore) { $0.id = collection }
        #expect(Int(state.fileCounts.completed) == acknowledged.count && state.fileCounts.failed == 0)
        for file in acknowledged {
            var read: [UInt8] = []
            var request = Fathom_Store_V1_GetFileRequest()
            request.id = file.id
            let responses = try await fixture.client.serverStreaming(
                StoreService.readFile, request, options: fixture.options("acme"))
            for try await response in responses {
                if let piece = response.attachment { read += Array(piece.readableBytesView) }
            }
            #expect(read == file.bytes)
            let found = try await fixture.call(StoreService.search) {
                $0.vectorStoreIds = [collection]
                $0.queries = [file.marker]
                $0.mode = .lexical
            }
            #expect(found.results.map(\.fileID) == [file.id])
        }
        await fixture.client.close()
    }

    @Test("after kill -9 in the middle of replacements each document is there once, in its last version")
    func killedWhileReplacing() async throws {
        let directory = try StoreServerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var collection = ""
        for round in 0..<4 {
            let process = try StoreProcess(directory: directory)
            let fixture = try connect(process)
            if collection.isEmpty {
                collection = try await fixture.call(StoreService.createVectorStore) { $0.name = "crash" }.id
            }
            for document in 0..<3 {
                let text =
                    "common marker\(round)x\(document) " + (0..<400).map { "word\($0 % 97)" }.joined(separator: " ")
                let file = try await fixture.upload(Array(text.utf8))
                _ = try await fixture.call(StoreService.attachFile) {
                    $0.vectorStoreID = collection
                    $0.fileID = file.id
                    $0.documentID = "document \(document)"
                    $0.ownsFile = true
                }
            }
            process.kill()
            await fixture.client.close()
        }
        let process = try StoreProcess(directory: directory)
        defer { process.kill() }
        let fixture = try connect(process)
        try await waitUntilIndexed(fixture, collection)
        let listed = try await fixture.call(StoreService.listVectorStoreFiles) { $0.vectorStoreID = collection }.files
        #expect(Set(listed.map(\.documentID)).count == 3 && listed.count == 3)
        #expect(listed.allSatisfy { $0.status == .completed })
        let found = try await fixture.call(StoreService.search) {
            $0.vectorStoreIds = [collection]
            $0.queries = ["common"]
            $0.mode = .lexical
        }
        let markers = found.results.compactMap { $0.text.split(separator: " ").first { $0.hasPrefix("marker") } }
        #expect(Set(markers) == ["marker3x0", "marker3x1", "marker3x2"])
        #expect(try await fixture.call(StoreService.listFiles) { _ in }.files.count == 3)
        await fixture.client.close()
    }

    @Test("two hundred tenants fit a process that may open 256 files")
    func fewDescriptors() async throws {
        let directory = try StoreServerFixture.temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let process = try StoreProcess(directory: directory, limits: "-n 256")
        defer { process.kill() }
        let fixture = try connect(process)
        for index in 0..<200 {
            _ = try await fixture.upload(Array("text \(index)".utf8), tenant: "tenant\(index)")
        }
        for index in [0, 99, 199] {
            let files = try await fixture.call(StoreService.listFiles, tenant: "tenant\(index)") { _ in }.files
            #expect(files.count == 1)
        }
        await fixture.client.close()
    }

    private func connect(_ process: StoreProcess) throws -> StoreServerFixture {
        let client = WireClient(
            target: .address(host: process.ready.host, port: process.ready.port), logger: Logger(label: "test"))
        let settings = try ServiceConfiguration(service: "test", options: .parsing([]), environment: [:])
        return StoreServerFixture(client: client, process: ServiceProcess(settings))
    }

    private func waitUntilIndexed(_ fixture: StoreServerFixture, _ collection: String) async throws {
        let deadline = ContinuousClock.now.advanced(by: .seconds(240))
        while ContinuousClock.now < deadline {
            let state = try await fixture.call(StoreService.getVectorStore) { $0.id = collection }
            if state.fileCounts.inProgress == 0 { return }
            // The interface is to be polled; without a pause the questions would slow the indexing down.
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("indexing did not finish in time")
    }
}
