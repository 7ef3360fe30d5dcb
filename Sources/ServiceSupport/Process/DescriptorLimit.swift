import Foundation
import Logging

/// How many file descriptors the process may have open. Connections, databases and models take them; shells and service
/// managers start processes with a soft limit of 1,024, which the process itself may raise to the hard one.
package enum DescriptorLimit {
    /// Beyond this many nothing is gained.
    static let enough = 1 << 20
    /// With fewer than this a service may fail under load.
    static let few = 4096

    /// What a raise did.
    package struct Change: Sendable, Equatable {
        package var before: Int
        package var after: Int
    }

    /// The soft limit now; 0 when it cannot be read.
    package static var current: Int { read().map { clamped($0.rlim_cur) } ?? 0 }

    /// Raises the soft limit to the hard one.
    @discardableResult
    package static func raise() -> Change {
        guard let limit = read() else { return Change(before: 0, after: 0) }
        let before = clamped(limit.rlim_cur)
        let wanted = min(clamped(limit.rlim_max), enough)
        guard wanted > before else { return Change(before: before, after: before) }
        var raised = limit
        raised.rlim_cur = rlim_t(wanted)
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 else {
            return Change(before: before, after: before)
        }
        return Change(before: before, after: wanted)
    }

    /// Raises the limit and says so, with a warning when it stays low.
    static func raise(logger: Logger) {
        let change = raise()
        if change.after > change.before {
            logger.info(
                "Descriptor limit raised", metadata: ["from": "\(change.before)", "to": "\(change.after)"])
        }
        if change.after < few {
            logger.warning(
                "The descriptor limit is low", metadata: ["limit": "\(change.after)", "recommended": "\(few)"])
        }
    }

    private static func read() -> rlimit? {
        var limit = rlimit()
        return getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 ? limit : nil
    }

    /// "Unlimited" is a number that does not fit.
    private static func clamped(_ value: rlim_t) -> Int { Int(clamping: value) }
}
