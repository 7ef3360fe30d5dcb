import HTTPTypes
import Hummingbird
import NIOCore

/// Reads a request's body piece by piece, up to a limit.
struct BodyReader {
    /// Most bytes above the limit that are read and thrown away, so that a client which sends everything before it reads
    /// anything gets its answer instead of a broken connection.
    static let maximumDrainSize = 256 << 20

    private let limit: Int
    private let what: String
    /// Whether the client waits for a word before it sends: then there is nothing to drain.
    private let isWaiting: Bool
    private let announcedSize: Int?
    private var iterator: RequestBody.AsyncIterator
    private var size = 0

    /// - Parameters:
    ///   - limit: most bytes of the whole body.
    ///   - what: what is too large when it is more.
    init(_ request: Request, limit: Int, what: String) {
        self.limit = limit
        self.what = what
        isWaiting = request.headers[.expect] != nil
        announcedSize = request.headers[.contentLength].flatMap(Int.init)
        iterator = request.body.makeAsyncIterator()
    }

    /// The next bytes; nil at the end.
    ///
    /// - Throws: `APIError`: 413 above the limit, at once when the header announces it; 400 when the body ends early.
    mutating func next() async throws -> ByteBuffer? {
        if let announcedSize, announcedSize > limit {
            if !isWaiting { await drain() }
            throw APIError.tooLarge(limit: limit, what: what)
        }
        guard let piece = try await read() else { return nil }
        size += piece.readableBytes
        guard size <= limit else {
            await drain()
            throw APIError.tooLarge(limit: limit, what: what)
        }
        return piece
    }

    /// Throws the rest away.
    mutating func drain() async {
        var drained = 0
        while drained <= Self.maximumDrainSize, let piece = try? await read() { drained += piece.readableBytes }
    }

    private mutating func read() async throws -> ByteBuffer? {
        do {
            return try await iterator.next()
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // The parser of HTTP saw the end of the connection, or nonsense, where more of the body was due.
            throw APIError.invalid(
                "The request body ended before its announced end; nothing was kept.", code: "truncated_upload")
        }
    }
}
