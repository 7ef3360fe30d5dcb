import HTTPTypes
import Hummingbird
import NIOCore

/// Reads a request's body piece by piece, up to a limit.
///
/// Nothing is drained here: an answer that comes before the end of its request closes the connection gently.
struct BodyReader {
    private let limit: Int
    private let what: String
    private let announcedSize: Int?
    private var iterator: RequestBody.AsyncIterator
    private var size = 0

    /// - Parameters:
    ///   - limit: most bytes of the whole body.
    ///   - what: what is too large when it is more.
    init(_ request: Request, limit: Int, what: String) {
        self.limit = limit
        self.what = what
        announcedSize = request.headers[.contentLength].flatMap(Int.init)
        iterator = request.body.makeAsyncIterator()
    }

    /// The next bytes; nil at the end.
    ///
    /// - Throws: `APIError`: 413 above the limit, at once when the header announces it; 408 when the body comes too
    ///   slowly; 400 when it ends early.
    mutating func next() async throws -> ByteBuffer? {
        if let announcedSize, announcedSize > limit { throw APIError.tooLarge(limit: limit, what: what) }
        guard let piece = try await read() else { return nil }
        size += piece.readableBytes
        guard size <= limit else { throw APIError.tooLarge(limit: limit, what: what) }
        return piece
    }

    private mutating func read() async throws -> ByteBuffer? {
        do {
            return try await iterator.next()
        } catch let error as APIError {
            throw error
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // An HTTP/2 stream was reset, or the connection ended, where more of the body was due.
            throw APIError.truncatedBody
        }
    }
}
