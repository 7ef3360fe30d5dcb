/// Architectures of safetensors folders, and what GGUF calls them.
enum CheckpointArchitecture: String, CaseIterable {
    case llama
    case qwen2
    case qwen3
    case deepseek2
    case gemma3
    case bert

    /// By the name of the model class in `config.json`.
    ///
    /// - Throws: ``ModelToolsError`` `unsupported`.
    init(_ configuration: ConfigurationJSON) throws {
        let classes = configuration.value("architectures") as? [String] ?? []
        switch classes.first {
        case "LlamaForCausalLM"?, "MistralForCausalLM"?: self = .llama
        case "Qwen2ForCausalLM"?: self = .qwen2
        case "Qwen3ForCausalLM"?: self = .qwen3
        case "DeepseekV2ForCausalLM"?, "DeepseekV3ForCausalLM"?: self = .deepseek2
        case "Gemma3ForCausalLM"?: self = .gemma3
        case "BertModel"?, "BertForSequenceClassification"?, "BertForMaskedLM"?: self = .bert
        case let other:
            throw ModelToolsError(
                .unsupported,
                "\(configuration.path): architecture \((other ?? "missing").prefix(64)), expected one of the Llama, "
                    + "Mistral, Qwen2, Qwen3, DeepSeek-V2/V3, Gemma 3 or BERT classes")
        }
    }
}
