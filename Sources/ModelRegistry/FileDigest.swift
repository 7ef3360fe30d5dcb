import Crypto
import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// SHA-256 of files, streamed: memory does not grow with the file.
package enum FileDigest {
    /// Size and SHA-256 of the file at `path`.
    ///
    /// - Throws: ``ModelRegistryError`` `fileUnavailable`.
    package static func of(path: String) throws -> (size: Int64, sha256: String) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError.last("cannot open \(path)") }
        defer { close(descriptor) }
        var hash = SHA256()
        var size: Int64 = 0
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError.last("cannot read \(path)") }
            guard count > 0 else { break }
            buffer.withUnsafeBytes { hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            size += Int64(count)
        }
        return (size, hexadecimal(hash.finalize()))
    }

    /// Size and SHA-256 of a file's mapped bytes.
    package static func of(_ bytes: UnsafeRawBufferPointer) -> (size: Int64, sha256: String) {
        var hash = SHA256()
        hash.update(bufferPointer: bytes)
        return (Int64(bytes.count), hexadecimal(hash.finalize()))
    }

    /// SHA-1 of a file as git names blobs: of `blob SIZE`, a zero byte and the content. Git's integrity, not a defence
    /// against forgers; files that matter have a SHA-256.
    static func gitBlob(path: String) throws -> String {
        guard let size = DurableFiles.size(path: path), let file = FileHandle(forReadingAtPath: path) else {
            throw SystemError.last("cannot read \(path)")
        }
        defer { try? file.close() }
        var hash = Insecure.SHA1()
        hash.update(data: Data("blob \(size)\0".utf8))
        while let data = try? file.read(upToCount: 1 << 20), !data.isEmpty { hash.update(data: data) }
        return hexadecimal(hash.finalize())
    }

    /// Whether `text` is 64 lower-case hex digits.
    package static func isHexDigest(_ text: String) -> Bool {
        text.utf8.count == 64
            && text.utf8.allSatisfy {
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                    || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
            }
    }

    /// Lower-case hex digits.
    static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
