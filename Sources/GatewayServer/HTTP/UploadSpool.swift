import Crypto
import Foundation
import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A file on its way from a client to the store, on disk so that neither its size nor the order of the form's parts
/// costs memory: the store must be told size and purpose first, and a form may say both last.
///
/// The file has no name, so that nothing is left after a crash, and holds sealed segments under a key that lives in this
/// object only, so that no document is ever on the gateway's disk in the clear.
final class UploadSpool {
    /// Plain bytes of a segment.
    static let segmentSize = 256 * 1024
    /// What sealing adds: nonce and tag.
    private static let overhead = 12 + 16

    private let descriptor: CInt
    private let key = SymmetricKey(size: .bits256)
    private var pending = ByteBuffer()
    /// Plain bytes taken in.
    private(set) var size = 0
    private var readOffset = 0

    /// - Throws: `GatewayError` when the directory cannot be written.
    init(directory: String) throws {
        let path = directory + "/upload-\(UInt64.random(in: .min ... .max))"
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("cannot create a file in the state directory") }
        unlink(path)
    }

    deinit {
        close(descriptor)
    }

    /// Takes bytes in.
    ///
    /// - Throws: `GatewayError` when the disk is full.
    func append(_ bytes: ByteBuffer) throws {
        var bytes = bytes
        size += bytes.readableBytes
        pending.writeBuffer(&bytes)
        while pending.readableBytes >= Self.segmentSize, let segment = pending.readBytes(length: Self.segmentSize) {
            try write(segment)
        }
        pending.discardReadBytes()
    }

    /// Ends writing; `next` may be called from now on.
    func finish() throws {
        if let rest = pending.readBytes(length: pending.readableBytes), !rest.isEmpty { try write(rest) }
        pending.clear()
    }

    /// The next segment, in order; nil at the end.
    func next() throws -> ByteBuffer? {
        var sealed = [UInt8](repeating: 0, count: Self.segmentSize + Self.overhead)
        let count = sealed.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, off_t(readOffset)) }
        guard count >= 0 else { throw GatewayError(code: .stateUnavailable, message: "cannot read an upload back") }
        guard count > 0 else { return nil }
        readOffset += count
        let box = try ChaChaPoly.SealedBox(combined: sealed.prefix(count))
        return ByteBuffer(bytes: try ChaChaPoly.open(box, using: key))
    }

    private func write(_ segment: [UInt8]) throws {
        let sealed = try ChaChaPoly.seal(segment, using: key).combined
        try sealed.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                let count = Self.systemWrite(
                    descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw Self.failure("cannot write an upload to disk") }
                written += count
            }
        }
    }

    /// The error for what the last system call left in `errno`.
    private static func failure(_ message: String) -> GatewayError {
        let isFull = errno == ENOSPC || errno == EDQUOT
        return GatewayError(code: isFull ? .insufficientStorage : .stateUnavailable, message: message)
    }

    /// The name `write` is taken here.
    private static func systemWrite(_ descriptor: CInt, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
        #if canImport(Glibc)
        Glibc.write(descriptor, bytes, count)
        #elseif canImport(Musl)
        Musl.write(descriptor, bytes, count)
        #else
        Darwin.write(descriptor, bytes, count)
        #endif
    }
}
