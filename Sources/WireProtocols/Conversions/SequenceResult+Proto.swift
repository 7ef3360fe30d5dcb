import Foundation
import InferenceCore

extension SequenceResult {
    package init(proto: Fathom_Shard_V1_SequenceResult) {
        self.init(
            sequenceID: SequenceID(rawValue: proto.sequenceID), tokenID: proto.hasTokenID ? proto.tokenID : nil,
            logprob: proto.hasLogprob ? TokenLogprob(proto: proto.logprob) : nil,
            promptLogprobs: proto.promptLogprobs.map { TokenLogprob(proto: $0) })
    }

    package func proto() -> Fathom_Shard_V1_SequenceResult {
        var proto = Fathom_Shard_V1_SequenceResult()
        proto.sequenceID = sequenceID.rawValue
        if let tokenID { proto.tokenID = tokenID }
        if let logprob { proto.logprob = logprob.proto() }
        proto.promptLogprobs = promptLogprobs.map { $0.proto() }
        return proto
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
