import Wire

/// Methods of `fathom.shard.v1.Inference`; proto/fathom/shard/v1/inference.proto says what each does.
package enum InferenceService {
    package static let generate = RPCMethod<Fathom_Shard_V1_GenerateRequest, Fathom_Shard_V1_GenerateEvent>(
        "fathom.shard.v1.Inference/Generate", .serverStreaming)
    package static let tokenize = RPCMethod<Fathom_Shard_V1_TokenizeRequest, Fathom_Shard_V1_TokenizeResponse>(
        "fathom.shard.v1.Inference/Tokenize", .unary)
    package static let describe = RPCMethod<Fathom_Shard_V1_DescribeRequest, Fathom_Shard_V1_DescribeResponse>(
        "fathom.shard.v1.Inference/Describe", .unary)

    /// Name and shape of every method.
    package static let methods: [MethodDescription] = [
        MethodDescription(generate), MethodDescription(tokenize), MethodDescription(describe),
    ]
}
