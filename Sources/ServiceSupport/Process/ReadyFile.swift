import Foundation

/// The file by which a process tells its parent that it listens, and where: one line of JSON with `host`, `port`,
/// `pid` and what the service adds; and `served`, true, once the process has been able to do its work. It appears
/// complete or not at all.
package enum ReadyFile {
    /// Writes the file atomically (temporary file in the same directory, then rename).
    ///
    /// - Throws: whatever the file system says, when the directory is missing or not writable.
    package static func write(
        to path: String, host: String, port: Int, hasServed: Bool = false, extra: [String: Int] = [:]
    ) throws {
        var fields = [
            "\"host\":\(jsonString(host))", "\"port\":\(port)", "\"pid\":\(ProcessInfo.processInfo.processIdentifier)",
        ]
        fields += extra.sorted { $0.key < $1.key }.map { "\(jsonString($0.key)):\($0.value)" }
        if hasServed { fields.append("\"served\":true") }
        let line = "{\(fields.joined(separator: ","))}\n"
        try Data(line.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    private static func jsonString(_ text: String) -> String {
        let data = try? JSONEncoder().encode(text)
        return data.map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
    }
}
