import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Fetches files of a repository from a Hugging Face compatible hub, resuming what an earlier pull left.
struct HubDownload: ModelDownload {
    let repository: String
    let revision: String
    let configuration: ModelPullConfiguration

    func fetch(_ files: [WantedFile], to paths: [String], report: @escaping @Sendable (PullEvent) -> Void) async throws
    {
        let client = HTTPClient(configuration: try Self.settings(configuration))
        do {
            try await fetch(files, to: paths, client: client, report: report)
        } catch {
            try? await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }

    /// How the hub is reached. A redirect to another host does not take the token along.
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument`, see ``HubRoute``.
    static func settings(_ configuration: ModelPullConfiguration) throws -> HTTPClient.Configuration {
        var settings = HTTPClient.Configuration()
        settings.timeout = .init(
            connect: .nanoseconds(configuration.connectTimeout.nanoseconds),
            read: .nanoseconds(configuration.readTimeout.nanoseconds))
        settings.redirectConfiguration = .follow(max: 5, allowCycles: false)
        try HubRoute(to: configuration.hubEndpoint, environment: ProcessInfo.processInfo.environment)
            .apply(to: &settings)
        return settings
    }

    /// Several files at a time; the first failure ends them all, and what has arrived is kept for the next pull.
    private func fetch(
        _ files: [WantedFile], to paths: [String], client: HTTPClient,
        report: @escaping @Sendable (PullEvent) -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, (file, path)) in zip(files, paths).enumerated() {
                if index >= max(1, configuration.parallelFiles) { try await group.next() }
                group.addTask {
                    report(.downloading(file: file.path))
                    try await fetch(file, to: path, client: client, report: report)
                }
            }
            try await group.waitForAll()
        }
    }

    /// What one attempt came to.
    private enum Outcome {
        case complete
        /// Worth another attempt; why, for people.
        case interrupted(String)
    }

    private func fetch(
        _ file: WantedFile, to path: String, client: HTTPClient, report: @Sendable (PullEvent) -> Void
    ) async throws {
        var reason = ""
        var attempt = 0
        while attempt < max(1, configuration.attempts) {
            if attempt > 0 { try await Task.sleep(for: configuration.retryDelay * (1 << min(attempt - 1, 10))) }
            let before = DurableFiles.size(path: path) ?? 0
            switch try await attemptOnce(file, to: path, client: client, report: report) {
            case .complete: return
            case .interrupted(let why): reason = why
            }
            // A line that keeps breaking but brings some of the file each time gets there.
            attempt = (DurableFiles.size(path: path) ?? 0) > before ? 1 : attempt + 1
        }
        throw ModelRegistryError(
            code: .downloadFailed,
            message: "\(file.member) of \(repository): \(reason), after \(max(1, configuration.attempts)) attempts")
    }

    private func attemptOnce(
        _ file: WantedFile, to path: String, client: HTTPClient, report: @Sendable (PullEvent) -> Void
    ) async throws -> Outcome {
        let offset = DurableFiles.size(path: path) ?? 0
        let response: HTTPClientResponse
        do {
            response = try await client.execute(
                request(for: file, from: offset, entityTag: savedTag(of: path)),
                deadline: .now() + .nanoseconds(configuration.deadline.nanoseconds))
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            return .interrupted("no answer from \(configuration.hubEndpoint): \(error)")
        }
        switch response.status.code {
        case 200:
            return try await receive(response, file: file, path: path, from: 0, report: report)
        case 206 where contentRangeStart(response) == offset:
            return try await receive(response, file: file, path: path, from: offset, report: report)
        case 206, 416:
            // Either the partial file is whole already, or it is not a beginning of what the hub has now.
            if response.status.code == 416, contentRangeTotal(response) == offset, offset > 0 { return .complete }
            unlink(path)
            unlink(path + ".etag")
            return .interrupted("the hub could not resume at byte \(offset)")
        case 408, 429, 500...599:
            return .interrupted("HTTP \(response.status.code)")
        default:
            let hint = response.status.code == 404 ? " (no such repository, revision or file)" : ""
            throw ModelRegistryError(
                code: .downloadFailed,
                message: "\(file.member) of \(repository)@\(revision): HTTP \(response.status.code)\(hint)")
        }
    }

    private func request(for file: WantedFile, from offset: Int64, entityTag: String?) -> HTTPClientRequest {
        let path = [repository, "resolve", revision, file.member]
            .map { $0.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? $0 }
            .joined(separator: "/")
        var request = HTTPClientRequest(url: configuration.hubEndpoint + "/" + path)
        request.headers.add(name: "User-Agent", value: "fathom")
        // The digest is of the bytes as stored.
        request.headers.add(name: "Accept-Encoding", value: "identity")
        if let token = configuration.hubToken { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        if offset > 0 {
            request.headers.add(name: "Range", value: "bytes=\(offset)-")
            // Without a match the hub sends the whole new file instead of the tail of another one.
            if let entityTag { request.headers.add(name: "If-Range", value: entityTag) }
        }
        return request
    }

    private func receive(
        _ response: HTTPClientResponse, file: WantedFile, path: String, from offset: Int64,
        report: @Sendable (PullEvent) -> Void
    ) async throws -> Outcome {
        let total = response.headers.first(name: "Content-Length").flatMap(Int64.init).map { $0 + offset }
        if let total, total > ModelPuller.maximumFileBytes {
            throw ModelRegistryError(
                code: .downloadFailed,
                message: "\(file.member) holds \(total) bytes, more than \(ModelPuller.maximumFileBytes)")
        }
        let tag = response.headers.first(name: "ETag")
        saveTag(tag, of: path)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (offset == 0 ? O_TRUNC : O_APPEND), 0o644)
        guard descriptor >= 0 else { throw SystemError.last("cannot open \(path)") }
        defer { close(descriptor) }
        var received = offset
        do {
            for try await part in response.body {
                received += Int64(part.readableBytes)
                guard received <= ModelPuller.maximumFileBytes, received <= total ?? .max else {
                    throw ModelRegistryError(code: .downloadFailed, message: "\(file.member) is longer than announced")
                }
                try append(part, to: descriptor, path: path)
                report(.received(file: file.path, bytes: received, total: total))
            }
        } catch let error as ModelRegistryError {
            throw error
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            return .interrupted("the connection broke at byte \(received)")
        }
        if let total, received < total { return .interrupted("the connection ended at byte \(received) of \(total)") }
        // The tag stays with a whole file as well: another pull may find it here and must not take it for a beginning of
        // its own.
        try check(path, against: response.headers.first(name: "X-Linked-ETag") ?? tag, file: file)
        return .complete
    }

    /// Hubs give the SHA-256 of a large file as its tag. A file we know the digest of is checked by the caller.
    private func check(_ path: String, against tag: String?, file: WantedFile) throws {
        guard file.sha256 == nil,
            let expected = tag?.trimmingCharacters(in: CharacterSet(charactersIn: "\"")).lowercased(),
            FileDigest.isHexDigest(expected)
        else { return }
        let digest = try FileDigest.of(path: path).sha256
        guard digest == expected else {
            // Kept, it would be resumed, and fail, for ever.
            unlink(path)
            throw ModelRegistryError(
                code: .checksumMismatch, message: "\(file.path): SHA-256 \(digest), the hub says \(expected)")
        }
    }

    private func append(_ part: ByteBuffer, to descriptor: Int32, path: String) throws {
        try part.withUnsafeReadableBytes { bytes in
            var written = 0
            while written < bytes.count {
                let count = write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { throw SystemError.last("cannot write \(path)") }
                written += count
            }
        }
    }

    private func savedTag(of path: String) -> String? {
        FileManager.default.contents(atPath: path + ".etag").map { String(decoding: $0, as: UTF8.self) }
    }

    private func saveTag(_ tag: String?, of path: String) {
        // A weak tag does not promise equal bytes, so it is no use for resuming.
        guard let tag, !tag.hasPrefix("W/") else {
            unlink(path + ".etag")
            return
        }
        // Losing the tag only costs a download from the beginning.
        try? Data(tag.utf8).write(to: URL(fileURLWithPath: path + ".etag"))
    }

    /// `bytes 100-199/200` gives 100.
    private func contentRangeStart(_ response: HTTPClientResponse) -> Int64? {
        response.headers.first(name: "Content-Range")?
            .split(separator: " ").last?.split(separator: "-").first.flatMap { Int64($0) }
    }

    /// `bytes */200` gives 200.
    private func contentRangeTotal(_ response: HTTPClientResponse) -> Int64? {
        response.headers.first(name: "Content-Range")?.split(separator: "/").last.flatMap { Int64($0) }
    }
}

extension Duration {
    /// Whole nanoseconds, saturating.
    var nanoseconds: Int64 {
        let (seconds, overflow) = components.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : seconds + components.attoseconds / 1_000_000_000
    }
}
