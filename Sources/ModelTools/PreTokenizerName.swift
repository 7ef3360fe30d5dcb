/// Tells which of llama.cpp's named pre-tokenisers a `tokenizer.json` asks for, by its regular expressions.
enum PreTokenizerName {
    /// - Throws: ``ModelToolsError`` `unsupported` when none is known to be the same; a wrong one would give wrong ids.
    static func find(_ tokenizer: ConfigurationJSON) throws -> String {
        let parts = steps(tokenizer.value("pre_tokenizer"))
        let patterns = parts.compactMap { ($0["pattern"] as? [String: Any])?["Regex"] as? String }
        let joined = patterns.joined(separator: "\n")
        if patterns.count >= 3, patterns[0] == #"\p{N}{1,3}"#, joined.contains(#"[一-龥"#), joined.contains("[A-Za-z]+|")
        {
            return "deepseek-v3"
        }
        if patterns.first == "[\r\n]" {
            if joined.contains("A-Za-zµ") { return "deepseek-llm" }
            if joined.contains(#"\p{L}+"#) { return "deepseek-coder" }
        }
        if patterns.count == 1, joined.contains(#"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#) {
            if joined.contains(#"|\p{N}{1,3}|"#) { return "llama-bpe" }
            if joined.contains(#"|\p{N}|"#) { return "qwen2" }
        }
        let kinds = parts.compactMap { $0["type"] as? String }
        if kinds == ["ByteLevel"], parts[0]["use_regex"] as? Bool ?? true { return "gpt-2" }
        if kinds == ["Digits", "ByteLevel"], parts[0]["individual_digits"] as? Bool == true,
            parts[1]["use_regex"] as? Bool ?? true
        {
            return "smollm"
        }
        throw ModelToolsError(
            .unsupported,
            "\(tokenizer.path): an unknown pre-tokeniser; name llama.cpp's equivalent with --pre-tokenizer")
    }

    /// The steps of a sequence, or the one step.
    private static func steps(_ value: Any?) -> [[String: Any]] {
        guard let object = value as? [String: Any] else { return [] }
        return object["pretokenizers"] as? [[String: Any]] ?? [object]
    }
}
