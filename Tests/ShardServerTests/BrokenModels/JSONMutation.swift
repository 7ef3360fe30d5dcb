import Foundation

/// A JSON text, of which single values can be replaced by what does not belong there.
enum JSONMutation {
    /// Replaces, removes or adds a value somewhere in `text`; it stays JSON.
    static func mutated(_ text: [UInt8], _ random: inout SplitMix64) throws -> [UInt8] {
        var root = try JSONSerialization.jsonObject(with: Data(text), options: [.fragmentsAllowed])
        for _ in 0..<Int.random(in: 1...2, using: &random) { root = changed(root, &random, depth: 0) }
        var result = Array(
            try JSONSerialization.data(withJSONObject: root, options: [.fragmentsAllowed, .sortedKeys]))
        // Numbers that a parser may choke on and JSONSerialization does not write.
        for (mark, value) in [("@huge@", "1e999"), ("@long@", String(repeating: "9", count: 400)), ("@zero@", "-0.0")] {
            let pattern = Array("\"\(mark)\"".utf8)
            while let range = result.firstRange(of: pattern) { result.replaceSubrange(range, with: Array(value.utf8)) }
        }
        return result
    }

    private static func changed(_ value: Any, _ random: inout SplitMix64, depth: Int) -> Any {
        if depth > 0, Int.random(in: 0..<4, using: &random) == 0 { return replacement(for: value, &random) }
        if var object = value as? [String: Any], let key = object.keys.sorted().randomElement(using: &random) {
            switch Int.random(in: 0..<12, using: &random) {
            case 0: object[key] = nil
            case 1: object[other.randomElement(using: &random) ?? ""] = replacement(for: value, &random)
            case 2: object[key] = object[object.keys.sorted().randomElement(using: &random) ?? key]
            default: object[key] = changed(object[key] ?? NSNull(), &random, depth: depth + 1)
            }
            return object
        }
        if var array = value as? [Any], let index = array.indices.randomElement(using: &random) {
            switch Int.random(in: 0..<6, using: &random) {
            case 0: array.remove(at: index)
            case 1: array.append(array[index])
            default: array[index] = changed(array[index], &random, depth: depth + 1)
            }
            return array
        }
        return replacement(for: value, &random)
    }

    /// Keys that some readers know and not every file has.
    private static let other = [
        "head_dim", "rope_scaling", "rope_parameters", "partial_rotary_factor", "layer_types", "sliding_window",
        "num_key_value_heads", "q_lora_rank", "n_group", "topk_group", "quantization_config", "chat_template",
        "eos_token_id", "attention_bias", "tie_word_embeddings", "added_tokens", "normalizer", "pre_tokenizer",
    ]

    private static func replacement(for value: Any, _ random: inout SplitMix64) -> Any {
        let numbers: [Any] = [
            0, 1, -1, 2, 3, 7, 63, 255, 257, 1024, 65_537, 1 << 20, 1 << 22, 1 << 31, 1 << 40, 1 << 53, Int.max,
            Int.min, 0.5, 1e-300, 1e300, -1e300, 1e19, "@huge@", "@long@", "@zero@",
        ]
        let others: [Any] = [
            NSNull(), true, false, "", "a", String(repeating: "x", count: 70_000), [Any](), [String: Any](),
            [[Int.max, -1]], ["a": ["b": NSNull()]], nested(600), ["type": "yarn", "factor": 0],
            [
                "rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                "original_max_position_embeddings": 8192,
            ] as [String: Any],
            [
                "type": "Sequence",
                "normalizers": [["type": "Replace", "pattern": ["Regex": "(a*)*b"], "content": "x"]],
            ],
            ["Regex": "(?:(?:(?:a{1,1000}){1,1000}){1,1000}){1,1000}"], ["weight_block_size": [1e300, -1]],
        ]
        return (Bool.random(using: &random) ? numbers : others).randomElement(using: &random) ?? value
    }

    private static func nested(_ depth: Int) -> Any {
        var value: Any = 1
        for _ in 0..<min(depth, 200) { value = [value] }
        return value
    }
}
