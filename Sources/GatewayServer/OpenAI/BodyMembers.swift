/// What becomes of the members of request bodies that no endpoint reads: one table for all of them.
///
/// The rule: a member that changes what is answered, or what is kept, and is not implemented is refused by name, unless
/// its value says what happens anyway; null always does. A member that keeps books, hints at speed or at form is ignored,
/// and so is every name that is not known. `docs/api.md` repeats the table; a test holds the two together.
package enum BodyMembers {
    /// Where a member stands.
    package enum Place: Sendable, CaseIterable {
        /// The body of `/v1/chat/completions`, one of its messages, its `thinking`, and its `file_search` tool.
        case chat, message, thinking, fileSearch
        /// The body of `/v1/completions`.
        case completions
        /// The body of `/v1/embeddings`.
        case embeddings
        /// The body of a search, and `ranking_options` there and in a `file_search` tool.
        case search, rankingOptions
    }

    /// A member that is refused.
    package struct Refused: Sendable {
        package var name: String
        package var places: Set<Place>
        /// Values that say what happens anyway.
        package var neutral: [JSONValue] = []
        /// What to write instead; empty when there is nothing.
        package var instead = ""

        init(_ name: String, _ places: Set<Place>, neutral: [JSONValue] = [], instead: String = "") {
            self.name = name
            self.places = places
            self.neutral = neutral
            self.instead = instead
        }

        func accepts(_ value: JSONValue) -> Bool {
            neutral.contains { $0 == value || ($0.number != nil && $0.number == value.number) }
        }
    }

    private static let generation: Set<Place> = [.chat, .completions]

    /// Every member that is refused, by what it asks for.
    package static let refused: [Refused] = [
        // A form for the answer.
        Refused("guided_json", generation), Refused("guided_regex", generation), Refused("guided_choice", generation),
        Refused("guided_grammar", generation), Refused("guided_decoding", generation),
        Refused("structured_outputs", generation), Refused("structural_tag", generation),
        Refused("json_schema", generation), Refused("grammar", generation), Refused("regex", generation),
        Refused("ebnf", generation),
        // Which tokens may come.
        Refused("bad_words", generation, neutral: [[]]), Refused("allowed_token_ids", generation),
        Refused("logits_processors", generation, neutral: [[]]),
        Refused("no_repeat_ngram_size", generation, neutral: [0]),
        // Another distribution.
        Refused("repeat_penalty", generation, neutral: [1], instead: "repetition_penalty"),
        Refused("typical_p", generation, neutral: [1]), Refused("tfs_z", generation, neutral: [1]),
        Refused("top_a", generation, neutral: [0]), Refused("mirostat", generation, neutral: [0]),
        Refused("mirostat_mode", generation, neutral: [0]), Refused("dry_multiplier", generation, neutral: [0]),
        Refused("xtc_probability", generation, neutral: [0]), Refused("dynatemp_range", generation, neutral: [0]),
        Refused("smoothing_factor", generation, neutral: [0]), Refused("epsilon_cutoff", generation, neutral: [0]),
        Refused("eta_cutoff", generation, neutral: [0]), Refused("use_beam_search", generation, neutral: [false]),
        Refused("num_beams", generation, neutral: [1]), Refused("length_penalty", generation, neutral: [1]),
        Refused("early_stopping", generation, neutral: [false]),
        // Another length or end.
        Refused("max_new_tokens", generation, instead: "max_tokens"),
        Refused("n_predict", generation, neutral: [-1], instead: "max_tokens"),
        Refused("num_predict", generation, neutral: [-1], instead: "max_tokens"),
        Refused("max_completion_tokens", [.completions], instead: "max_tokens"),
        Refused("min_new_tokens", generation, neutral: [0]), Refused("stop_regex", generation),
        Refused("stop_sequences", generation, neutral: [[]], instead: "stop"),
        Refused("include_stop_str_in_output", generation, neutral: [false]),
        Refused("no_stop_trim", generation, neutral: [false]),
        // Another text or more of it.
        Refused("skip_special_tokens", generation, neutral: [true]),
        Refused("prompt_logprobs", generation, neutral: [false], instead: "'echo' with 'logprobs' of /v1/completions"),
        Refused("return_token_ids", generation, neutral: [false], instead: "return_tokens_as_token_ids"),
        Refused("echo", [.chat], neutral: [false]), Refused("best_of", [.chat], neutral: [1]),
        Refused("suffix", [.chat], neutral: [""]),
        // Another prompt.
        Refused("truncate_prompt_tokens", [.chat, .completions, .embeddings]),
        Refused("add_special_tokens", [.completions, .embeddings], neutral: [true]),
        Refused("add_special_tokens", [.chat], neutral: [false]),
        Refused("continue_final_message", [.chat], neutral: [false]),
        Refused("add_generation_prompt", [.chat], neutral: [true]), Refused("chat_template", [.chat]),
        Refused("documents", [.chat], neutral: [[]], instead: "the 'file_search' tool"),
        Refused("prefix", [.message], neutral: [false]), Refused("partial", [.message], neutral: [false]),
        Refused("images", [.message], neutral: [[]]), Refused("audio", [.message]),
        Refused("function_call", [.message], instead: "tool_calls"),
        // Tools, thoughts, other forms of output.
        Refused("functions", [.chat], neutral: [[]], instead: "tools"),
        Refused("function_call", [.chat], neutral: ["none", "auto"], instead: "tool_choice"),
        Refused("web_search_options", [.chat]), Refused("modalities", [.chat], neutral: [["text"]]),
        Refused("audio", [.chat]), Refused("reasoning", [.chat], instead: "reasoning_effort"),
        Refused("reasoning_format", [.chat], neutral: ["auto", "parsed", "deepseek"]),
        Refused("include_reasoning", [.chat], neutral: [true]), Refused("separate_reasoning", [.chat], neutral: [true]),
        Refused("stream_reasoning", [.chat], neutral: [true]), Refused("thinking_budget", [.chat]),
        Refused("budget_tokens", [.thinking]),
        // Another model.
        Refused("lora_path", generation), Refused("adapter_id", generation),
        // Embeddings.
        Refused("truncate", [.embeddings], neutral: [false, "NONE", "none"]),
        Refused("normalize", [.embeddings], neutral: [true]), Refused("normalized", [.embeddings], neutral: [true]),
        Refused("output_dtype", [.embeddings], neutral: ["float"]),
        Refused("late_chunking", [.embeddings], neutral: [false]), Refused("messages", [.embeddings], instead: "input"),
        // Searches.
        Refused("filters", [.search, .fileSearch]), Refused("rewrite_query", [.search], neutral: [false]),
        Refused(
            "ranker", [.rankingOptions], neutral: ["auto", "none", "default-2024-11-15", "default_2024_08_21"]),
        Refused("hybrid_search", [.rankingOptions]),
    ]

    /// Members that are taken and change nothing, as examples; any other unknown name is, too.
    package static let ignored = [
        "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        "prediction", "verbosity", "priority", "request_id", "cache_salt", "cache_prompt", "keep_alive", "options",
    ]

    private static let refusedByPlace: [Place: [Refused]] = Dictionary(
        uniqueKeysWithValues: Place.allCases.map { place in (place, refused.filter { $0.places.contains(place) }) })

    /// Refuses what this object asks for and would not get.
    ///
    /// - Throws: 400 `unsupported_parameter` naming the member.
    package static func check(_ fields: JSONFields, _ place: Place) throws(APIError) {
        for rule in refusedByPlace[place] ?? [] {
            guard let value = fields[rule.name], !rule.accepts(value) else { continue }
            throw .unsupported(fields.parameter(rule.name), neutral: rule.neutral, instead: rule.instead)
        }
    }
}

extension APIError {
    /// 400 for a member whose request would be dropped in silence otherwise.
    ///
    /// - Parameters:
    ///   - neutral: values that would be taken.
    ///   - instead: what to write instead: the name of a member, or words with quotes of their own.
    static func unsupported(_ parameter: String, neutral: [JSONValue] = [], instead: String = "") -> APIError {
        var message = "'\(parameter)' is not supported here, and is refused rather than ignored: leave it out"
        if let value = neutral.first { message += ", or send \(value.text)" }
        if !instead.isEmpty { message += "; use \(instead.contains("'") ? instead : "'\(instead)'")" }
        return .invalid(message + ".", parameter: parameter, code: "unsupported_parameter")
    }
}
