import ArgumentParser
import Foundation
import Logging
import ServiceLifecycle
import UnixSignals
import Wire

/// Runs the services of a process and turns whatever happens into an exit that an operator understands.
package enum ServiceRunner {
    /// From parsed flags to the end of the process. A main's `run()` is one call of this.
    ///
    /// An error, at start or later, prints one line, `fathom-shard: error: …`, on stderr and ends with exit code 1.
    ///
    /// - Parameters:
    ///   - service: "shard"; see ``ServiceConfiguration``.
    ///   - options: the common flags.
    ///   - flags: the service's own flags.
    ///   - fileOnlyKeys: settings without a flag.
    ///   - defaultPort: the port when nothing sets one.
    ///   - describe: reads all settings of the service once; for `--print-settings`.
    ///   - assemble: makes the services from the process, in the order in which they start. It may take as long as
    ///     loading a model takes; SIGTERM during that time ends the process at once, there is nothing to drain yet.
    package static func main(
        _ service: String, options: CommonOptions, flags: ServiceFlags, fileOnlyKeys: [String] = [],
        defaultPort: Int, describe: (ServiceConfiguration) throws -> Void,
        assemble: (ServiceProcess) async throws -> [any Service]
    ) async throws {
        // A peer that closes its connection must give an error to one write, not end the process.
        signal(SIGPIPE, SIG_IGN)
        do {
            if options.printsSettings {
                let configuration = try ServiceConfiguration(
                    describing: service, options: options, flags: flags, fileOnlyKeys: fileOnlyKeys,
                    defaultPort: defaultPort)
                try describe(configuration)
                try printSettings(configuration)
                return
            }
            let configuration = try ServiceConfiguration(
                service: service, options: options, flags: flags, fileOnlyKeys: fileOnlyKeys, defaultPort: defaultPort)
            let process = ServiceProcess(configuration)
            process.logging.installGlobally()
            process.logger.info(
                "Starting",
                metadata: [
                    "version": "\(FathomVersion.current)", "pid": "\(ProcessInfo.processInfo.processIdentifier)",
                ])
            DescriptorLimit.raise(logger: process.logger)
            try await process.run(assemble(process))
        } catch {
            StructuredLogHandler.writeToStandardError("fathom-\(service): error: \(oneLine(error))\n")
            throw ExitCode.failure
        }
    }

    /// Runs `services` in one group until SIGTERM or SIGINT, then stops them one after the other, last started first.
    /// After `drainTimeout` what is still running is cancelled; a service that ignores even that is left behind and
    /// the process exits with code 1 five seconds later.
    ///
    /// - Throws: the error of the first service that failed.
    package static func run(services: [any Service], logger: Logger, drainTimeout: Duration) async throws {
        let watchdog = DrainWatchdog(limit: drainTimeout + .seconds(5), logger: logger)
        defer { watchdog.disarm() }
        var configuration = ServiceGroupConfiguration(
            services: (services + [watchdog]).map { .init(service: $0, serviceName: "\(type(of: $0))") },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: quiet(logger))
        configuration.maximumGracefulShutdownDuration = drainTimeout
        try await ServiceGroup(configuration: configuration).run()
    }

    private static func printSettings(_ configuration: ServiceConfiguration) throws {
        struct Document: Encodable {
            var service: String
            var settings: [SettingDescription]
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let document = Document(service: configuration.service, settings: configuration.descriptions)
        FileHandle.standardOutput.write(try encoder.encode(document) + Data("\n".utf8))
    }

    /// The message of an error on one line; errors of this project carry their own words.
    static func oneLine(_ error: any Error) -> String {
        let text =
            switch error {
            case let error as ConfigurationError: error.message
            case let error as RPCError: error.cause.map { "\(error.message): \($0)" } ?? error.message
            case let error as any CustomStringConvertible: error.description
            default: error.localizedDescription
            }
        return text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    /// The group's own progress messages belong to debugging.
    private static func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        if quiet.logLevel > .debug { quiet.logLevel = max(quiet.logLevel, .warning) }
        return quiet
    }
}
