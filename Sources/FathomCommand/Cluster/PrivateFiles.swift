import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// A folder that is this user's alone: own uid, mode 0700.
enum PrivateFolder {
    /// Makes the folder with its parents, or holds what is there to the rule: others' folders, and links that others made,
    /// are refused; access for others is taken away.
    ///
    /// - Parameter names: What may be in a folder that others can enter so far; another entry means that it has another
    ///   purpose, and it is refused. nil for any.
    /// - Throws: ``CommandError`` `fileUnavailable`.
    static func ensure(_ path: String, mayHold names: ((String) -> Bool)? = nil) throws {
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        if !FileManager.default.fileExists(atPath: parent), parent.utf8.count < path.utf8.count {
            try ensure(parent)
        }
        if mkdir(path, 0o700) == 0 { return }
        guard errno == EEXIST else { throw CommandError.system("cannot create the folder \(path)") }
        let mode = try check(path)
        guard mode & 0o077 != 0 else { return }
        if let names, let other = try entries(path).first(where: { !names($0) }) {
            throw CommandError(
                .fileUnavailable,
                "\(path) is open to other users (mode \(String(mode & 0o777, radix: 8))) and holds other things, such as "
                    + "\(TerminalText.line(other)); use an empty folder, or `chmod 700` it if it is meant")
        }
        guard chmod(path, 0o700) == 0 else { throw CommandError.system("cannot close \(path) to other users") }
    }

    /// Whether the folder is there and this user's.
    ///
    /// - Returns: Its mode.
    /// - Throws: ``CommandError`` `fileUnavailable` for another's folder, for a link that another made, for no folder.
    @discardableResult
    static func check(_ path: String) throws -> mode_t {
        var information = stat()
        guard lstat(path, &information) == 0 else { throw CommandError.system("cannot open \(path)") }
        if information.st_mode & S_IFMT == S_IFLNK {
            guard information.st_uid == geteuid() || information.st_uid == 0 else {
                throw CommandError(.fileUnavailable, "\(path) is a link that \(owner(information)) made; remove it")
            }
            guard stat(path, &information) == 0 else { throw CommandError.system("cannot open \(path)") }
        }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            throw CommandError(.fileUnavailable, "\(path) is not a folder")
        }
        guard information.st_uid == geteuid() else {
            throw CommandError(
                .fileUnavailable,
                "\(path) belongs to \(owner(information)), not to you; choose another folder with --home")
        }
        return information.st_mode
    }

    private static func entries(_ path: String) throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        } catch {
            throw CommandError(.fileUnavailable, "\(path) cannot be listed: \(ErrorText.describe(error))", cause: error)
        }
    }

    static func owner(_ information: stat) -> String {
        guard let entry = getpwuid(information.st_uid) else { return "user \(information.st_uid)" }
        return "user \(String(cString: entry.pointee.pw_name)) (\(information.st_uid))"
    }
}

/// Files of a home that the tool opens for writing under a name that another user may have prepared.
enum PrivateFile {
    /// Opens, without following a link, a regular file that is this user's alone; mode 0600.
    ///
    /// - Parameter flags: `O_WRONLY | O_CREAT | O_APPEND` and the like.
    /// - Throws: ``CommandError`` `fileUnavailable`, saying what stands there instead.
    static func open(_ path: String, _ flags: Int32) throws -> Int32 {
        // Without O_NONBLOCK a pipe that somebody put there would be waited for.
        let descriptor = openFile(path, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            guard errno != ELOOP else {
                throw CommandError(.fileUnavailable, "\(path) is a link and is not written through; remove it")
            }
            throw CommandError.system("cannot open \(path)")
        }
        do {
            try hold(descriptor, path)
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func hold(_ descriptor: Int32, _ path: String) throws {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { throw CommandError.system("cannot look at \(path)") }
        guard information.st_mode & S_IFMT == S_IFREG else {
            throw CommandError(.fileUnavailable, "\(path) is not a file; remove it")
        }
        guard information.st_uid == geteuid() else {
            throw CommandError(
                .fileUnavailable, "\(path) belongs to \(PrivateFolder.owner(information)), not to you; remove it")
        }
        guard information.st_nlink == 1 else {
            throw CommandError(
                .fileUnavailable,
                "\(path) has \(information.st_nlink) names (hard links) and is not written to; remove it")
        }
        guard information.st_mode & 0o077 == 0 || fchmod(descriptor, 0o600) == 0 else {
            throw CommandError.system("cannot close \(path) to other users")
        }
    }

    private static func openFile(_ path: String, _ flags: Int32) -> Int32 {
        #if canImport(Glibc)
        Glibc.open(path, flags, 0o600)
        #elseif canImport(Musl)
        Musl.open(path, flags, 0o600)
        #else
        Darwin.open(path, flags, 0o600)
        #endif
    }
}
