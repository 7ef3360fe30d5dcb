/// The pre-tokenisers of model families by the names that GGUF files use, and by the regular expressions that
/// tokenizer.json files spell out.
extension PreTokenizer {
    /// The pre-tokeniser that GGUF files call `name`.
    ///
    /// - Throws: `TokenizationError` with `unsupported` for a name that is not implemented.
    init(ggufName name: String) throws(TokenizationError) {
        switch name {
        case "default", "gpt-2", "gpt2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v2-code",
            "olmo",
            "mpt", "roberta-bpe", "trillion", "granite-docling":
            self = .gpt2
        case "smollm", "starcoder", "refact", "command-r", "codeshell", "minerva-7b", "exaone": self = .smollm
        case "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "dbrx",
            "smaug-bpe", "glm4", "chatglm-bpe":
            self = .llama3
        case "qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "hunyuan", "grok-2", "solar-open": self = .qwen2
        case "deepseek-v3", "hunyuan-dense", "joyai-llm": self = .deepseek3
        default:
            guard let patterns = Self.patterns[name] else {
                throw TokenizationError(
                    code: .unsupported,
                    message: "pre-tokeniser \"\(name.prefix(64))\" is not implemented, expected one of gpt-2, smollm, "
                        + "llama-bpe, qwen2, deepseek-llm, deepseek-coder, deepseek-v3, gpt-4o, tekken or their aliases"
                )
            }
            self = .steps(try patterns.map { pattern throws(TokenizationError) in try Self.step(pattern) })
        }
    }

    private static func step(_ pattern: String) throws(TokenizationError) -> PreTokenizationStep {
        do {
            return .split(.regex(try RegexParser.compile(pattern)), .isolated, isInverted: false)
        } catch {
            throw TokenizationError(code: .unsupported, message: error.message)
        }
    }

    /// The hand-written twin of steps that only cut, where there is one.
    init(steps: [PreTokenizationStep], patterns: [String?]) {
        switch patterns {
        case [Self.llama3Pattern]: self = .llama3
        case [Self.qwen2Pattern]: self = .qwen2
        case Self.deepseek3Patterns.map(Optional.some): self = .deepseek3
        default:
            switch steps.map({ $0.familyPart }) {
            case [.gpt2Words]: self = .gpt2
            case [.eachDigit, .gpt2Words]: self = .smollm
            default: self = .steps(steps)
            }
        }
    }

    // MARK: - The expressions

    static let llama3Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#
    static let qwen2Pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"#
        + #"|\s+(?!\S)|\s+"#
    /// DeepSeek V2, V3 and R1. The line breaks in it are written as they are, not as escapes.
    static let deepseek3Patterns = [
        #"\p{N}{1,3}"#,
        "[一-龥\u{3040}-ゟ゠-ヿ]+",
        ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^"## + "\r\n"
            + #"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+["# + "\r\n" + #"]*|\s*["# + "\r\n"
            + #"]+|\s+(?!\S)|\s+"#,
    ]

    /// Families without a scanner of their own.
    private static let patterns: [String: [String]] = [
        "deepseek-coder": ["[\r\n]", #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥\u{800}-一가-\u{D7FF}]+", #"\p{N}"#],
        "deepseek-llm": [
            "[\r\n]", #"\s?["# + deepseekLetters + "]+", #"\s?[!-/:-~！-／：-～‘-‟\#u{3000}-。]+"#, #"\s+$"#,
            "[一-龥\u{800}-一가-\u{D7FF}]+", #"\p{N}"#,
        ],
        "gpt-4o": [caseAware(digits: #"\p{N}{1,3}"#, contractions: "(?i:'s|'t|'re|'ve|'m|'ll|'d)?")],
        "llama4": [caseAware(digits: #"\p{N}{1,3}"#, contractions: "(?i:'s|'t|'re|'ve|'m|'ll|'d)?")],
        "tekken": [caseAware(digits: #"\p{N}"#, contractions: "")],
        "qwen35": [
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"#
                + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
        ],
    ]

    /// Words that change from lower to upper case are two.
    private static func caseAware(digits: String, contractions: String) -> String {
        let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
        let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
        let lead = #"[^\r\n\p{L}\p{N}]?"#
        return "\(lead)\(upper)*\(lower)+\(contractions)|\(lead)\(upper)+\(lower)*\(contractions)|\(digits)"
            + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// The letters with case that DeepSeek LLM's tokeniser lists.
    private static let deepseekLetters =
        "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐ"
        + "ῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻"
        + "𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
}

extension PreTokenizationStep {
    /// The steps of which families are told apart.
    enum FamilyPart { case gpt2Words, eachDigit }

    var familyPart: FamilyPart? {
        switch self {
        case .gpt2Words: .gpt2Words
        case .digits(individually: true): .eachDigit
        default: nil
        }
    }
}
