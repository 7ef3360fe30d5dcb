import Logging

/// Loggers of one process. They are made from a value that is handed around, not from swift-log's global factory, so
/// that several services can live in one test process; libraries that log by themselves get the global one.
package struct LoggingBootstrap: Sendable {
    private let line: LogLine
    private let level: Logger.Level

    package init(service: String, instance: String, level: Logger.Level) {
        line = LogLine(service: service, instance: instance)
        self.level = level
    }

    /// A logger for one part of the process. `label` is dotted: "wire.server".
    package func logger(_ label: String) -> Logger {
        let (line, level) = (line, level)
        return Logger(label: label, factory: { StructuredLogHandler(label: $0, line: line, level: level) })
    }

    /// Makes libraries that create their own loggers write the same lines. Once per process, before the first logger.
    package func installGlobally() {
        let (line, level) = (line, level)
        LoggingSystem.bootstrap { StructuredLogHandler(label: $0, line: line, level: level) }
    }
}
