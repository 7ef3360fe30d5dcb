import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The keys a server accepts, read from a `KeyFile` and read again when that file changes.
///
/// The file is looked at no more than once in a `checkInterval`, on the thread of whoever asks. When it has become
/// unreadable the keys that were valid stay so, and `reloadError` says why: an editor's mistake must not lock every
/// tenant out. An absent file means no keys.
package final class KeyStore: Sendable {
    private struct Key {
        var digest: [UInt8]
        var principal: Principal
    }

    /// What tells one content of the file from another without reading it.
    private struct Stamp: Equatable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
    }

    private struct State {
        var keys: [Key] = []
        var stamp: Stamp?
        var checkedAt: ContinuousClock.Instant
        var reloadError: String?
    }

    private let path: String
    private let checkInterval: Duration
    private let state: Mutex<State>

    /// Reads the file at `path`.
    ///
    /// - Throws: what `KeyFile.load` throws, because a server must not start with a broken key file.
    package init(path: String, checkInterval: Duration = .seconds(1), now: ContinuousClock.Instant = .now) throws {
        self.path = path
        self.checkInterval = checkInterval
        let stamp = Self.stamp(path: path)
        let keys = Self.activeKeys(of: try KeyFile.load(path: path))
        state = Mutex(State(keys: keys, stamp: stamp, checkedAt: now))
    }

    /// The principal of a plain key, or nil when it is unknown, revoked or no key at all.
    ///
    /// Every stored digest is compared in full, so the time taken says nothing about which was near.
    package func authenticate(_ plainKey: some StringProtocol, now: ContinuousClock.Instant = .now) -> Principal? {
        guard let key = APIKey(plainKey) else { return nil }
        let digest = key.digest
        return state.withLock { state in
            reloadIfChanged(&state, now: now)
            var found: Principal?
            for candidate in state.keys where Self.equalInConstantTime(candidate.digest, digest) {
                found = candidate.principal
            }
            return found
        }
    }

    /// Looks at the file when it is time to, as `authenticate` does.
    ///
    /// - Returns: `reloadError`.
    package func refresh(now: ContinuousClock.Instant = .now) -> String? {
        state.withLock { state in
            reloadIfChanged(&state, now: now)
            return state.reloadError
        }
    }

    /// How many keys are valid now.
    package var activeKeyCount: Int { state.withLock { $0.keys.count } }

    /// Why the last reload failed; nil when it did not.
    package var reloadError: String? { state.withLock { $0.reloadError } }

    private func reloadIfChanged(_ state: inout State, now: ContinuousClock.Instant) {
        guard now - state.checkedAt >= checkInterval else { return }
        state.checkedAt = now
        let stamp = Self.stamp(path: path)
        // A file whose look failed is tried again, even when it looks as it did before.
        guard stamp != state.stamp || state.reloadError != nil || !Self.mayRead(path) else { return }
        do {
            state.keys = Self.activeKeys(of: try KeyFile.load(path: path))
            state.stamp = stamp
            state.reloadError = nil
        } catch {
            // The stamp stays old, so that the next check tries again.
            state.reloadError = (error as? IdentityError)?.message ?? "the key file cannot be read"
        }
    }

    private static func activeKeys(of file: KeyFile) -> [Key] {
        file.keys.compactMap { entry in
            guard entry.revokedAt == nil, let digest = Hex.decode(entry.sha256) else { return nil }
            return Key(digest: digest, principal: Principal(tenant: entry.tenant, keyID: entry.id))
        }
    }

    private static func stamp(path: String) -> Stamp? {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        #if canImport(Darwin)
        let modified = information.st_mtimespec
        #else
        let modified = information.st_mtim
        #endif
        return Stamp(
            inode: UInt64(information.st_ino), size: Int64(information.st_size), seconds: Int(modified.tv_sec),
            nanoseconds: Int(modified.tv_nsec))
    }

    /// False for a file that is there and may not be read, which its stamp does not tell.
    private static func mayRead(_ path: String) -> Bool {
        access(path, R_OK) == 0 || errno == ENOENT
    }

    private static func equalInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for index in a.indices { difference |= a[index] ^ b[index] }
        return difference == 0
    }
}
