import NIOCore

/// One frame of the wire, the native twin of the generated `Fathom_Wire_V1_Frame`.
///
/// The hot path never builds the generated message: ``FrameEncoder`` and ``FrameDecoder`` go from and to this value, and
/// `Payload` holds slices of the receive buffer. docs/wire.md draws it byte by byte.
package enum Frame: Sendable, Equatable {
    case hello(Hello)
    case open(stream: UInt32, Open, Payload?, endStream: Bool)
    case message(stream: UInt32, Payload, endStream: Bool)
    case halfClose(stream: UInt32)
    case status(stream: UInt32, Status, Payload?)
    case cancel(stream: UInt32)
    case credit(stream: UInt32, bytes: UInt32)
    case ping(token: UInt64)
    case pong(token: UInt64)
    case goAway(GoAway)

    /// The request or response of a frame.
    package struct Payload: Sendable, Equatable {
        /// The encoded protobuf message, possibly empty.
        package var message: ByteBuffer
        /// Bulk bytes; nil and empty are the same on the wire.
        package var attachment: ByteBuffer?

        package init(message: ByteBuffer, attachment: ByteBuffer? = nil) {
            self.message = message
            self.attachment = attachment
        }

        /// What a payload costs in credits beyond its bytes, so that empty messages are bounded as well.
        package static let overhead = 64

        /// Credits this payload uses up.
        package var cost: Int {
            message.readableBytes + (attachment?.readableBytes ?? 0) + Self.overhead
        }
    }

    /// Connection parameters, each side its own.
    package struct Hello: Sendable, Equatable {
        /// The version this code speaks.
        package static let currentVersion: UInt32 = 1

        package var version: UInt32
        package var initialCredits: UInt32
        package var maxFrameBytes: UInt32
        package var maxStreams: UInt32
        package var peer: String

        package init(
            version: UInt32 = Hello.currentVersion, initialCredits: UInt32, maxFrameBytes: UInt32, maxStreams: UInt32,
            peer: String
        ) {
            self.version = version
            self.initialCredits = initialCredits
            self.maxFrameBytes = maxFrameBytes
            self.maxStreams = maxStreams
            self.peer = peer
        }
    }

    /// What a stream is for.
    package struct Open: Sendable, Equatable {
        package var method: String
        package var metadata: Metadata
        /// Time left until the deadline, 0 for none.
        package var timeoutMicroseconds: UInt64

        package init(method: String, metadata: Metadata = [:], timeoutMicroseconds: UInt64 = 0) {
            self.method = method
            self.metadata = metadata
            self.timeoutMicroseconds = timeoutMicroseconds
        }

        /// Not less than the bytes this takes in a frame.
        var sizeBound: Int { method.utf8.count + metadata.size + 32 }
    }

    /// The end of a stream.
    package struct Status: Sendable, Equatable {
        package var code: StatusCode
        package var message: String
        package var metadata: Metadata

        package init(code: StatusCode, message: String = "", metadata: Metadata = [:]) {
            self.code = code
            self.message = message
            self.metadata = metadata
        }

        init(_ error: RPCError) {
            self.init(code: error.code, message: error.message, metadata: error.metadata)
        }
    }

    /// The end of a connection.
    package struct GoAway: Sendable, Equatable {
        /// Why; a number this code does not know reads as `unspecified`.
        package enum Reason: UInt32, Sendable {
            case unspecified, draining, protocolError, frameTooLarge, unsupportedVersion, flowControl, idle
        }

        package var reason: Reason
        package var lastStreamID: UInt32
        package var message: String

        package init(reason: Reason, lastStreamID: UInt32 = 0, message: String = "") {
            self.reason = reason
            self.lastStreamID = lastStreamID
            self.message = message
        }
    }
}

/// A violation of the protocol by the peer: it ends the connection with GO_AWAY(`reason`).
package struct ConnectionFault: Error, Sendable, Equatable {
    package var reason: Frame.GoAway.Reason
    package var message: String

    package init(_ reason: Frame.GoAway.Reason, _ message: String) {
        self.reason = reason
        self.message = message
    }
}
