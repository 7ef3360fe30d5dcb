import Foundation
import Testing

/// The store as a process of its own, to be killed.
final class StoreProcess {
    struct Ready: Decodable {
        var host: String
        var port: Int
        var pid: Int32
    }

    let ready: Ready
    private let process: Process

    /// Starts the executable that was built beside the tests and waits until it listens.
    ///
    /// - Parameters:
    ///   - diskMebibytes: Puts the data on a disk of this size that only the process sees; needs root.
    ///   - limits: Options of `ulimit` to start it with.
    init(directory: String, diskMebibytes: Int? = nil, limits: String? = nil) throws {
        let tests = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let executable = URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("fathom-store")
        try #require(
            FileManager.default.isExecutableFile(atPath: executable.path), "fathom-store is missing: run `make build`")
        let readyFile = directory + "/ready-\(UUID().uuidString)"
        process = Process()
        let arguments = [
            "--data", directory + "/data", "--encoder", StoreServerFixture.encoderDirectory, "--port", "0",
            "--threads", "1", "--ready-file", readyFile,
        ]
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        if let diskMebibytes {
            try FileManager.default.createDirectory(atPath: directory + "/data", withIntermediateDirectories: true)
            process.arguments =
                [
                    "unshare", "-m", "sh", "-c",
                    "mount -t tmpfs -o size=\(diskMebibytes)m tmpfs \(directory)/data && exec \"$@\"", "sh",
                    executable.path,
                ] + arguments
        } else {
            let limit = limits.map { "ulimit \($0) && " } ?? ""
            process.arguments = ["sh", "-c", limit + "exec \"$@\"", "sh", executable.path] + arguments
        }
        let output = Pipe()
        process.standardError = output
        try process.run()
        // Its log tells when it listens; the pipe's end tells when it died before.
        var log = ""
        while !log.contains("msg=Listening") {
            let data = output.fileHandleForReading.availableData
            try #require(!data.isEmpty, "fathom-store ended before it listened: \(log)")
            log += String(decoding: data, as: UTF8.self)
        }
        // From now on somebody must read the log, or the process would stop at a full pipe.
        output.fileHandleForReading.readabilityHandler = { handle in
            if handle.availableData.isEmpty { handle.readabilityHandler = nil }
        }
        ready = try JSONDecoder().decode(Ready.self, from: Data(contentsOf: URL(fileURLWithPath: readyFile)))
    }

    /// `kill -9`.
    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
