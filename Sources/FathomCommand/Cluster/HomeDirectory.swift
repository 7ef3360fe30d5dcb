import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The folder of one cluster on this machine.
///
///     cluster.json      what runs and where (0600); there while a cluster runs
///     api-key           the plain key of the tenant "default" (0600), kept across runs
///     keys.json         hashes of all keys (module Identity)
///     store/            documents and vectors
///     gateway/          the gateway's own state
///     logs/*.log        one per process; *.log.1 ... are older
///     run/              files of the running supervisor: lock, options, state, ready files
package struct HomeDirectory: Sendable {
    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// `explicit`, else `FATHOM_HOME`, else `~/.fathom/home`; made absolute.
    package static func resolve(
        _ explicit: String?, environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> HomeDirectory {
        let named = explicit ?? environment["FATHOM_HOME"].flatMap { $0.isEmpty ? nil : $0 }
        let fallback = (environment["HOME"] ?? FileManager.default.homeDirectoryForCurrentUser.path) + "/.fathom/home"
        return HomeDirectory(path: URL(fileURLWithPath: named ?? fallback).standardizedFileURL.path)
    }

    package var clusterFile: String { path + "/cluster.json" }
    package var keyFile: String { path + "/keys.json" }
    package var plainKeyFile: String { path + "/api-key" }
    package var storeDirectory: String { path + "/store" }
    package var gatewayDirectory: String { path + "/gateway" }
    package var logDirectory: String { path + "/logs" }
    package var runDirectory: String { path + "/run" }
    package var lockFile: String { path + "/run/lock" }
    package var settingsFile: String { path + "/run/settings.json" }
    package var stateFile: String { path + "/run/supervisor.json" }

    /// Log of the process called `name`.
    package func logFile(_ name: String) -> String { "\(logDirectory)/\(name).log" }

    /// Where the process called `name` says that it listens.
    package func readyFile(_ name: String) -> String { "\(runDirectory)/\(name).ready" }

    /// Makes the folders that are missing, and holds those that are there to the rule: this user's, and nobody else's.
    ///
    /// - Throws: ``CommandError`` `fileUnavailable`.
    package func prepare() throws {
        try PrivateFolder.ensure(path, mayHold: Self.isOurs)
        for folder in [storeDirectory, gatewayDirectory, logDirectory, runDirectory] {
            try PrivateFolder.ensure(folder)
        }
    }

    /// Refuses a home of another user: what it says would be believed, its key used, its processes ended.
    ///
    /// - Throws: ``CommandError`` `fileUnavailable`. A home that is not there is none of another's.
    package func checkOwner() throws {
        guard access(path, F_OK) == 0 else { return }
        try PrivateFolder.check(path)
    }

    /// Whether a home has an entry of that name.
    private static func isOurs(_ name: String) -> Bool {
        ["store", "gateway", "logs", "run", "lost+found"].contains(name)
            || ["cluster.json", "api-key", "keys.json"].contains { name == $0 || name.hasPrefix($0 + ".") }
    }

    /// Takes the lock that says "a cluster runs here". It ends with this process, however that ends.
    ///
    /// - Returns: A descriptor to keep open, or nil when another process holds the lock.
    package func lock() throws -> Int32? {
        let descriptor = try PrivateFile.open(lockFile, O_RDWR | O_CREAT)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// Opens the log of the process called `name` for appending.
    ///
    /// - Throws: ``CommandError`` `fileUnavailable` for what is no file of this user's alone.
    package func openLog(_ name: String) throws -> Int32 {
        try PrivateFile.open(logFile(name), O_WRONLY | O_CREAT | O_APPEND)
    }

    /// Whether a supervisor holds the lock now.
    package var isLive: Bool {
        guard let descriptor = try? lock() else { return FileManager.default.fileExists(atPath: lockFile) }
        close(descriptor)
        return false
    }
}

/// Files that readers see complete or not at all.
package enum AtomicFile {
    /// Writes beside the target, forces to disk, renames.
    ///
    /// - Throws: ``CommandError`` `fileUnavailable`.
    package static func write(_ data: Data, to path: String, mode: mode_t = 0o600) throws {
        let temporary = "\(path).new-\(getpid())"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw CommandError.system("cannot create \(temporary)") }
        var isComplete = false
        defer {
            close(descriptor)
            if !isComplete { unlink(temporary) }
        }
        try data.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                let count = Self.writeSome(descriptor, bytes, from: written)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw CommandError.system("cannot write \(temporary)") }
                written += count
            }
        }
        guard fsync(descriptor) == 0, rename(temporary, path) == 0 else {
            throw CommandError.system("cannot replace \(path)")
        }
        isComplete = true
    }

    /// Writes a value as JSON with sorted keys.
    package static func write(json value: some Encodable, to path: String, mode: mode_t = 0o600) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try write(try encoder.encode(value) + Data("\n".utf8), to: path, mode: mode)
    }

    /// The value in a JSON file; nil when there is none, or none of that form.
    package static func read<Value: Decodable>(_ type: Value.Type, from path: String) -> Value? {
        FileManager.default.contents(atPath: path).flatMap { try? JSONDecoder().decode(type, from: $0) }
    }

    private static func writeSome(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, from offset: Int) -> Int {
        #if canImport(Glibc)
        Glibc.write(descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
        #elseif canImport(Musl)
        Musl.write(descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
        #else
        Darwin.write(descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
        #endif
    }
}
