import DocumentStore
import RetrievalCore
import Synchronization

/// A bag of words hashed into a vector: texts that share words are close. Deterministic, without a model.
final class TestEmbedder: TextEmbedder {
    struct Failure: Error {}

    let modelName: String
    let dimension = 64
    /// Texts embedded for indexing so far.
    let indexed = Mutex(0)
    /// While closed, indexing waits here.
    let gate = Gate()
    let failsIndexing = Mutex(false)

    /// What an embedding can hold.
    let maxTextTokens: Int
    /// Tokens of the longest text embedded so far.
    let longest = Mutex(0)

    init(modelName: String = "test", maxTextTokens: Int = 4096) {
        self.modelName = modelName
        self.maxTextTokens = maxTextTokens
    }

    func tokenCount(_ text: String) -> Int { WordTokenizer.terms(text).count }

    func reads(_ word: String) -> Bool { word.allSatisfy(\.isLetter) }

    func embed(_ texts: [String], isBackground: Bool) async throws -> [[Float]] {
        if isBackground {
            try await gate.pass()
            if failsIndexing.withLock({ $0 }) { throw Failure() }
            indexed.withLock { $0 += texts.count }
        }
        let greatest = texts.map(tokenCount).max() ?? 0
        longest.withLock { $0 = max($0, greatest) }
        return texts.map { text in
            var vector = [Float](repeating: 0.001, count: dimension)
            for term in WordTokenizer.terms(text) {
                var hash: UInt64 = 0xCBF2_9CE4_8422_2325
                for byte in term.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
                vector[Int(hash % UInt64(dimension))] += 1
            }
            return vector
        }
    }
}

/// A door that is open unless a test closes it; `arrived` returns once somebody waits before it.
final class Gate: Sendable {
    private struct State {
        var isOpen = true
        var waiting: [CheckedContinuation<Void, any Error>] = []
        var arrivals: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func close() { state.withLock { $0.isOpen = false } }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func pass() async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let (isOpen, arrivals) = state.withLock { state in
                    if !state.isOpen { state.waiting.append(continuation) }
                    defer { state.arrivals = [] }
                    return (state.isOpen, state.arrivals)
                }
                for arrival in arrivals { arrival.resume() }
                if isOpen { continuation.resume() }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in waiting { continuation.resume(throwing: CancellationError()) }
        }
    }

    /// Returns when somebody waits before the closed door.
    func arrived() async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.waiting.isEmpty { state.arrivals.append(continuation) }
                return !state.waiting.isEmpty
            }
            if isThere { continuation.resume() }
        }
    }
}
