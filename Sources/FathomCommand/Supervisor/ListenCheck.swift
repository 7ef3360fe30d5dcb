import Foundation
import Wire

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Tries an address before processes are started that would need it.
enum ListenCheck {
    /// Whether somebody listens at `host` and `port` already, or the address is none of this machine's.
    ///
    /// The port is free again at once, so another process could still take it; the service's own error says so then.
    static func problem(host: String, port: Int) -> ListenError? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &found) == 0, let address = found else {
            return ListenError(host: host, port: port, reason: .unknownHost)
        }
        defer { freeaddrinfo(found) }
        let descriptor = socket(address.pointee.ai_family, address.pointee.ai_socktype, 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard bind(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) != 0 || listen(descriptor, 1) != 0
        else { return nil }
        switch errno {
        case EADDRINUSE: return ListenError(host: host, port: port, reason: .inUse)
        case EACCES: return ListenError(host: host, port: port, reason: .notPermitted)
        case EADDRNOTAVAIL: return ListenError(host: host, port: port, reason: .foreignAddress)
        default: return nil
        }
    }
}
