import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// An address that cannot be listened on, in words that say which one and why.
package struct ListenError: Error, Sendable, CustomStringConvertible {
    /// Why not.
    package enum Reason: Sendable, Equatable {
        /// Somebody listens there already.
        case inUse
        /// The system reserves the port for others.
        case notPermitted
        /// No network interface of this machine has the address.
        case foreignAddress
        /// The host is neither an address nor a name that resolves.
        case unknownHost
    }

    package let host: String
    package let port: Int
    package let reason: Reason

    package init(host: String, port: Int, reason: Reason) {
        self.host = host
        self.port = port
        self.reason = reason
    }

    /// What an error of binding means; nil for an error that says nothing of an address.
    package init?(host: String, port: Int, error: any Error) {
        let reason: Reason
        switch error {
        case let error as ListenError:
            self = error
            return
        case let error as IOError:
            switch error.errnoCode {
            case EADDRINUSE: reason = .inUse
            case EACCES: reason = .notPermitted
            case EADDRNOTAVAIL: reason = .foreignAddress
            default: return nil
            }
        case is SocketAddressError, is SocketAddressError.UnknownHost: reason = .unknownHost
        default: return nil
        }
        self.init(host: host, port: port, reason: reason)
    }

    /// Whether the port is to blame, and not the host.
    package var isAboutPort: Bool {
        switch reason {
        case .inUse, .notPermitted: true
        case .foreignAddress, .unknownHost: false
        }
    }

    package var description: String {
        let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        return switch reason {
        case .inUse: "\(address) is in use by another process"
        case .notPermitted: "\(address) may not be listened on by this user"
        case .foreignAddress: "\(address) cannot be listened on: this machine has no such address"
        case .unknownHost: "\(address) cannot be listened on: the host is unknown"
        }
    }
}
