import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The end of a log, for error messages.
package enum LogTail {
    /// Bytes looked at, counted from the end.
    private static let byteCount: UInt64 = 16_384

    /// The last lines of what a log got after its first `offset` bytes, each indented.
    package static func lines(of path: String, after offset: UInt64 = 0, count: Int) -> String {
        guard let text = text(of: path, after: offset) else { return "  (no log)" }
        let lines = text.split(separator: "\n").suffix(count)
        return lines.isEmpty ? "  (nothing)" : lines.map { "  \($0)" }.joined(separator: "\n")
    }

    /// What a process said last of why it ended: the line with which a service refuses to start, else that of a crash,
    /// else its last log line of level error or critical; nil when it said nothing of the kind.
    package static func lastError(of path: String, after offset: UInt64 = 0) -> String? {
        guard let lines = text(of: path, after: offset)?.split(separator: "\n") else { return nil }
        for marker in [": error: ", "Fatal error: "] {
            if let line = lines.last(where: { $0.contains(marker) }), let range = line.range(of: marker) {
                return withoutCode(String(line[range.upperBound...].prefix(1_000)))
            }
        }
        return lines.last { $0.contains(" level=error ") || $0.contains(" level=critical ") }.map {
            String($0.prefix(1_000))
        }
    }

    /// Without the code of an error, `invalidRequest: `, which is a name for programmers.
    private static func withoutCode(_ text: String) -> String {
        guard let colon = text.range(of: ": "), text.first?.isLowercase == true else { return text }
        let word = text[..<colon.lowerBound]
        let isCode = word.allSatisfy { $0.isASCII && $0.isLetter } && word.contains { $0.isUppercase }
        return isCode ? String(text[colon.upperBound...]) : text
    }

    /// Bytes that a log holds now; 0 when there is none.
    package static func size(of path: String) -> UInt64 {
        guard let handle = FileHandle(forReadingAtPath: path) else { return 0 }
        defer { try? handle.close() }
        return (try? handle.seekToEnd()) ?? 0
    }

    private static func text(of path: String, after offset: UInt64) -> String? {
        guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? handle.close() }
        let size = (try? handle.seekToEnd()) ?? 0
        // A log that is shorter than it was has been rotated: all of it is new.
        let start = offset <= size ? offset : 0
        try? handle.seek(toOffset: max(start, size > byteCount ? size - byteCount : 0))
        return String(decoding: (try? handle.readToEnd()) ?? Data(), as: UTF8.self)
    }
}

/// How a process ended, in words.
package enum ExitText {
    /// - Parameter status: as a shell shows it; above 128 a signal.
    package static func format(_ status: Int32) -> String {
        guard status > 128 else { return "ended with status \(status)" }
        let signal = status - 128
        let name = strsignal(signal).map { String(cString: $0) } ?? "unknown"
        return "was ended by signal \(signal) (\(name.lowercased()))"
    }
}
