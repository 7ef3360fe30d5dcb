import Foundation

/// What is done to text before it is cut into words, as the `normalizer` of a tokenizer.json describes it.
indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    case form(UnicodeForm)
    case lowercase
    case strip(left: Bool, right: Bool)
    /// Leaves out all marks.
    case stripAccents
    case replace(TextPattern, with: String)
    /// Puts a text before one that is not empty.
    case prepend(String)
    case bert(BertNormalizer)
    case precompiled(PrecompiledCharacterMap)
    case nmt

    /// `text` after this normalisation. - Throws: `TokenizationError` with `tooMuchWork`.
    func applied(to text: String, _ budget: TextBudget) throws -> String {
        let byteCount = text.utf8.count
        let result: String
        switch self {
        case .sequence(let parts): return try parts.reduce(text) { try $1.applied(to: $0, budget) }
        case .replace(let pattern, let content):
            try budget.spend(2 * byteCount)
            result = try pattern.replacingMatches(in: text, with: content, budget)
        case .prepend(let prefix):
            try budget.check(byteCount: byteCount + prefix.utf8.count)
            try budget.spend(byteCount + prefix.utf8.count)
            result = text.isEmpty ? text : prefix + text
        default:
            // These go through characters, and make at most a dozen of one.
            try budget.spend(8 * byteCount)
            result = try mapped(text, budget)
        }
        try budget.check(byteCount: result.utf8.count)
        return result
    }

    private func mapped(_ text: String, _ budget: TextBudget) throws -> String {
        switch self {
        case .sequence, .replace, .prepend: text
        case .form(let form): form.applied(to: text)
        case .lowercase: Self.map(text) { $0.properties.lowercaseMapping }
        case .strip(let left, let right): Self.stripped(text, left: left, right: right)
        case .stripAccents: Self.filter(text) { !ScalarClasses.shared[$0].contains(.accent) }
        case .bert(let normalizer): normalizer.applied(to: text)
        case .precompiled(let map): try map.applied(to: text, budget)
        case .nmt: Self.nmt(text)
        }
    }

    /// Whether this leaves `text` as it is, where that can be told cheaply.
    func keeps(_ text: String) -> Bool {
        switch self {
        case .sequence(let parts): parts.allSatisfy { $0.keeps(text) }
        case .form(let form): form.isKept(text)
        default: false
        }
    }

    private static func filter(_ text: String, _ isKept: (Unicode.Scalar) -> Bool) -> String {
        var scalars = String.UnicodeScalarView()
        scalars.append(contentsOf: text.unicodeScalars.lazy.filter(isKept))
        return String(scalars)
    }

    private static func map(_ text: String, _ transform: (Unicode.Scalar) -> String) -> String {
        var result = ""
        for scalar in text.unicodeScalars { result += transform(scalar) }
        return result
    }

    private static func stripped(_ text: String, left: Bool, right: Bool) -> String {
        var scalars = text.unicodeScalars[...]
        if left { scalars = scalars.drop { $0.properties.isWhitespace } }
        while right, let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        return String(scalars)
    }

    /// SentencePiece's rules for machine translation: some controls go, all kinds of spaces become one.
    private static func nmt(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: continue
            case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
                result.append(" ")
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}

/// BERT's normalisation: controls go, white space becomes a space, Chinese characters stand between spaces.
struct BertNormalizer: Sendable {
    let cleansText: Bool
    let handlesChinese: Bool
    let stripsAccents: Bool
    let lowercases: Bool

    func applied(to text: String) -> String {
        let classes = ScalarClasses.shared
        let decomposition = CanonicalDecomposition()
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count + 16)
        func append(_ scalar: Unicode.Scalar) {
            if scalar.value < 0x80 {
                result.append(UInt8(scalar.value))
            } else {
                result.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
        func appendCased(_ scalar: Unicode.Scalar) {
            guard lowercases else { return append(scalar) }
            if scalar.value < 0x80 {
                let isUpper = (0x41...0x5A).contains(scalar.value)
                return append(isUpper ? Unicode.Scalar(UInt8(scalar.value) | 0x20) : scalar)
            }
            for lower in scalar.properties.lowercaseMapping.unicodeScalars { append(lower) }
        }
        func appendPlain(_ scalar: Unicode.Scalar) {
            guard stripsAccents, scalar.value >= 0x80 else { return appendCased(scalar) }
            decomposition.forEach(in: scalar) { part in
                if !classes[part].contains(.bertMark) { appendCased(part) }
            }
        }
        for var scalar in text.unicodeScalars {
            if cleansText {
                if BasicTokenizer.isDropped(scalar, classes[scalar]) { continue }
                if BasicTokenizer.isSpace(scalar, classes[scalar]) { scalar = " " }
            }
            let standsAlone = handlesChinese && BasicTokenizer.isChinese(scalar.value)
            if standsAlone { append(" ") }
            appendPlain(scalar)
            if standsAlone { append(" ") }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
