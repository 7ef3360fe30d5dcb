import Foundation
import Logging

/// Makes one logfmt line of one log event: `time=… level=… service=… instance=… msg="…" key=value …`. Pure, so that
/// tests can hold it against hostile text: whatever a value contains, it stays one line and one value.
package struct LogLine: Sendable {
    /// Longest value, bytes of UTF-8; the rest is cut and marked.
    package static let maxValueByteCount = 1024
    /// Most metadata keys on one line.
    package static let maxKeyCount = 64

    /// "shard".
    package let service: String
    /// "shard-0".
    package let instance: String

    package init(service: String, instance: String) {
        self.service = service
        self.instance = instance
    }

    /// The line, with its line feed.
    package func render(
        time: Date, level: Logger.Level, label: String, message: String, metadata: Logger.Metadata
    ) -> String {
        var line = "time=\(Self.timestamp(time)) level=\(level.rawValue) service=\(Self.quoted(service))"
        line += " instance=\(Self.quoted(instance)) scope=\(Self.quoted(label)) msg=\(Self.quoted(message))"
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }).prefix(Self.maxKeyCount) {
            line += " \(Self.key(key))=\(Self.quoted(value.description))"
        }
        return line + "\n"
    }

    /// RFC 3339 in UTC with milliseconds.
    static func timestamp(_ time: Date) -> String {
        time.formatted(.iso8601.year().month().day().dateSeparator(.dash).time(includingFractionalSeconds: true))
            + "Z"
    }

    /// A value as logfmt wants it: bare when harmless, else in quotes with backslash escapes.
    package static func quoted(_ value: String) -> String {
        let cut = value.utf8.count > maxValueByteCount
        let text = cut ? String(decoding: value.utf8.prefix(maxValueByteCount), as: UTF8.self) + "…" : value
        if !text.isEmpty, text.utf8.allSatisfy(isBare) { return text }
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            // Control characters and line separators could forge lines or drive a terminal.
            case _
            where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || scalar == "\u{2028}"
                || scalar == "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// A metadata key: everything that could end the key early becomes an underscore.
    private static func key(_ key: String) -> String {
        String(
            decoding: key.utf8.prefix(100).map { isBare($0) && $0 != UInt8(ascii: "=") ? $0 : UInt8(ascii: "_") },
            as: UTF8.self)
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
            && byte != UInt8(ascii: "=")
    }
}
