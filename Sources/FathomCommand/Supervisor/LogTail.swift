import Foundation

/// The end of a log, for error messages.
package enum LogTail {
    /// Bytes at the end of a log that are looked at.
    private static let byteCount: UInt64 = 8_192

    /// The last lines.
    static func lines(of path: String, count: Int) -> String {
        guard let text = tail(path) else { return "(no log)" }
        return text.split(separator: "\n").suffix(count).map { "  \($0)" }.joined(separator: "\n")
    }

    /// Why a service ended, in its own words: services say it in their last line, after their name. Where none was said,
    /// how it ended and the end of its log.
    package static func reason(in path: String, exitStatus: Int32) -> String {
        let lines = (tail(path) ?? "").split(separator: "\n").map(String.init)
        if let line = lines.suffix(3).last(where: { $0.hasPrefix("fathom-") && $0.contains(": error: ") }),
            let start = line.range(of: ": error: ")
        {
            return withoutCode(String(line[start.upperBound...])) + "\nIts log is \(path)"
        }
        let end =
            exitStatus > 128 ? "it was killed by signal \(exitStatus - 128)" : "it ended with exit status \(exitStatus)"
        return "\(end) and gave no reason; the end of \(path):\n" + Self.lines(of: path, count: 8)
    }

    /// Without the code of an error, `invalidRequest: `, which is a name for programmers.
    private static func withoutCode(_ text: String) -> String {
        guard let colon = text.range(of: ": "), text.first?.isLowercase == true else { return text }
        let word = text[..<colon.lowerBound]
        let isCode = word.allSatisfy { $0.isASCII && $0.isLetter } && word.contains { $0.isUppercase }
        return isCode ? String(text[colon.upperBound...]) : text
    }

    private static func tail(_ path: String) -> String? {
        guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
        defer { try? handle.close() }
        let size = (try? handle.seekToEnd()) ?? 0
        try? handle.seek(toOffset: size > byteCount ? size - byteCount : 0)
        return String(decoding: (try? handle.readToEnd()) ?? Data(), as: UTF8.self)
    }
}
