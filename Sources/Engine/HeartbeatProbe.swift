import InferenceCore

/// Which token the heartbeat sends, and when to conclude that the model computes nothing.
///
/// A token whose embedding is broken says nothing about the model: others are tried, spread over the vocabulary. Only when
/// all fail, one after the other, is the model broken.
struct HeartbeatProbe {
    /// Tokens that must fail.
    static let count = 8

    private let tokenIDs: [TokenID]
    private var index = 0
    private var failureCount = 0

    /// - Parameter first: 0 in its place where the vocabulary does not have it.
    init(first: TokenID, vocabularySize: Int) {
        tokenIDs =
            [Int(first) < vocabularySize ? first : 0]
            + (1..<Self.count).map { TokenID(vocabularySize * $0 / Self.count) }
    }

    /// What to send next.
    var tokenID: TokenID { tokenIDs[index] }

    /// Notes that the model computed something.
    mutating func succeeded() {
        failureCount = 0
    }

    /// Notes that it computed nothing from `tokenID`, and goes on to the next.
    ///
    /// - Returns: whether all have failed.
    mutating func failed() -> Bool {
        index = (index + 1) % tokenIDs.count
        failureCount = min(failureCount + 1, Self.count)
        return failureCount == Self.count
    }
}

extension InferenceError {
    /// A sequence's failure in words for its caller.
    init(_ failure: SequenceFailure) {
        switch failure {
        case .notFinite:
            self.init(
                code: .notFinite,
                message: "the model computed no finite number for this request; other requests are not concerned")
        case .refused:
            self.init(code: .internalError, message: "the last stage does not know the sequence or its parameters")
        }
    }
}
