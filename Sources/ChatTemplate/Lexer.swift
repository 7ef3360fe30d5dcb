/// Cuts a template into tokens, as Jinja2 does with `trim_blocks` and `lstrip_blocks` on, which is how chat templates
/// are rendered everywhere: the first line break after a block tag goes, and so does the white space before a block tag
/// that is the first thing on its line. `-` in a tag removes all white space on its side, `+` keeps it all.
struct Lexer {
    private let source: [Unicode.Scalar]
    private var index = 0
    private var line = 1
    private var tokens: [Token] = []
    /// Whether what was read last ended a line (or nothing was read yet).
    private var isLineStart = true

    private static let maxScalars = 1 << 20
    private static let marks: [[Unicode.Scalar]] = ["//", "**", "==", "!=", ">=", "<="].map { Array($0.unicodeScalars) }

    /// The tokens of `source`, ending in `.end`.
    static func tokens(of source: String) throws(ChatTemplateError) -> [Token] {
        var lexer = try Lexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ text: String) throws(ChatTemplateError) {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(text.utf8.count)
        var previous: Unicode.Scalar = " "
        for scalar in text.unicodeScalars {
            // Every kind of line break is "\n" inside.
            if scalar == "\r" {
                scalars.append("\n")
            } else if scalar != "\n" || previous != "\r" {
                scalars.append(scalar)
            }
            previous = scalar
        }
        // One line break at the end of the template is the editor's.
        if scalars.last == "\n" { scalars.removeLast() }
        guard scalars.count <= Self.maxScalars else {
            throw ChatTemplateError(
                code: .limitExceeded,
                message: "template of \(scalars.count) characters, expected at most \(Self.maxScalars)")
        }
        source = scalars
    }

    private mutating func run() throws(ChatTemplateError) {
        while index < source.count {
            let tag = nextTag()
            var textEnd = tag ?? source.count
            let sign = tag.flatMap { $0 + 2 < source.count ? source[$0 + 2] : nil }
            if let tag {
                if sign == "-" {
                    while textEnd > index, source[textEnd - 1].isPythonSpace { textEnd -= 1 }
                } else if sign != "+", source[tag + 1] != "{" {
                    textEnd = lineStart(before: tag)
                }
            }
            emitText(index..<textEnd)
            advance(to: tag ?? source.count)
            guard let tag else { break }
            let kind = source[tag + 1]
            advance(to: tag + 2)
            if sign == "-" || sign == "+" { advance(to: index + 1) }
            isLineStart = false
            switch kind {
            case "#": try skipComment()
            case "{": try readTag(.variableBegin, .variableEnd, close: "}")
            default:
                if isRawTag() { try readRaw() } else { try readTag(.blockBegin, .blockEnd, close: "%") }
            }
        }
        tokens.append(Token(kind: .end, line: line))
    }

    // MARK: - Text and tags

    private func nextTag() -> Int? {
        var position = index
        while position + 1 < source.count {
            if source[position] == "{", ["{", "%", "#"].contains(source[position + 1]) { return position }
            position += 1
        }
        return nil
    }

    /// Where the line of the tag at `tag` starts when only white space stands before it on its line, else `tag`.
    private func lineStart(before tag: Int) -> Int {
        var position = tag
        while position > index, source[position - 1] != "\n" {
            guard source[position - 1].isPythonSpace else { return tag }
            position -= 1
        }
        return position > index || isLineStart ? position : tag
    }

    private mutating func emitText(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: source[range])
        tokens.append(Token(kind: .text(String(text)), line: line))
    }

    /// Moves to `position`, counting lines.
    private mutating func advance(to position: Int) {
        while index < position {
            if source[index] == "\n" { line += 1 }
            index += 1
        }
    }

    private func matches(_ text: [Unicode.Scalar], at position: Int) -> Bool {
        position + text.count <= source.count && source[position..<position + text.count].elementsEqual(text)
    }

    /// Reads the end of a tag when it is next: `sign? close }`, and the white space it removes.
    private mutating func consumeTagEnd(_ close: Unicode.Scalar, trimsLine: Bool) -> Bool {
        var position = index
        var sign: Unicode.Scalar?
        if position < source.count, source[position] == "-" || (source[position] == "+" && close != "}") {
            sign = source[position]
            position += 1
        }
        guard matches([close, "}"], at: position) else { return false }
        position += 2
        if sign == "-" {
            while position < source.count, source[position].isPythonSpace { position += 1 }
        } else if sign == nil, trimsLine, position < source.count, source[position] == "\n" {
            position += 1
        }
        advance(to: position)
        isLineStart = source[position - 1] == "\n"
        return true
    }

    private mutating func skipComment() throws(ChatTemplateError) {
        let start = line
        while index < source.count {
            if consumeTagEnd("#", trimsLine: true) { return }
            advance(to: index + 1)
        }
        throw ChatTemplateError(code: .syntax, message: "a comment without end", line: start)
    }

    // MARK: - raw

    private func isRawTag() -> Bool {
        var position = index
        while position < source.count, source[position].isPythonSpace { position += 1 }
        guard matches(["r", "a", "w"], at: position) else { return false }
        position += 3
        while position < source.count, source[position].isPythonSpace { position += 1 }
        return matches(["%", "}"], at: position) || matches(["-", "%", "}"], at: position)
    }

    /// The text up to `endraw`, as it stands.
    private mutating func readRaw() throws(ChatTemplateError) {
        let start = line
        while !consumeTagEnd("%", trimsLine: false) { advance(to: index + 1) }
        let textStart = index
        var position = index
        while let tag = (position..<max(position, source.count - 1)).first(where: { matches(["{", "%"], at: $0) }) {
            var end = tag + 2
            let sign = end < source.count ? source[end] : " "
            if sign == "-" || sign == "+" { end += 1 }
            while end < source.count, source[end].isPythonSpace { end += 1 }
            if matches(Array("endraw".unicodeScalars), at: end) {
                var textEnd = tag
                if sign == "-" {
                    while textEnd > textStart, source[textEnd - 1].isPythonSpace { textEnd -= 1 }
                } else if sign != "+" {
                    textEnd = lineStart(before: tag)
                }
                emitText(textStart..<textEnd)
                advance(to: end + 6)
                while index < source.count, source[index].isPythonSpace { advance(to: index + 1) }
                guard consumeTagEnd("%", trimsLine: true) else { break }
                return
            }
            position = tag + 2
        }
        throw ChatTemplateError(code: .syntax, message: "raw without endraw", line: start)
    }

    // MARK: - Inside tags

    private mutating func readTag(
        _ begin: Token.Kind, _ end: Token.Kind, close: Unicode.Scalar
    ) throws(ChatTemplateError) {
        let start = line
        tokens.append(Token(kind: begin, line: line))
        // Braces that are open inside the expression: `}}` does not end the tag while one is.
        var openBraces = 0
        while index < source.count {
            let scalar = source[index]
            if scalar.isPythonSpace {
                advance(to: index + 1)
                continue
            }
            let tokenLine = line
            if openBraces == 0, consumeTagEnd(close, trimsLine: close == "%") {
                tokens.append(Token(kind: end, line: tokenLine))
                return
            }
            tokens.append(Token(kind: try expressionToken(scalar, &openBraces), line: tokenLine))
        }
        throw ChatTemplateError(code: .syntax, message: "a tag without end", line: start)
    }

    private mutating func expressionToken(
        _ scalar: Unicode.Scalar, _ openBraces: inout Int
    ) throws(ChatTemplateError) -> Token.Kind {
        if scalar == "\"" || scalar == "'" { return .string(try string(quote: scalar)) }
        if scalar.isDigit { return try number() }
        if scalar == "_" || scalar.properties.isXIDStart {
            let start = index
            while index < source.count, source[index] == "_" || source[index].properties.isXIDContinue { index += 1 }
            var name = String.UnicodeScalarView()
            name.append(contentsOf: source[start..<index])
            return .name(String(name))
        }
        if let mark = Self.marks.first(where: { matches($0, at: index) }) {
            index += mark.count
            return .mark(String(String.UnicodeScalarView(mark)))
        }
        guard "+-*/%~[](){}<>=.:|,;".unicodeScalars.contains(scalar) else {
            throw ChatTemplateError(
                code: .syntax, message: "unexpected character U+\(String(scalar.value, radix: 16))", line: line)
        }
        if ["{", "[", "("].contains(scalar) { openBraces += 1 }
        if ["}", "]", ")"].contains(scalar) { openBraces -= 1 }
        guard openBraces >= 0 else {
            throw ChatTemplateError(code: .syntax, message: "unexpected \"\(scalar)\"", line: line)
        }
        index += 1
        return .mark(String(scalar))
    }

    /// `0x1F`, `0o17` or `0b101`.
    private mutating func prefixedInteger() throws(ChatTemplateError) -> Token.Kind? {
        guard source[index] == "0", index + 2 < source.count else { return nil }
        let radix: Int
        switch source[index + 1] {
        case "x", "X": radix = 16
        case "o", "O": radix = 8
        case "b", "B": radix = 2
        default: return nil
        }
        var end = index + 2
        while end < source.count, source[end] == "_" || source[end].properties.isASCIIHexDigit { end += 1 }
        let digits = String(String.UnicodeScalarView(source[index + 2..<end].filter { $0 != "_" }))
        guard let value = Int(digits, radix: radix) else {
            throw ChatTemplateError(code: .syntax, message: "a number out of range", line: line)
        }
        index = end
        return .int(value)
    }

    private mutating func number() throws(ChatTemplateError) -> Token.Kind {
        if let integer = try prefixedInteger() { return integer }
        let start = index
        func skipDigits() {
            while index < source.count, source[index].isDigit || source[index] == "_" { index += 1 }
        }
        skipDigits()
        var isInteger = true
        if index + 1 < source.count, source[index] == ".", source[index + 1].isDigit {
            isInteger = false
            index += 1
            skipDigits()
        }
        if index < source.count, source[index] == "e" || source[index] == "E" {
            var digits = index + 1
            if digits < source.count, source[digits] == "+" || source[digits] == "-" { digits += 1 }
            if digits < source.count, source[digits].isDigit {
                isInteger = false
                index = digits
                skipDigits()
            }
        }
        let text = String(String.UnicodeScalarView(source[start..<index].filter { $0 != "_" }))
        if isInteger, let value = Int(text) { return .int(value) }
        if !isInteger, let value = Double(text) { return .double(value) }
        throw ChatTemplateError(code: .syntax, message: "a number out of range", line: line)
    }

    private mutating func string(quote: Unicode.Scalar) throws(ChatTemplateError) -> String {
        let start = line
        advance(to: index + 1)
        var text = String.UnicodeScalarView()
        while index < source.count {
            let scalar = source[index]
            if scalar == quote {
                index += 1
                return String(text)
            }
            if scalar == "\\", index + 1 < source.count {
                try escape(into: &text)
            } else {
                text.append(scalar)
                advance(to: index + 1)
            }
        }
        throw ChatTemplateError(code: .syntax, message: "a string without end", line: start)
    }

    /// Python's escapes; an unknown one stands for itself, backslash and all.
    private mutating func escape(into text: inout String.UnicodeScalarView) throws(ChatTemplateError) {
        let scalar = source[index + 1]
        let digits: Int
        switch scalar {
        case "n": text.append("\n")
        case "t": text.append("\t")
        case "r": text.append("\r")
        case "a": text.append("\u{07}")
        case "b": text.append("\u{08}")
        case "f": text.append("\u{0C}")
        case "v": text.append("\u{0B}")
        case "0"..."7":
            var value: UInt32 = 0
            var position = index + 1
            while position < min(index + 4, source.count), ("0"..."7").contains(source[position]) {
                value = value * 8 + source[position].value - 0x30
                position += 1
            }
            if let decoded = Unicode.Scalar(value) { text.append(decoded) }
            index = position - 2
        case "\\", "'", "\"": text.append(scalar)
        case "\n": break
        case "x", "u", "U":
            digits = scalar == "x" ? 2 : scalar == "u" ? 4 : 8
            let first = index + 2
            let hex = String(String.UnicodeScalarView(source[first..<min(first + digits, source.count)]))
            guard hex.utf8.count == digits, let value = UInt32(hex, radix: 16), let decoded = Unicode.Scalar(value)
            else {
                throw ChatTemplateError(code: .syntax, message: "an invalid \\\(scalar) escape", line: line)
            }
            text.append(decoded)
            index += digits
        default:
            text.append("\\")
            text.append(scalar)
        }
        advance(to: index + 2)
    }
}

extension Unicode.Scalar {
    /// What Python's `str.isspace` calls white space.
    var isPythonSpace: Bool {
        value < 0x80
            ? value == 0x20 || (0x09...0x0D).contains(value) || (0x1C...0x1F).contains(value) : properties.isWhitespace
    }

    var isDigit: Bool { (0x30...0x39).contains(value) }
}
