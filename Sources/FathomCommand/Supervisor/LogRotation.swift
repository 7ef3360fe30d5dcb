#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Keeps the log of a running process below a size.
///
/// The process holds the file open for appending, so the file itself must stay: its content is copied to `.1` and it is
/// cut to nothing. A line written between the two is lost; that is the price of not standing between the two.
package struct LogRotation: Sendable {
    /// Bytes above which a log is rotated.
    package var maximumBytes: Int
    /// Older files kept: `.1` is the youngest.
    package var keptFiles: Int

    package init(maximumBytes: Int = 16 << 20, keptFiles: Int = 3) {
        self.maximumBytes = maximumBytes
        self.keptFiles = keptFiles
    }

    /// Rotates the file at `path` if it is too large. Failures leave it as it is: a log must not stop a cluster.
    ///
    /// - Returns: Whether it was rotated.
    @discardableResult
    package func rotateIfNeeded(_ path: String) -> Bool {
        var information = stat()
        guard lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFREG,
            information.st_size > maximumBytes, keptFiles > 0
        else { return false }
        for index in stride(from: keptFiles, to: 1, by: -1) { rename("\(path).\(index - 1)", "\(path).\(index)") }
        // Neither file may be a link that leads elsewhere.
        let log = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard log >= 0 else { return false }
        defer { close(log) }
        return copy(log, to: "\(path).1") && ftruncate(log, 0) == 0
    }

    private func copy(_ source: Int32, to target: String) -> Bool {
        unlink(target)
        let sink = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard sink >= 0 else { return false }
        defer { close(sink) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(source, &buffer, buffer.count)
            if count == 0 { return true }
            guard count > 0, write(sink, buffer, count) == count else { return false }
        }
    }
}
