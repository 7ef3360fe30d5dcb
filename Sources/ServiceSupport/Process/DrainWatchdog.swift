import Foundation
import Logging
import ServiceLifecycle
import Synchronization

/// The last line of defence of a bounded drain: `limit` after shutdown began, or after another service failed, it ends
/// the process with exit code 1 unless it was disarmed. It waits on a thread of its own, so that it works even when
/// every thread of the cooperative pool is stuck.
final class DrainWatchdog: Service {
    private let limit: Duration
    private let logger: Logger
    private let disarmed = Mutex(false)

    init(limit: Duration, logger: Logger) {
        self.limit = limit
        self.logger = logger
    }

    /// Everything has stopped in time.
    func disarm() {
        disarmed.withLock { $0 = true }
    }

    func run() async throws {
        // Throws when cancelled, that is when another service failed: the others are being stopped then as well.
        try? await gracefulShutdown()
        Thread.detachNewThread { [self] in
            Thread.sleep(forTimeInterval: limit.seconds)
            guard !disarmed.withLock({ $0 }) else { return }
            logger.critical("Shutdown did not end in time", metadata: ["limit.seconds": "\(limit.seconds)"])
            _exit(1)
        }
    }
}
