import Wire

/// Where the events of an answer come from: the head, or the cache.
enum GenerationSource: Sendable {
    /// The session, and its first event when that was taken out already.
    case live(GenerationSession, first: ChoiceEvent?)
    case cached([ChoiceEvent])

    /// Whether nothing has come yet.
    var isLate: Bool {
        if case .live(_, first: nil) = self { true } else { false }
    }

    /// Calls `body` with every event in order.
    ///
    /// - Throws: `UpstreamFailure` around what the head failed with; what `body` throws, as it is.
    func forEach(_ body: (ChoiceEvent) async throws -> Void) async throws {
        switch self {
        case .cached(let events):
            for event in events { try await body(event) }
        case .live(let session, let first):
            var isEmpty = true
            if let first {
                isEmpty = false
                try await body(first)
            }
            while true {
                let event: ChoiceEvent?
                do {
                    event = try await session.next()
                } catch {
                    throw UpstreamFailure(cause: error)
                }
                guard let event else {
                    guard !isEmpty else {
                        throw UpstreamFailure(
                            cause: RPCError(.unavailable, "the generation ended before it began"))
                    }
                    return
                }
                isEmpty = false
                try await body(event)
            }
        }
    }

    /// Tells an upstream failure from a client that cannot be written to.
    struct UpstreamFailure: Error {
        var cause: any Error
    }
}
