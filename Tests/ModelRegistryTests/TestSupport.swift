import Foundation
import ModelRegistry
import Testing

/// A fresh folder that is gone after `body`.
func withTemporaryDirectory<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("fathom-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

/// The fixture folder of this module.
let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/modelregistry").path

/// Bytes that do not compress and depend on `seed` only.
func makeBytes(count: Int, seed: UInt64 = 1) -> Data {
    var state = seed
    return Data(
        (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        })
}

func write(_ data: Data, to path: String) throws {
    let url = URL(fileURLWithPath: path)
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try data.write(to: url)
}

func read(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

/// A hub on loopback that serves `directory`; `log()` gives the requests it saw.
struct TestHub {
    let endpoint: String
    let logPath: String

    func log() throws -> [String] {
        String(decoding: (try? read(logPath)) ?? Data(), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    static func with<Result>(
        serving directory: String, in scratch: String, _ body: (TestHub) async throws -> Result
    ) async throws -> Result {
        let logPath = scratch + "/requests.log"
        let output = Pipe()
        let pid = try ProcessSpawner(
            executable: "python3", arguments: [fixtures + "/hub.py", directory, logPath],
            outputDescriptor: output.fileHandleForWriting.fileDescriptor
        ).spawn()
        try output.fileHandleForWriting.close()
        defer {
            kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
        // Ends with the first line or when the script dies, so it cannot wait for ever.
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        let port = try #require(Int(line.trimmingCharacters(in: .whitespacesAndNewlines)), "hub.py did not start")
        return try await body(TestHub(endpoint: "http://127.0.0.1:\(port)", logPath: logPath))
    }
}
