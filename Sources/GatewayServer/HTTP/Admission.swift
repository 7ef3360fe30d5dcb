import Hummingbird
import NIOCore
import Synchronization

/// A request's way to a place among those being served.
///
/// A place is taken when there is something to serve: at once for a request without a body, and for one with a body when
/// its last byte has come. Clients that send slowly thus keep nobody else from being served; what their bytes take is
/// bounded by a budget.
final class Admission: Sendable {
    private struct State {
        var lease: RequestLimiter.Lease?
        var size = 0
    }

    private let limiter: RequestLimiter
    private let budget: ByteBudget
    private let state = Mutex(State())

    /// - Parameters:
    ///   - budget: of the bytes of bodies of this request's kind.
    init(limiter: RequestLimiter, budget: ByteBudget) {
        self.limiter = limiter
        self.budget = budget
    }

    deinit { release() }

    /// Takes a place.
    ///
    /// - Throws: 429 when there is none.
    func enter() throws(APIError) {
        guard let lease = limiter.acquire() else { throw .tooManyRequests(limit: limiter.limit) }
        state.withLock { $0.lease = lease }
    }

    /// Counts bytes that came.
    ///
    /// - Throws: 429 when there is no room for them.
    func receive(_ count: Int) throws(APIError) {
        guard budget.take(count) else { throw .tooManyBodies }
        state.withLock { $0.size += count }
    }

    /// Gives everything back. May be called again.
    func release() {
        let (lease, size) = state.withLock { state in
            defer { state = State() }
            return (state.lease, state.size)
        }
        lease?.release()
        budget.release(size)
    }
}

/// A body on its way in: asks its client for it when it is first waited for, and makes its request enter at its end.
struct AdmittedBody: AsyncSequence, Sendable {
    typealias Element = ByteBuffer

    let base: RequestBody
    let admission: Admission
    /// Where to ask; nil when the client does not wait to be asked.
    let channel: (any Channel)?

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var base: RequestBody.AsyncIterator
        fileprivate let admission: Admission
        fileprivate var channel: (any Channel)?
        fileprivate var isAtEnd = false

        mutating func next() async throws -> ByteBuffer? {
            guard !isAtEnd else { return nil }
            channel?.askForBody()
            channel = nil
            guard let bytes = try await base.next() else {
                isAtEnd = true
                try admission.enter()
                return nil
            }
            try admission.receive(bytes.readableBytes)
            return bytes
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(base: base.makeAsyncIterator(), admission: admission, channel: channel)
    }
}
