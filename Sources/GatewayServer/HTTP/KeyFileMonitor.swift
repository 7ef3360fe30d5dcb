import Identity
import Logging
import ServiceLifecycle
import ServiceSupport

/// Looks at the key file also when nobody sends a key, and says so when it cannot be read: until it can, keys made do not
/// count, and keys revoked do.
struct KeyFileMonitor: Service {
    /// Time between looks.
    static let interval = Duration.seconds(1)

    let keys: KeyStore
    let metrics: GatewayMetrics
    let logger: Logger

    /// Looks until shutdown.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            var lastError: String?
            var lastCount = keys.activeKeyCount
            while !Task.isCancelled {
                let error = keys.refresh()
                metrics.keyFileReadable.set(error == nil ? 1 : 0)
                if error != lastError {
                    lastError = error
                    report(error)
                }
                let count = keys.activeKeyCount
                if count != lastCount {
                    lastCount = count
                    logger.notice("The API keys changed", metadata: ["keys.active": "\(count)"])
                }
                try? await Task.sleep(for: Self.interval)
            }
        }
    }

    private func report(_ error: String?) {
        if let error {
            logger.error(
                "The key file cannot be read; the keys known before stay valid and revocations do not count",
                metadata: ["error": "\(error)"])
        } else {
            logger.notice("The key file can be read again", metadata: ["keys.active": "\(keys.activeKeyCount)"])
        }
    }
}
