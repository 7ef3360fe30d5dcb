import InferenceCore
import Wire
import WireProtocols

/// What two neighbouring stages must agree on.
package struct StagePlan: Sendable, Equatable {
    package var modelDigest: String
    /// What the calling stage calls the model; tells models of the same digest apart, and need not agree otherwise.
    package var modelName: String
    /// Place of the stage the plan is about.
    package var stageIndex: Int
    package var stageCount: Int
    /// First layer of that stage.
    package var layerStart: Int
    package var kvBlockCount: Int
    package var kvBlockSize: Int
    /// How the KV cache holds numbers.
    package var kvType: String
    /// Most tokens of a step.
    package var maxBatchedTokens: Int

    package init(
        modelDigest: String, modelName: String, stageIndex: Int, stageCount: Int, layerStart: Int, kvBlockCount: Int,
        kvBlockSize: Int, kvType: String, maxBatchedTokens: Int
    ) {
        self.modelDigest = modelDigest
        self.modelName = modelName
        self.stageIndex = stageIndex
        self.stageCount = stageCount
        self.layerStart = layerStart
        self.kvBlockCount = kvBlockCount
        self.kvBlockSize = kvBlockSize
        self.kvType = kvType
        self.maxBatchedTokens = maxBatchedTokens
    }

    /// The plan of a stage as it is.
    package init(
        stage: any ModelStage, modelDigest: String, modelName: String = "", stageIndex: Int, stageCount: Int
    ) {
        self.init(
            modelDigest: modelDigest, modelName: modelName, stageIndex: stageIndex, stageCount: stageCount,
            layerStart: stage.layerRange.lowerBound, kvBlockCount: stage.kvBlockCount, kvBlockSize: stage.kvBlockSize,
            kvType: stage.kvType, maxBatchedTokens: stage.maxBatchedTokens)
    }

    /// The plan this stage asks the next one to fit.
    package func next(layerEnd: Int) -> StagePlan {
        var plan = self
        plan.stageIndex += 1
        plan.layerStart = layerEnd
        return plan
    }

    init(proto: Fathom_Shard_V1_JoinRequest) {
        self.init(
            modelDigest: proto.modelDigest, modelName: proto.model, stageIndex: Int(proto.stageIndex),
            stageCount: Int(proto.stageCount),
            layerStart: Int(proto.layerStart), kvBlockCount: Int(proto.kvBlockCount),
            kvBlockSize: Int(proto.kvBlockSize),
            // Empty: from a head that is older than the field.
            kvType: proto.kvType.isEmpty ? "unknown" : String(proto.kvType.prefix(80)),
            maxBatchedTokens: Int(proto.maxBatchedTokens))
    }

    func proto() -> Fathom_Shard_V1_JoinRequest {
        var proto = Fathom_Shard_V1_JoinRequest()
        proto.modelDigest = modelDigest
        proto.model = modelName
        proto.stageIndex = UInt32(stageIndex)
        proto.stageCount = UInt32(stageCount)
        proto.layerStart = UInt32(layerStart)
        proto.kvBlockCount = UInt32(kvBlockCount)
        proto.kvBlockSize = UInt32(kvBlockSize)
        proto.kvType = kvType
        proto.maxBatchedTokens = UInt32(maxBatchedTokens)
        return proto
    }

    /// Goes with the stream of steps, to say which model's it is.
    var metadata: Metadata {
        [MetadataKey.modelDigest: modelDigest, MetadataKey.modelName: modelName]
    }

    /// Checks that this stage, as it is, can do what another asks of it.
    ///
    /// - Throws: FAILED_PRECONDITION naming what differs.
    func check(fits asked: StagePlan) throws(RPCError) {
        func require<Value: CustomStringConvertible>(
            _ fits: Bool, _ what: String, _ own: Value, _ other: Value
        ) throws(RPCError) {
            if !fits {
                throw RPCError(
                    .failedPrecondition, "stage \(stageIndex) of \(stageCount) has \(what) \(own); asked for \(other)")
            }
        }
        try require(modelDigest == asked.modelDigest, "model digest", modelDigest, asked.modelDigest)
        try require(stageIndex == asked.stageIndex, "index", stageIndex, asked.stageIndex)
        try require(stageCount == asked.stageCount, "stage count", stageCount, asked.stageCount)
        try require(layerStart == asked.layerStart, "first layer", layerStart, asked.layerStart)
        // Before the counts, whose default depends on it.
        try require(kvType == asked.kvType, "KV cache type", kvType, asked.kvType)
        try require(kvBlockSize == asked.kvBlockSize, "KV block size", kvBlockSize, asked.kvBlockSize)
        try require(kvBlockCount >= asked.kvBlockCount, "KV block count", kvBlockCount, asked.kvBlockCount)
        try require(
            maxBatchedTokens >= asked.maxBatchedTokens, "most tokens of a step", maxBatchedTokens,
            asked.maxBatchedTokens)
    }
}
