import Foundation
import Logging

/// Writes each log event as one line to a sink, by default stderr with one `write` per line, so that lines of several
/// threads, and of several processes on one pipe, do not mix.
package struct StructuredLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?

    private let label: String
    private let line: LogLine
    private let write: @Sendable (String) -> Void

    package init(
        label: String, line: LogLine, level: Logger.Level,
        write: @escaping @Sendable (String) -> Void = StructuredLogHandler.writeToStandardError
    ) {
        self.label = label
        self.line = line
        self.write = write
        logLevel = level
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        if let error = event.error, all["error"] == nil { all["error"] = "\(error)" }
        write(
            line.render(
                time: Date(), level: event.level, label: label, message: event.message.description, metadata: all))
    }

    /// One `write(2)` for the whole line. A full or closed pipe loses the line: logging never stops the process.
    package static let writeToStandardError: @Sendable (String) -> Void = { text in
        var text = text
        text.withUTF8 { bytes in
            _ = Foundation.write(STDERR_FILENO, bytes.baseAddress, bytes.count)
        }
    }
}
