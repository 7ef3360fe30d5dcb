import Wire

/// Methods of `fathom.shard.v1.Pipeline`; proto/fathom/shard/v1/pipeline.proto says what each does.
package enum PipelineService {
    package static let join = RPCMethod<Fathom_Shard_V1_JoinRequest, Fathom_Shard_V1_JoinResponse>(
        "fathom.shard.v1.Pipeline/Join", .unary)
    /// Served and called as a raw stream (`run.fullName`): hidden states stay slices of the receive buffer.
    package static let run = RPCMethod<Fathom_Shard_V1_StepRequest, Fathom_Shard_V1_StepResponse>(
        "fathom.shard.v1.Pipeline/Run", .bidirectional)

    /// Name and shape of every method.
    package static let methods: [MethodDescription] = [MethodDescription(join), MethodDescription(run)]
}
