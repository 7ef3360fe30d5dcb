import Synchronization

/// Which of two waiting requests the encoder serves first.
package enum EncoderPriority: Sendable {
    /// Someone waits for the answer: a search or an embeddings request.
    case interactive
    /// Indexing.
    case background
}

/// One call's sequences and their results; finished exactly once, before or after someone waits for it.
final class EncoderJob: Sendable {
    private struct State {
        var vectors: [[Float]]
        var remaining: Int
        var outcome: Result<[[Float]], any Error>?
        var continuation: CheckedContinuation<[[Float]], any Error>?
    }

    private let state: Mutex<State>

    init(count: Int) {
        state = Mutex(State(vectors: Array(repeating: [], count: count), remaining: count))
    }

    var isFinished: Bool { state.withLock { $0.outcome != nil } }

    /// Resumes `continuation` when the job is finished, at once when it already is.
    func wait(_ continuation: CheckedContinuation<[[Float]], any Error>) {
        let outcome = state.withLock { state in
            if state.outcome == nil { state.continuation = continuation }
            return state.outcome
        }
        if let outcome { continuation.resume(with: outcome) }
    }

    func deliver(_ vector: [Float], at index: Int) {
        let vectors = state.withLock { state -> [[Float]]? in
            state.vectors[index] = vector
            state.remaining -= 1
            return state.remaining == 0 ? state.vectors : nil
        }
        if let vectors { finish(.success(vectors)) }
    }

    func fail(_ error: any Error) { finish(.failure(error)) }

    /// The first outcome counts; later ones are ignored.
    private func finish(_ outcome: Result<[[Float]], any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<[[Float]], any Error>? in
            guard state.outcome == nil else { return nil }
            state.outcome = outcome
            defer { state.continuation = nil }
            return state.continuation
        }
        continuation?.resume(with: outcome)
    }
}

/// Sequences that wait for the encoder: two first-in-first-out lists. A value; the encoder guards it.
struct EncoderQueue {
    struct Entry {
        var tokens: [UInt32]
        var job: EncoderJob
        var index: Int
    }

    private var interactive: [Entry] = []
    private var background: [Entry] = []

    var count: Int { interactive.count + background.count }

    mutating func append(_ entries: [Entry], priority: EncoderPriority) {
        switch priority {
        case .interactive: interactive += entries
        case .background: background += entries
        }
    }

    /// Takes the next pass: at least one entry when any waits, and no more than `maxTokens` tokens beyond the first.
    /// Entries of jobs that are finished (cancelled or failed) are dropped.
    mutating func nextPass(maxTokens: Int) -> [Entry] {
        var pass: [Entry] = []
        var tokens = 0
        Self.take(from: &interactive, &pass, &tokens, maxTokens)
        Self.take(from: &background, &pass, &tokens, maxTokens)
        return pass
    }

    private static func take(from list: inout [Entry], _ pass: inout [Entry], _ tokens: inout Int, _ maxTokens: Int) {
        var taken = 0
        for entry in list {
            if !entry.job.isFinished {
                if !pass.isEmpty && tokens + entry.tokens.count > maxTokens { break }
                pass.append(entry)
                tokens += entry.tokens.count
            }
            taken += 1
        }
        list.removeFirst(taken)
    }
}
