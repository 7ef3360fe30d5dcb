import Foundation
import ServiceSupport
import Synchronization
import WireProtocols

/// The model behind a lock, with a clock: what the streams of reports write and the HTTP handlers read.
package final class ClusterState: Sendable {
    private let model: Mutex<ClusterModel>
    private let clock: @Sendable () -> Int64

    /// - Parameter clock: unix milliseconds that never go back; the default starts at the wall clock and then follows
    ///   the monotonic one, so that setting the machine's time makes nobody look offline.
    package init(limits: MonitorLimits = MonitorLimits(), clock: (@Sendable () -> Int64)? = nil) {
        model = Mutex(ClusterModel(limits: limits))
        self.clock = clock ?? Self.monotonicMilliseconds()
    }

    /// The time of the state's clock, unix milliseconds.
    package var now: Int64 { clock() }

    /// See ``ClusterModel/receive(_:key:now:)``.
    package func receive(_ report: Fathom_Monitor_V1_ServiceReport, key: String? = nil) -> String? {
        let now = clock()
        return model.withLock { $0.receive(report, key: key, now: now) }
    }

    /// See ``ClusterModel/disconnect(_:)``.
    package func disconnect(_ key: String) {
        model.withLock { $0.disconnect(key) }
    }

    /// See ``ClusterModel/tick(now:)``.
    package func tick() {
        let now = clock()
        model.withLock { $0.tick(now: now) }
    }

    /// Reads the model and the time. The value that is given out is a copy; the lock is not held while it is used.
    package func read<Result>(_ body: (ClusterModel, Int64) throws -> Result) rethrows -> Result {
        let copy = model.withLock { $0 }
        return try body(copy, clock())
    }

    private static func monotonicMilliseconds() -> @Sendable () -> Int64 {
        let start = ContinuousClock.now
        let wall = Int64(Date().timeIntervalSince1970 * 1000)
        return { wall + Int64((ContinuousClock.now - start).seconds * 1000) }
    }
}
