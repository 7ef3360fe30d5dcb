import Crypto
import Foundation
import NIOCore

/// A document's bytes and what they are known by.
struct DocumentContent: Sendable {
    var bytes: ByteBuffer
    /// Lower-case hex.
    var sha256: String
}

/// Reads the files that are uploaded.
enum DocumentReader {
    /// Largest file that any store takes.
    static let maximumBytes = 1 << 30

    /// The whole file.
    ///
    /// - Throws: ``CommandError`` `fileUnavailable` with the reason, the name left out; also for an empty file, and for
    ///   what has become no file since it was found: nothing here waits for a pipe.
    static func read(_ path: String) throws -> DocumentContent {
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandError.system("it cannot be opened") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw CommandError.system("it cannot be read") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw CommandError(.fileUnavailable, "it is not a file") }
        guard status.st_size > 0 else { throw CommandError(.fileUnavailable, "the file is empty") }
        guard status.st_size <= maximumBytes else {
            throw CommandError(
                .fileUnavailable, "the file has \(status.st_size) bytes; at most \(maximumBytes) can be stored")
        }
        var bytes = ByteBuffer()
        var hash = SHA256()
        var piece = [UInt8](repeating: 0, count: 1 << 18)
        while bytes.readableBytes <= maximumBytes {
            let count = piece.withUnsafeMutableBytes { buffer in
                Foundation.read(descriptor, buffer.baseAddress, buffer.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw CommandError.system("it cannot be read") }
            if count == 0 { break }
            bytes.writeBytes(piece[..<count])
            hash.update(data: piece[..<count])
        }
        guard bytes.readableBytes > 0 else { throw CommandError(.fileUnavailable, "the file is empty") }
        return DocumentContent(bytes: bytes, sha256: hash.finalize().map { String(format: "%02x", $0) }.joined())
    }
}
