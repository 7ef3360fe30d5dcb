/// Changes of case and of form.
extension PythonString {
    /// `str.lower`: as Unicode has it, with the sigma that ends a word.
    static func lower(_ text: String) -> String {
        guard text.unicodeScalars.contains("Σ") else { return text.lowercased() }
        let scalars = Array(text.unicodeScalars)
        var result = ""
        for (index, scalar) in scalars.enumerated() {
            if scalar == "Σ" {
                func isCased(_ scalar: Unicode.Scalar?) -> Bool { scalar?.properties.isCased ?? false }
                let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
                let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
                result += isCased(before) && !isCased(after) ? "ς" : "σ"
            } else {
                result += scalar.properties.lowercaseMapping
            }
        }
        return result
    }

    /// `str.capitalize`.
    static func capitalize(_ text: Text) -> Text {
        var isFirst = true
        return text.mapRuns { run in
            guard isFirst, let first = run.unicodeScalars.first else { return lower(run) }
            isFirst = false
            return first.properties.titlecaseMapping + String(lower(run).unicodeScalars.dropFirst())
        }
    }

    /// `str.title`: a letter after something that is no letter is a capital, others are small.
    static func title(_ text: Text) -> Text {
        var isInWord = false
        return text.mapRuns { run in
            var result = ""
            for scalar in run.unicodeScalars {
                result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
                isInWord = scalar.properties.isCased
            }
            return result
        }
    }

    /// Jinja's own `title`: words start after white space, "-" or an opening bracket.
    static func jinjaTitle(_ text: Text) -> Text {
        var isStart = true
        return text.mapRuns { run in
            var result = ""
            for scalar in run.unicodeScalars {
                result += isStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
                isStart = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar)
            }
            return result
        }
    }

    /// `str.swapcase`.
    static func swapCase(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            if scalar.properties.isUppercase {
                result += scalar.properties.lowercaseMapping
            } else if scalar.properties.isLowercase {
                result += scalar.properties.uppercaseMapping
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    static func htmlEscaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "'": result += "&#39;"
            case "\"": result += "&#34;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// Without comments and tags, white space as single spaces.
    static func withoutTags(_ text: String) -> String {
        func removed(_ text: String, _ open: String, _ close: String) -> String {
            var result = ""
            var rest = text[...]
            while let start = rest.firstRange(of: open), let end = rest[start.upperBound...].firstRange(of: close) {
                result += rest[..<start.lowerBound]
                rest = rest[end.upperBound...]
            }
            return result + rest
        }
        let plain = removed(removed(text, "<!--", "-->"), "<", ">")
        let bytes = Array(plain.utf8)
        var result = words(plain).map { String(decoding: bytes[$0], as: UTF8.self) }.joined(separator: " ")
        for (escaped, scalar) in [
            ("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&#34;", "\""), ("&quot;", "\""), ("&amp;", "&"),
        ] {
            result = result.replacing(escaped, with: scalar)
        }
        return result
    }

    static func percentEncoded(_ text: String, keepsSlash: Bool) -> String {
        var result = ""
        for byte in text.utf8 {
            let scalar = Unicode.Scalar(byte)
            if byte < 0x80,
                scalar.isDigit || scalar.properties.isAlphabetic || "_.-~".unicodeScalars.contains(scalar)
                    || (keepsSlash && scalar == "/")
            {
                result.unicodeScalars.append(scalar)
            } else {
                let hex = String(byte, radix: 16, uppercase: true)
                result += "%" + (byte < 16 ? "0" : "") + hex
            }
        }
        return result
    }

    /// Runs of letters, digits and underscores.
    static func wordCount(_ text: String) -> Int {
        var count = 0
        var isInWord = false
        for scalar in text.unicodeScalars {
            let isWord = scalar == "_" || isAlphanumeric(scalar)
            if isWord, !isInWord { count += 1 }
            isInWord = isWord
        }
        return count
    }

    /// Byte ranges that `textwrap` keeps together: white space, and words that end at hyphens between letters.
    static func wrapChunks(_ text: String) -> [Range<Int>] {
        var chunks: [Range<Int>] = []
        var start = 0
        var position = 0
        var previous: Unicode.Scalar?
        var beforePrevious: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            if let previous {
                let changes = previous.isPythonSpace != scalar.isPythonSpace
                let isHyphen =
                    previous == "-" && isLetter(scalar) && (beforePrevious.map { isLetter($0) } ?? false)
                if changes || isHyphen {
                    chunks.append(start..<position)
                    start = position
                }
            }
            beforePrevious = previous
            previous = scalar
            position += UTF8.width(scalar)
        }
        if start < position { chunks.append(start..<position) }
        return chunks
    }

    static func isSpace(_ text: String) -> Bool { text.unicodeScalars.allSatisfy(\.isPythonSpace) }

    static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool {
        isLetter(scalar) || scalar.properties.numericType != nil
    }
}
