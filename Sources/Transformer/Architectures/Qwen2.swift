/// Qwen2 and Qwen2.5, such as R1-Distill-Qwen: Llama with biases on query, key and value.
enum Qwen2: Architecture {
    static let name = "qwen2"
    static let modelTypes = ["qwen2"]
    static let layerParts = Llama.layerParts

    static func configuration(_ metadata: ArchitectureMetadata) throws -> ModelConfiguration {
        var attention = try metadata.groupedAttention()
        attention.hasBias = true
        let rotary = try metadata.rotary(headWidth: attention.headWidth, layout: .halves)
        return try common(metadata, attention: .grouped(attention), rotary: [rotary])
    }

    static func configuration(_ config: HuggingFaceConfiguration) throws -> ModelConfiguration {
        var attention = try config.groupedAttention()
        attention.hasBias = true
        let rotary = try config.rotary(headWidth: attention.headWidth, layout: .halves)
        var model = try common(config, attention: .grouped(attention), rotary: [rotary])
        try applyWindow(config, to: &model)
        return model
    }

    /// A window slides in the layers from `max_window_layers` on, where the model uses one at all.
    static func applyWindow(_ config: HuggingFaceConfiguration, to model: inout ModelConfiguration) throws {
        guard try config.boolIfPresent("use_sliding_window") ?? false else { return }
        let first = try config.intIfPresent("max_window_layers") ?? 0
        let windows = try config.windows(
            layerCount: model.layerCount, window: config.intIfPresent("sliding_window"), isWindowed: { $0 >= first })
        for index in model.layers.indices { model.layers[index].window = windows[index] }
    }
}
