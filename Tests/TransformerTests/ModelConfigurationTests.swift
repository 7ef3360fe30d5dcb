import InferenceCore
import ModelFiles
import Testing
import Transformer

struct ModelConfigurationTests {
    private func configuration(_ json: String) throws -> ModelConfiguration {
        try ModelConfiguration(huggingFace: HuggingFaceConfiguration(json: Array(json.utf8)))
    }

    /// A config.json of a small Llama with further or other keys.
    private func llama(_ changes: [String: String] = [:]) -> String {
        var keys = [
            "model_type": "\"llama\"", "hidden_size": "64", "num_hidden_layers": "3", "num_attention_heads": "4",
            "num_key_value_heads": "2", "intermediate_size": "160", "vocab_size": "512",
            "max_position_embeddings": "512", "rms_norm_eps": "1e-6", "rope_theta": "10000",
        ]
        keys.merge(changes) { $1 }
        return "{" + keys.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
    }

    @Test("an unknown model type is refused with the list of those known")
    func unknownModelType() {
        let error = #expect(throws: InferenceError.self) {
            try configuration(llama(["model_type": "\"mamba\""]))
        }
        #expect(error?.code == .unsupportedModel)
        for known in ["mamba", "llama", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3", "gemma3_text"] {
            #expect(error?.message.contains(known) == true)
        }
        let gguf = #expect(throws: InferenceError.self) {
            try ModelConfiguration(metadata: GGUFMetadata(["general.architecture": .string("rwkv6")]))
        }
        #expect(gguf?.message.contains("deepseek2") == true && gguf?.code == .unsupportedModel)
    }

    @Test("an unknown rope type is refused with the list of those known")
    func unknownRopeType() {
        let error = #expect(throws: InferenceError.self) {
            try configuration(llama(["rope_scaling": "{\"rope_type\": \"longrope\", \"factor\": 4}"]))
        }
        #expect(error?.message.contains("longrope") == true && error?.message.contains("yarn") == true)
    }

    @Test("transformers 4 and 5 say the same in different words")
    func bothStyles() throws {
        let old = try configuration(
            llama([
                "rope_theta": "500000",
                "rope_scaling": """
                {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                "original_max_position_embeddings": 64}
                """,
            ]))
        let new = try configuration(
            llama([
                "rope_theta": "null", "dtype": "\"bfloat16\"",
                "rope_parameters": """
                {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                "original_max_position_embeddings": 64, "rope_theta": 500000}
                """,
            ]))
        #expect(old == new)
        #expect(old.rotary[0].base == 500_000)
        let linear = try configuration(llama(["rope_scaling": "{\"type\": \"linear\", \"factor\": 4.0}"]))
        #expect(linear.rotary[0].frequencies[0] == 0.25)
    }

    @Test("stretched frequencies lie between the plain ones and those divided by the factor")
    func frequencies() {
        let plain = RotaryConfiguration(base: 10_000, width: 64, layout: .halves)
        let llama3 = Llama3Scaling(
            factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextTokens: 8_192)
        let yarn = YarnScaling(factor: 8, originalContextTokens: 8_192, magnitude: 1)
        for scaling in [RotaryScaling.llama3(llama3), .yarn(yarn)] {
            var stretched = plain
            stretched.scaling = scaling
            let pairs = Array(zip(stretched.frequencies, plain.frequencies))
            #expect(pairs.allSatisfy { $0 <= $1 && $0 >= $1 / 8 * 0.999_999 })
            // The quickest is kept, the slowest is divided.
            #expect(pairs[0].0 == pairs[0].1)
            #expect(abs(pairs[31].0 * 8 / pairs[31].1 - 1) < 1e-9)
        }
        #expect(abs(YarnScaling.temperature(factor: 4) - 1.138_629_436) < 1e-8)
        #expect(YarnScaling.temperature(factor: 0.5) == 1)
    }

    @Test("Gemma's layers slide a window but every sixth, or as layer_types says")
    func windows() throws {
        let gemma = [
            "model_type": "\"gemma3_text\"", "num_hidden_layers": "7", "sliding_window": "16", "head_dim": "24",
            "query_pre_attn_scalar": "24", "hidden_activation": "\"gelu_pytorch_tanh\"",
        ]
        let usual = try configuration(llama(gemma))
        #expect(usual.layers.map(\.window) == [16, 16, 16, 16, 16, nil, 16])
        #expect(usual.layers.map(\.rotaryIndex) == [1, 1, 1, 1, 1, 0, 1])
        #expect(usual.embeddingScale == 8 && usual.hasPostNorms)
        let types = (0..<7).map { $0 == 2 ? "\"full_attention\"" : "\"sliding_attention\"" }.joined(separator: ", ")
        let listed = try configuration(llama(gemma.merging(["layer_types": "[\(types)]"]) { $1 }))
        #expect(listed.layers.map(\.window) == [16, 16, nil, 16, 16, 16, 16])
        #expect(throws: InferenceError.self) {
            try configuration(llama(gemma.merging(["layer_types": "[\"full_attention\"]"]) { $1 }))
        }
    }

    @Test("a cap of the logits is read from both formats, one of attention scores is refused by name")
    func caps() throws {
        #expect(try configuration(llama()).logitCap == nil)
        #expect(
            try configuration(llama(["final_logit_softcapping": "30", "attn_logit_softcapping": "null"])).logitCap == 30
        )
        for impossible in ["0", "-1", "1e39"] {
            #expect(throws: InferenceError.self) {
                try configuration(llama(["final_logit_softcapping": impossible]))
            }
        }
        let refused = #expect(throws: InferenceError.self) {
            try configuration(llama(["attn_logit_softcapping": "50"]))
        }
        #expect(refused?.code == .unsupportedModel && refused?.message.contains("attn_logit_softcapping 50") == true)

        func gguf(_ more: [String: GGUFValue]) throws -> ModelConfiguration {
            let values: [String: GGUFValue] = [
                "general.architecture": .string("gemma3"), "gemma3.context_length": .uint32(512),
                "gemma3.embedding_length": .uint32(64), "gemma3.block_count": .uint32(2),
                "gemma3.feed_forward_length": .uint32(128), "gemma3.attention.head_count": .uint32(4),
                "gemma3.attention.layer_norm_rms_epsilon": .float32(1e-6), "gemma3.vocab_size": .uint32(99),
                "gemma3.attention.sliding_window": .uint32(16),
            ]
            return try ModelConfiguration(metadata: GGUFMetadata(values.merging(more) { $1 }))
        }
        #expect(try gguf([:]).logitCap == nil)
        #expect(try gguf(["gemma3.final_logit_softcapping": .float32(0)]).logitCap == nil)
        #expect(try gguf(["gemma3.final_logit_softcapping": .float32(20)]).logitCap == 20)
        let error = #expect(throws: InferenceError.self) {
            try gguf(["gemma3.attn_logit_softcapping": .float32(50)])
        }
        #expect(error?.message.contains("attn_logit_softcapping") == true)
    }

    @Test("a context of one token, which leaves none to generate, is refused with the reason")
    func shortContext() throws {
        let error = #expect(throws: InferenceError.self) {
            try configuration(llama(["max_position_embeddings": "1"]))
        }
        #expect(error?.code == .unsupportedModel && error?.message.contains("context length 1") == true)
        #expect(try configuration(llama(["max_position_embeddings": "2"])).maxContextTokens == 2)
    }

    @Test(
        "sizes that make no sense are refused",
        arguments: [
            ["num_attention_heads": "0"], ["num_attention_heads": "-4"], ["num_key_value_heads": "3"],
            ["num_key_value_heads": "0"], ["num_hidden_layers": "1000000000"], ["num_hidden_layers": "0"],
            ["num_hidden_layers": "-1"], ["hidden_size": "1e300"], ["hidden_size": "9007199254740992"],
            ["head_dim": "4611686018427387904"], ["head_dim": "0"], ["head_dim": "15"], ["vocab_size": "1e12"],
            ["vocab_size": "2.5"], ["vocab_size": "\"512\""], ["max_position_embeddings": "0"],
            ["max_position_embeddings": "1"],
            ["rms_norm_eps": "-1"], ["rope_theta": "0"], ["rope_theta": "1e999"], ["hidden_act": "\"relu\""],
            ["partial_rotary_factor": "2"], ["rope_scaling": "{\"type\": \"linear\", \"factor\": 0}"],
            ["rope_scaling": "{\"type\": \"yarn\", \"factor\": -4}"], ["rope_scaling": "{\"type\": \"linear\"}"],
            ["rope_scaling": "[]"], ["model_type": "7"], ["intermediate_size": "null"],
        ])
    func impossibleSizes(_ change: [String: String]) {
        #expect(throws: (any Error).self) { try configuration(llama(change)) }
    }

    @Test("DeepSeek's impossible mixtures of experts are refused")
    func impossibleExperts() throws {
        let shape = [
            "model_type": "\"deepseek_v3\"", "qk_nope_head_dim": "16", "qk_rope_head_dim": "8", "v_head_dim": "16",
            "kv_lora_rank": "32", "q_lora_rank": "24", "n_routed_experts": "16", "num_experts_per_tok": "4",
            "moe_intermediate_size": "32", "n_shared_experts": "1", "n_group": "4", "topk_group": "2",
            "norm_topk_prob": "true", "routed_scaling_factor": "2.5", "first_k_dense_replace": "1",
            "scoring_func": "\"sigmoid\"", "topk_method": "\"noaux_tc\"",
        ]
        let model = try configuration(llama(shape))
        #expect(!model.hasExperts(layer: 0) && model.hasExperts(layer: 1))
        #expect(model.experts?.groupScore == .sumOfTwoBest && model.experts?.weightScale == 2.5)
        for change in [
            ["n_group": "3"], ["topk_group": "5"], ["num_experts_per_tok": "17"], ["num_experts_per_tok": "9"],
            ["n_shared_experts": "4611686018427387904"], ["scoring_func": "\"softmax\""], ["moe_layer_freq": "2"],
            ["kv_lora_rank": "0"], ["qk_rope_head_dim": "7"], ["qk_nope_head_dim": "9007199254740992"],
            ["v_head_dim": "-1"], ["moe_intermediate_size": "0"],
        ] {
            #expect(throws: (any Error).self, "\(change)") { try configuration(llama(shape.merging(change) { $1 })) }
        }
    }

    @Test("what is not a JSON object is refused", arguments: ["", "[]", "7", "{", "{\"a\":", "\u{0}", "{\"a\": 1}}"])
    func notAnObject(_ text: String) {
        #expect(throws: ModelFileError.self) { try HuggingFaceConfiguration(json: Array(text.utf8)) }
    }

    @Test("nesting without end is an error")
    func nesting() {
        let text = "{\"a\": " + String(repeating: "[", count: 100_000) + "}"
        #expect(throws: ModelFileError.self) { try HuggingFaceConfiguration(json: Array(text.utf8)) }
    }
}
