import AsyncHTTPClient
import Foundation
import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What the HTTP client's errors mean, as part of a sentence: "no answer from X: the connection was refused".
package enum NetworkErrorText {
    package static func describe(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError: connection(error)
        case let error as IOError: system(error.errnoCode)
        case let error as ChannelError: channel(error)
        case let error as HTTPClientError: client(error)
        case is NIOTooManyBytesError: "the answer is too long"
        default: String("\(error)".prefix(300))
        }
    }

    private static func connection(_ error: NIOConnectionError) -> String {
        if let first = error.connectionErrors.first { return describe(first.error) }
        return error.dnsAError != nil || error.dnsAAAAError != nil
            ? "the name \(error.host) cannot be resolved" : "no connection to \(error.host):\(error.port)"
    }

    private static func system(_ number: CInt) -> String {
        switch number {
        case ECONNREFUSED: "the connection was refused (nobody listens there)"
        case ENETUNREACH, EHOSTUNREACH: "there is no network to it"
        case ETIMEDOUT: "the connection timed out"
        case ECONNRESET, EPIPE: "the connection was closed by the other side"
        default: String(cString: strerror(number))
        }
    }

    private static func channel(_ error: ChannelError) -> String {
        if case .connectTimeout(let time) = error {
            return String(format: "no connection within %g s", Double(time.nanoseconds) / 1e9)
        }
        return error == .eof || error == .ioOnClosedChannel
            ? "the connection was closed by the other side" : "the connection failed (\(error))"
    }

    private static func client(_ error: HTTPClientError) -> String {
        switch error {
        case .connectTimeout, .getConnectionFromPoolTimeout: "no connection in time"
        case .tlsHandshakeTimeout: "the TLS handshake took too long"
        case .httpProxyHandshakeTimeout, .socksHandshakeTimeout: "the proxy did not answer in time"
        case .invalidProxyResponse, .proxyAuthenticationRequired: "the proxy refused"
        case .readTimeout, .deadlineExceeded: "it did not answer in time"
        case .remoteConnectionClosed, .uncleanShutdown: "the connection was closed by the other side"
        case .redirectLimitReached, .redirectCycleDetected: "it redirects without end"
        case .invalidURL, .emptyHost, .emptyScheme: "that is no URL of the form http://HOST:PORT"
        default:
            // "HTTPClientError.someCase" is a name for programmers.
            "\(error)".hasPrefix("HTTPClientError.unsupportedScheme")
                ? "only http:// and https:// are spoken" : "the HTTP exchange failed (\(error.shortDescription))"
        }
    }
}
