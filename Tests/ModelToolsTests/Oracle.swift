import Foundation

/// The tiny checkpoints of the architectures, where this machine has them: `FATHOM_ORACLE`, else `shared/oracle` beside
/// the working tree.
enum Oracle {
    static let directory: String? = {
        let environment = ProcessInfo.processInfo.environment["FATHOM_ORACLE"]
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let candidates = [environment, root.deletingLastPathComponent().path + "/shared/oracle"]
        return candidates.compactMap { $0.map { $0 + "/architectures" } }
            .first { FileManager.default.fileExists(atPath: $0) }
    }()

    static var isMissing: Bool { directory == nil }

    static func path(_ relative: String) -> String { "\(directory ?? "")/\(relative)" }
}

/// A fresh folder that is gone after `body`.
func withTemporaryDirectory<R>(_ body: (String) throws -> R) throws -> R {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("tools-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}
