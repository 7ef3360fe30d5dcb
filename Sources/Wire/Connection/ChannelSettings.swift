import NIOCore

/// Socket and channel settings both sides share.
enum ChannelSettings {
    /// Small reads stay cheap, tensors arrive in few large ones.
    static var receiveAllocator: AdaptiveRecvByteBufferAllocator {
        AdaptiveRecvByteBufferAllocator(minimum: 2 << 10, initial: 16 << 10, maximum: 256 << 10)
    }
}
