import Configuration
import Foundation
import Synchronization

/// One YAML file with settings, parsed, with the list of its keys (nested ones joined by dots).
struct ConfigurationFile {
    /// Largest file read, bytes.
    static let maxByteCount = 1 << 20

    let snapshot: any ConfigSnapshot
    /// Every key in the file that has a value, sorted.
    let keys: [String]

    init(path: String) throws {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw ConfigurationError(
                .unreadableFile, "--config \(path): cannot be read: \((error as NSError).localizedDescription)",
                cause: error)
        }
        guard data.count <= Self.maxByteCount else {
            throw ConfigurationError(
                .unreadableFile, "--config \(path): got \(data.count) bytes, expected at most \(Self.maxByteCount)")
        }
        // A file in which everything is commented out is a mapping with nothing in it, which the parser refuses.
        let lines = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline)
        if lines.allSatisfy({ $0.trimmingPrefix(while: \.isWhitespace).first.map { $0 == "#" } ?? true }) {
            snapshot = InMemoryProvider(name: path, values: [:]).snapshot()
            keys = []
            return
        }
        // The parser asks for each key whether it is secret: the only way to learn what the file holds.
        let found = KeyCollector()
        do {
            snapshot = try YAMLSnapshot(
                data: data.bytes, providerName: path,
                parsingOptions: .init(
                    secretsSpecifier: .dynamic { key, _ in
                        found.insert(key)
                        return false
                    }))
        } catch {
            throw ConfigurationError(.unreadableFile, "--config \(path): not a YAML mapping: \(error)", cause: error)
        }
        keys = found.sorted
    }

    private final class KeyCollector: Sendable {
        private let keys = Mutex<Set<String>>([])

        var sorted: [String] { keys.withLock { $0.sorted() } }

        func insert(_ key: String) {
            keys.withLock { _ = $0.insert(key) }
        }
    }
}
