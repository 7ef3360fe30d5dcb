import InferenceCore

extension StepBatch {
    /// - Throws: `InferenceError` invalidRequest when a number does not fit or a sequence has no tokens.
    package init(proto: Fathom_Shard_V1_StepRequest) throws(InferenceError) {
        var sequences: [SequenceStep] = []
        sequences.reserveCapacity(proto.sequences.count)
        for sequence in proto.sequences {
            sequences.append(try SequenceStep(proto: sequence))
        }
        self.init(
            stepID: proto.stepID, sequences: sequences,
            released: proto.releasedSequenceIds.map { SequenceID(rawValue: $0) })
    }

    /// The message; hidden states travel beside it, as the frame's attachment.
    package func proto() -> Fathom_Shard_V1_StepRequest {
        var proto = Fathom_Shard_V1_StepRequest()
        proto.stepID = stepID
        proto.sequences = sequences.map { $0.proto() }
        proto.releasedSequenceIds = released.map(\.rawValue)
        return proto
    }
}

extension SequenceStep {
    /// - Throws: `InferenceError` invalidRequest when a number does not fit or there are no tokens.
    package init(proto: Fathom_Shard_V1_SequenceStep) throws(InferenceError) {
        guard !proto.tokenIds.isEmpty else {
            throw InferenceError(
                code: .invalidRequest, message: "sequence \(proto.sequenceID) has no tokens in this step")
        }
        var blockTable: [Int32] = []
        blockTable.reserveCapacity(proto.blockTable.count)
        for block in proto.blockTable {
            guard let block = Int32(exactly: block) else {
                throw InferenceError(
                    code: .invalidRequest, message: "block \(block) of sequence \(proto.sequenceID) is not below 2^31")
            }
            blockTable.append(block)
        }
        self.init(
            sequenceID: SequenceID(rawValue: proto.sequenceID), startPosition: Int(proto.startPosition),
            tokenIDs: proto.tokenIds, blockTable: blockTable, sample: proto.sample,
            draftCount: Int(proto.draftCount),
            sampling: proto.hasSampling ? SamplingParameters(proto: proto.sampling) : nil,
            promptLogprobs: proto.promptLogprobs, nextTokenID: proto.hasNextTokenID ? proto.nextTokenID : nil,
            generatedCount: Int(proto.generatedCount), historyTokenIDs: proto.historyTokenIds)
    }

    package func proto() -> Fathom_Shard_V1_SequenceStep {
        var proto = Fathom_Shard_V1_SequenceStep()
        proto.sequenceID = sequenceID.rawValue
        proto.startPosition = UInt32(clamping: startPosition)
        proto.tokenIds = tokenIDs
        proto.blockTable = blockTable.map { UInt32(bitPattern: $0) }
        proto.sample = sample
        proto.draftCount = UInt32(clamping: draftCount)
        if let sampling { proto.sampling = sampling.proto() }
        proto.promptLogprobs = promptLogprobs
        if let nextTokenID { proto.nextTokenID = nextTokenID }
        proto.generatedCount = UInt32(clamping: generatedCount)
        proto.historyTokenIds = historyTokenIDs
        return proto
    }
}
