import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Turns `errno` into our error while it is still the one of the failed call.
enum SystemError {
    static func last(_ what: String) -> ModelRegistryError {
        let number = errno
        return ModelRegistryError(code: .fileUnavailable, message: "\(what): \(String(cString: strerror(number)))")
    }
}

/// The few file operations whose order decides what a crash leaves behind.
enum DurableFiles {
    /// Forces a file's content, or a folder's entries, to the disk.
    static func synchronise(path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError.last("cannot open \(path)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemError.last("cannot write \(path) to the disk") }
    }

    /// Writes a small file and forces it to the disk. A link under that name is not followed.
    static func write(_ data: Data, path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SystemError.last("cannot write \(path)") }
        defer { close(descriptor) }
        try data.withUnsafeBytes { try append($0, to: descriptor, path: path) }
        guard fsync(descriptor) == 0 else { throw SystemError.last("cannot write \(path) to the disk") }
    }

    /// Writes all of `bytes` where the descriptor stands.
    ///
    /// - Parameter path: names the file in the error.
    static func append(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String) throws {
        var written = 0
        while written < bytes.count {
            #if canImport(Glibc)
            let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
            #elseif canImport(Musl)
            let count = Musl.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
            #else
            let count = Darwin.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
            #endif
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SystemError.last("cannot write \(path)") }
            written += count
        }
    }

    /// Copies the bytes of a file into a new one; what is there already is not replaced, and no link is followed there.
    static func copy(_ source: String, to target: String) throws {
        let input = open(source, O_RDONLY | O_CLOEXEC)
        guard input >= 0 else { throw SystemError.last("cannot open \(source)") }
        defer { close(input) }
        let output = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard output >= 0 else { throw SystemError.last("cannot create \(target)") }
        defer { close(output) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(input, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw SystemError.last("cannot read \(source)") }
            guard count > 0 else { break }
            try buffer.withUnsafeBytes {
                try append(UnsafeRawBufferPointer(rebasing: $0[..<count]), to: output, path: target)
            }
        }
        guard fsync(output) == 0 else { throw SystemError.last("cannot write \(target) to the disk") }
    }

    /// Replaces `target` by `source` in one step; both must be on the same file system.
    static func move(_ source: String, to target: String) throws {
        guard rename(source, target) == 0 else { throw SystemError.last("cannot rename \(source) to \(target)") }
    }

    /// Makes a folder and its parents.
    static func makeDirectory(_ path: String) throws {
        var information = stat()
        if stat(path, &information) == 0 {
            guard information.st_mode & S_IFMT == S_IFDIR else {
                throw ModelRegistryError(
                    code: .fileUnavailable, message: "cannot create the folder \(path): a file of that name is there")
            }
            return
        }
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        if parent.utf8.count < path.utf8.count { try makeDirectory(parent) }
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
            throw SystemError.last("cannot create the folder \(path)")
        }
    }

    /// Size in bytes, or nil when there is no such regular file.
    static func size(path: String) -> Int64? {
        var information = stat()
        guard stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int64(information.st_size)
    }
}
