import Foundation
import InferenceCore

extension SequenceResult {
    /// A failure that this version does not know counts as `refused`.
    ///
    /// - Throws: `InferenceError` invalidRequest when there are log-probabilities, but not one for each token.
    package init(proto: Fathom_Shard_V1_SequenceResult) throws(InferenceError) {
        guard proto.logprobs.isEmpty || proto.logprobs.count == proto.tokenIds.count else {
            throw InferenceError(
                code: .invalidRequest,
                message: "sequence \(proto.sequenceID) has \(proto.logprobs.count) log-probabilities for "
                    + "\(proto.tokenIds.count) tokens")
        }
        self.init(
            sequenceID: SequenceID(rawValue: proto.sequenceID),
            sampled: proto.tokenIds.enumerated().map { index, tokenID in
                SampledToken(
                    tokenID: tokenID,
                    logprob: proto.logprobs.isEmpty ? nil : TokenLogprob(proto: proto.logprobs[index]))
            },
            promptLogprobs: proto.promptLogprobs.map { TokenLogprob(proto: $0) },
            failure: SequenceFailure(proto: proto))
    }

    package func proto() -> Fathom_Shard_V1_SequenceResult {
        var proto = Fathom_Shard_V1_SequenceResult()
        proto.sequenceID = sequenceID.rawValue
        proto.tokenIds = sampled.map(\.tokenID)
        proto.logprobs = sampled.compactMap { $0.logprob?.proto() }
        proto.promptLogprobs = promptLogprobs.map { $0.proto() }
        switch failure {
        case nil: break
        case .notFinite(let position):
            proto.failure = .notFinite
            proto.failedPosition = UInt32(clamping: position)
        case .refused: proto.failure = .refused
        }
        return proto
    }
}

extension SequenceFailure {
    fileprivate init?(proto: Fathom_Shard_V1_SequenceResult) {
        switch proto.failure {
        case .unspecified: return nil
        case .notFinite: self = .notFinite(position: Int(proto.failedPosition))
        case .refused, .UNRECOGNIZED: self = .refused
        }
    }
}

extension TokenLogprob {
    package init(proto: Fathom_Shard_V1_TokenLogprob) {
        self.init(
            tokenID: proto.tokenID, logprob: proto.logprob,
            top: proto.top.map { TopLogprob(tokenID: $0.tokenID, logprob: $0.logprob) })
    }

    /// The message with `token` bytes left empty: only the head, which owns the tokenizer, can fill them in.
    package func proto() -> Fathom_Shard_V1_TokenLogprob {
        proto { _ in [] }
    }

    /// The message with `token` bytes from `bytes`.
    package func proto(bytes: (TokenID) -> [UInt8]) -> Fathom_Shard_V1_TokenLogprob {
        var proto = Fathom_Shard_V1_TokenLogprob()
        proto.tokenID = tokenID
        proto.token = Data(bytes(tokenID))
        proto.logprob = logprob
        proto.top = top.map { alternative in
            var proto = Fathom_Shard_V1_TopLogprob()
            proto.tokenID = alternative.tokenID
            proto.token = Data(bytes(alternative.tokenID))
            proto.logprob = alternative.logprob
            return proto
        }
        return proto
    }
}
