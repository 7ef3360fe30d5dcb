import Crypto
import Foundation
import Synchronization

/// A file on its way in. Nothing of it exists for anyone until `finish` returns; then it survives a crash.
///
/// Called by one task, piece after piece; `abort` may be called at any time and any number of times.
package final class FileUpload: Sendable {
    /// What the client says about the file before its bytes.
    package struct Header: Sendable {
        package var filename: String
        package var purpose: String
        package var contentType: String
        /// Bytes that will follow.
        package var sizeBytes: Int
        /// Seconds after which the file is deleted, an hour to thirty days; 0: never.
        package var expiresAfterSeconds: Int

        package init(
            filename: String, purpose: String, contentType: String, sizeBytes: Int, expiresAfterSeconds: Int = 0
        ) {
            self.filename = filename
            self.purpose = purpose
            self.contentType = contentType
            self.sizeBytes = sizeBytes
            self.expiresAfterSeconds = expiresAfterSeconds
        }
    }

    private enum Phase {
        /// Takes bytes. Exits to `finishing` and `ended`.
        case open
        /// Belongs to the running `finish`, which alone may clean up. Exits to `ended`.
        case finishing
        case ended
    }

    private struct State {
        var phase = Phase.open
        var descriptor: Int32
        var received = 0
        var hash = SHA256()
    }

    /// The id that the file will have.
    package let id: String
    private let header: Header
    private let tenant: TenantStore
    private let onEnd: @Sendable () -> Void
    private let state: Mutex<State>

    /// - Parameter onEnd: Called once, when the upload has ended one way or the other.
    init(header: Header, tenant: TenantStore, onEnd: @escaping @Sendable () -> Void) throws {
        id = StoreIdentifier.file()
        self.header = header
        self.tenant = tenant
        let descriptor = open(tenant.content.uploadPath(id), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ContentDirectory.systemError("creating an upload") }
        self.onEnd = onEnd
        state = Mutex(State(descriptor: descriptor))
    }

    deinit { abort() }

    /// Appends the next bytes.
    ///
    /// - Throws: `invalidArgument` when they are more than declared; the upload is aborted then.
    package func append(_ bytes: [UInt8]) async throws {
        do {
            try await BlockingWork.run { try self.write(bytes) }
        } catch {
            abort()
            throw error
        }
    }

    /// Makes the file durable and known.
    ///
    /// - Throws: `invalidArgument` when fewer bytes than declared arrived; `limitExceeded`; nothing is kept then.
    package func finish() async throws -> FileRecord {
        try state.withLock { state in
            guard state.phase == .open else { throw Self.closed }
            state.phase = .finishing
        }
        do {
            let sha256 = try await BlockingWork.run { try self.sync() }
            let record = try await tenant.insertFile(id: id, header: header, sha256: sha256)
            end(from: .finishing)
            return record
        } catch {
            if end(from: .finishing) { removeBytes() }
            throw error
        }
    }

    /// Forgets what arrived. Without effect once `finish` was called.
    package func abort() {
        if end(from: .open) { removeBytes() }
    }

    private func removeBytes() {
        unlink(tenant.content.uploadPath(id))
        tenant.content.remove(id)
    }

    private static let closed = StoreError(code: .internalError, message: "the upload is closed already")

    private func write(_ bytes: [UInt8]) throws {
        try state.withLock { state in
            guard state.phase == .open else { throw Self.closed }
            guard state.received + bytes.count <= header.sizeBytes else {
                throw StoreError(
                    code: .invalidArgument,
                    message: "got more than the \(header.sizeBytes) bytes that were declared")
            }
            try bytes.withUnsafeBytes { buffer in
                var written = 0
                while written < buffer.count, let base = buffer.baseAddress {
                    let count = Foundation.write(state.descriptor, base + written, buffer.count - written)
                    if count < 0 && errno == EINTR { continue }
                    guard count > 0 else { throw ContentDirectory.systemError("writing an upload") }
                    written += count
                }
            }
            state.hash.update(data: bytes)
            state.received += bytes.count
        }
    }

    /// Syncs, closes and moves the content: its SHA-256.
    private func sync() throws -> String {
        try state.withLock { state in
            guard state.received == header.sizeBytes else {
                throw StoreError(
                    code: .invalidArgument,
                    message: "the upload is truncated: got \(state.received) of \(header.sizeBytes) declared bytes")
            }
            guard fsync(state.descriptor) == 0 else { throw ContentDirectory.systemError("syncing an upload") }
            try tenant.content.commit(id)
            return StoreIdentifier.hex(state.hash.finalize())
        }
    }

    /// Closes the upload if it is in `phase`: whether it was.
    @discardableResult
    private func end(from phase: Phase) -> Bool {
        let ended = state.withLock { state in
            guard state.phase == phase else { return false }
            close(state.descriptor)
            state.phase = .ended
            return true
        }
        if ended { onEnd() }
        return ended
    }
}
