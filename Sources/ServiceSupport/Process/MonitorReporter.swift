import Logging
import ServiceLifecycle
import Synchronization
import Wire
import WireProtocols

/// Sends this process's health and metrics to the monitor, every second or as often as the monitor asks. The monitor
/// may be absent, restart or hang: the reporter holds one report at a time, waits, and starts again; nothing else in
/// the process notices.
package struct MonitorReporter: Service {
    /// Pauses between attempts while the monitor cannot be reached.
    static let retryPauses: [Duration] = [.milliseconds(250), .milliseconds(500), .seconds(1), .seconds(2)]

    private let source: ServiceReportSource
    private let client: WireClient
    private let logger: Logger
    private let clock: any Clock<Duration>

    /// The reporter owns `client` and closes it at the end.
    package init(
        source: ServiceReportSource, client: WireClient, logger: Logger,
        clock: any Clock<Duration> = ContinuousClock()
    ) {
        self.source = source
        self.client = client
        self.logger = logger
        self.clock = clock
    }

    /// Reports until graceful shutdown or cancellation; never throws for the monitor's sake.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            var failures = 0
            while !Task.isCancelled {
                let contact = Contact()
                do {
                    try await reportUntilFailure(contact)
                } catch is CancellationError {
                    break
                } catch {
                    if contact.wasMade { failures = 0 }
                    // Said once when contact is lost, not once per attempt.
                    logger.log(
                        level: failures == 0 ? .warning : .debug, "Monitor cannot be reached",
                        metadata: ["error": "\(error)", "attempt": "\(failures + 1)"])
                }
                let pause = Self.retryPauses[min(failures, Self.retryPauses.count - 1)]
                failures += 1
                try? await clock.sleep(for: pause * Double.random(in: 0.8...1.2))
            }
        }
        await client.close()
    }

    /// One stream: report, wait for the acknowledgement, wait for the interval, again. Waiting for the acknowledgement
    /// bounds what is in flight to one report however slow the monitor is.
    private func reportUntilFailure(_ contact: Contact) async throws {
        try await client.bidirectional(MonitorService.report) { writer, responses in
            var acknowledgements = responses.makeAsyncIterator()
            while true {
                try await writer.write(source.report())
                guard let acknowledgement = try await acknowledgements.next() else {
                    throw RPCError(code: .unavailable, message: "the monitor ended the stream of reports")
                }
                contact.made()
                try await clock.sleep(for: Self.interval(of: acknowledgement.message))
            }
        }
    }

    /// The interval the monitor asked for, within sane bounds; one second when it did not say.
    static func interval(of acknowledgement: Fathom_Monitor_V1_ReportAcknowledgement) -> Duration {
        let milliseconds = acknowledgement.intervalMilliseconds
        return milliseconds == 0 ? .seconds(1) : .milliseconds(Int64(min(max(milliseconds, 200), 60_000)))
    }

    /// Whether a stream got as far as one acknowledgement.
    private final class Contact: Sendable {
        private let state = Mutex(false)

        var wasMade: Bool { state.withLock { $0 } }

        func made() {
            state.withLock { $0 = true }
        }
    }
}
