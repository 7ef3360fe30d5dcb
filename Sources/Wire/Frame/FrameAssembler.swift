import NIOCore

/// Cuts a byte stream into frame bodies: four bytes of big-endian length, then as many bytes.
///
/// Frames that arrive whole are slices of the receive buffer. A frame in pieces is collected in a buffer of its own,
/// which grows with what arrives, not with what the length promises.
package struct FrameAssembler {
    /// Frames up to this size get their buffer at once.
    private static let eagerCapacity = 1 << 20

    private var buffer: ByteBuffer?

    package init() {}

    /// Bytes held that are not part of a whole frame yet.
    package var heldBytes: Int { buffer?.readableBytes ?? 0 }

    /// Adds what was received.
    package mutating func append(_ received: ByteBuffer, allocator: ByteBufferAllocator) {
        guard var held = buffer, held.readableBytes > 0 else {
            buffer = received
            return
        }
        // Kept unshared below, so that this appends in place.
        buffer = nil
        var received = received
        held.writeBuffer(&received)
        buffer = held
    }

    /// The next whole frame body, nil when more bytes are needed.
    ///
    /// - Throws: FRAME_TOO_LARGE above `limit`, PROTOCOL_ERROR for an empty frame.
    package mutating func next(limit: Int) throws(ConnectionFault) -> ByteBuffer? {
        guard var held = buffer else { return nil }
        guard let length = held.getInteger(at: held.readerIndex, as: UInt32.self) else {
            unshare(expecting: FrameEncoder.prefixLength)
            return nil
        }
        guard length > 0 else { throw ConnectionFault(.protocolError, "a frame of 0 bytes") }
        guard Int(length) <= limit else {
            throw ConnectionFault(.frameTooLarge, "a frame of \(length) bytes, the limit is \(limit)")
        }
        let whole = FrameEncoder.prefixLength + Int(length)
        guard held.readableBytes >= whole else {
            unshare(expecting: whole)
            return nil
        }
        held.moveReaderIndex(forwardBy: FrameEncoder.prefixLength)
        let body = held.readSlice(length: Int(length))
        buffer = held.readableBytes > 0 ? held : nil
        return body
    }

    /// Moves an incomplete frame into a buffer that no slice shares, once for each frame.
    private mutating func unshare(expecting bytes: Int) {
        guard let held = buffer, held.readerIndex > 0 || held.capacity < min(bytes, Self.eagerCapacity) else { return }
        var own = ByteBufferAllocator().buffer(capacity: max(held.readableBytes, min(bytes, Self.eagerCapacity)))
        own.writeImmutableBuffer(held)
        buffer = own
    }
}
