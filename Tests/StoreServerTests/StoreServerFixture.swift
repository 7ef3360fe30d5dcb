import DocumentStore
import Foundation
import Logging
import NIOCore
import ServiceLifecycle
import ServiceSupport
import StoreServer
import SwiftProtobuf
import Testing
import Wire
import WireProtocols

/// A store server in this process, over a fresh directory, and a client of it.
struct StoreServerFixture {
    let client: WireClient
    let process: ServiceProcess

    static var encoderDirectory: String {
        let environment = ProcessInfo.processInfo.environment
        let models = environment["FATHOM_MODELS"] ?? NSHomeDirectory() + "/.fathom/models"
        return models + "/all-minilm-l6-v2"
    }

    static func temporaryDirectory() throws -> String {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("server-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// Runs a server while `body` runs.
    static func withServer(_ body: (StoreServerFixture) async throws -> Void) async throws {
        try #require(
            FileManager.default.fileExists(atPath: encoderDirectory + "/model.safetensors"),
            "the encoder model is missing: run `make models`")
        let directory = try temporaryDirectory()
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let settings = try ServiceConfiguration(
            service: "store", options: .parsing(["--log-level", "critical"]),
            flags: ["data": directory, "encoder": encoderDirectory, "threads": 1],
            fileOnlyKeys: StoreServerConfiguration.fileOnlyKeys, environment: [:])
        let process = ServiceProcess(settings)
        var configuration = try StoreServerConfiguration(settings)
        configuration.store.maxFileBytes = 4 << 20
        let server = try StoreServer(configuration, process: process)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in server.services { group.addTask { try await service.run() } }
            let address = try await server.wire.boundAddress()
            let client = WireClient(
                target: .address(host: address.host, port: address.port), logger: Logger(label: "test"))
            let outcome: Result<Void, any Error>
            do {
                outcome = .success(try await body(StoreServerFixture(client: client, process: process)))
            } catch {
                outcome = .failure(error)
            }
            await client.close()
            group.cancelAll()
            while let result = await group.nextResult() { _ = result }
            try outcome.get()
        }
    }

    func options(_ tenant: String) -> CallOptions {
        CallOptions(timeout: .seconds(60), metadata: [MetadataKey.tenant: tenant])
    }

    func call<Request, Response>(
        _ method: RPCMethod<Request, Response>, tenant: String = "acme", _ fill: (inout Request) -> Void
    ) async throws -> Response {
        var request = Request()
        fill(&request)
        return try await client.unary(method, request, options: options(tenant))
    }

    func upload(
        _ bytes: [UInt8], name: String = "a.txt", declared: Int? = nil, tenant: String = "acme", piece: Int = 50_000
    ) async throws -> Fathom_Store_V1_File {
        try await client.bidirectional(StoreService.createFile, options: options(tenant)) { writer, responses in
            var request = Fathom_Store_V1_CreateFileRequest()
            request.header.filename = name
            request.header.purpose = "assistants"
            request.header.sizeBytes = UInt64(declared ?? bytes.count)
            do {
                try await writer.write(request)
                for start in stride(from: 0, to: bytes.count, by: piece) {
                    let buffer = ByteBuffer(bytes: bytes[start..<min(start + piece, bytes.count)])
                    try await writer.write(Fathom_Store_V1_CreateFileRequest(), attachment: buffer)
                }
                writer.finish()
            } catch {
                // The server may have refused already; what it said comes with the responses.
            }
            for try await response in responses { return response.message }
            throw RPCError(.internalError, "no response")
        }
    }

    /// Attaches a file and asks for its status until it is no longer in progress.
    func attach(
        _ file: String, to collection: String, tenant: String = "acme"
    ) async throws
        -> Fathom_Store_V1_VectorStoreFile
    {
        var state = try await call(StoreService.attachFile, tenant: tenant) {
            $0.vectorStoreID = collection
            $0.fileID = file
        }
        let deadline = ContinuousClock.now.advanced(by: .seconds(60))
        while state.status == .inProgress, ContinuousClock.now < deadline {
            // The interface is to be polled; without a pause the questions would slow the indexing down.
            try await Task.sleep(for: .milliseconds(5))
            state = try await call(StoreService.getVectorStoreFile, tenant: tenant) {
                $0.vectorStoreID = collection
                $0.fileID = file
            }
        }
        return state
    }
}
