import Foundation

/// Where the real models are installed.
enum ModelFixture {
    struct Missing: Error, CustomStringConvertible {
        let path: String
        var description: String { "\(path) is missing: run `make models`" }
    }

    /// The path of an installed model file, relative to the models directory.
    static func path(_ relative: String) throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let directory = environment["FATHOM_MODELS"] ?? NSString(string: "~/.fathom/models").expandingTildeInPath
        let path = "\(directory)/\(relative)"
        guard FileManager.default.fileExists(atPath: path) else { throw Missing(path: path) }
        return path
    }

    /// Runs `body` with the path of a temporary file holding `bytes`.
    @discardableResult
    static func withFile<R>(_ bytes: [UInt8], _ body: (String) throws -> R) throws -> R {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("model-\(UUID().uuidString)").path
        try write(bytes, to: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    /// Writes a file without waiting for the disk, as `Data.write` does: thousands are written here.
    static func write(_ bytes: [UInt8], to path: String) throws {
        guard let file = fopen(path, "w") else { throw CocoaError(.fileWriteUnknown) }
        defer { fclose(file) }
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw CocoaError(.fileWriteUnknown) }
    }
}
