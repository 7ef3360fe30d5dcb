import Foundation

/// How one value is to be written: `[[fill]align][sign][#][0][width][,][.precision][type]`.
private struct FormatSpecification {
    var fill: Unicode.Scalar = " "
    /// `<`, `>`, `^` or `=`; nil: as the type has it.
    var alignment: Unicode.Scalar?
    /// `+`, `-` or a space.
    var sign: Unicode.Scalar = "-"
    var isAlternate = false
    var width = 0
    var groups: Unicode.Scalar?
    var precision: Int?
    var type: Unicode.Scalar?

    init() {}

    /// Python's format specification.
    init?(_ text: String) {
        var scalars = Array(text.unicodeScalars)[...]
        let alignments: [Unicode.Scalar] = ["<", ">", "^", "="]
        if scalars.count > 1, alignments.contains(scalars[scalars.startIndex + 1]) {
            fill = scalars.removeFirst()
            alignment = scalars.removeFirst()
        } else if let first = scalars.first, alignments.contains(first) {
            alignment = scalars.removeFirst()
        }
        if let first = scalars.first, ["+", "-", " "].contains(first) { sign = scalars.removeFirst() }
        if scalars.first == "#" {
            isAlternate = true
            scalars.removeFirst()
        }
        if scalars.first == "0" {
            scalars.removeFirst()
            if alignment == nil { (fill, alignment) = ("0", "=") }
        }
        guard let width = Self.number(&scalars) else { return nil }
        self.width = width
        if let first = scalars.first, first == "," || first == "_" { groups = scalars.removeFirst() }
        if scalars.first == "." {
            scalars.removeFirst()
            guard let first = scalars.first, first.isDigit, let digits = Self.number(&scalars) else { return nil }
            precision = digits
        }
        type = scalars.popFirst()
        guard scalars.isEmpty else { return nil }
    }

    /// Digits at the start; 0 when there are none, nil when there are too many.
    static func number(_ scalars: inout ArraySlice<Unicode.Scalar>) -> Int? {
        var value = 0
        while let digit = scalars.first, digit.isDigit {
            value = value * 10 + Int(digit.value) - 0x30
            guard value <= 1 << 26 else { return nil }
            scalars.removeFirst()
        }
        return value
    }
}

extension Interpreter {
    /// Python's `format % values`.
    func percentFormat(_ format: Text, _ right: Value) throws(ChatTemplateError) -> Text {
        try charge(charactersOf: format, growth: 4)
        var values: ArraySlice<Value>
        if case .tuple(let items) = right { values = items.array[...] } else { values = [right] }
        var dictionary: ValueDictionary?
        if case .dictionary(let found) = right { dictionary = found }
        func next() throws(ChatTemplateError) -> Value {
            guard let value = values.popFirst() else { throw failure("not enough values for the format") }
            return value
        }

        var result = Text("")
        for (piece, isUntrusted) in format.runs {
            var scalars = Array(piece.unicodeScalars)[...]
            var plain = String.UnicodeScalarView()
            while let scalar = scalars.popFirst() {
                guard scalar == "%" else {
                    plain.append(scalar)
                    continue
                }
                result.append(String(plain), isUntrusted: isUntrusted)
                plain = String.UnicodeScalarView()
                var value: Value?
                if scalars.first == "(" {
                    guard let dictionary, let end = scalars.firstIndex(of: ")") else {
                        throw failure("a format with names needs a dict")
                    }
                    let name = String(String.UnicodeScalarView(scalars[(scalars.startIndex + 1)..<end]))
                    guard let found = dictionary[name] else { throw failure("no value for format field \"\(name)\"") }
                    value = found
                    values = []
                    scalars = scalars[(end + 1)...]
                }
                let specification = try percentSpecification(&scalars, next)
                if specification.type == "%" {
                    result.append("%")
                } else {
                    let argument: Value
                    if let value { argument = value } else { argument = try next() }
                    try append(argument, specification, isPercent: true, to: &result)
                }
                try checked(byteCount: result.size)
            }
            result.append(String(plain), isUntrusted: isUntrusted)
        }
        guard values.isEmpty || dictionary != nil else { throw failure("too many values for the format") }
        return result
    }

    private func percentSpecification(
        _ scalars: inout ArraySlice<Unicode.Scalar>, _ next: () throws(ChatTemplateError) -> Value
    ) throws(ChatTemplateError) -> FormatSpecification {
        var specification = FormatSpecification()
        flags: while let flag = scalars.first {
            switch flag {
            case "-": specification.alignment = "<"
            case "+": specification.sign = "+"
            case " ": if specification.sign != "+" { specification.sign = " " }
            case "#": specification.isAlternate = true
            case "0": if specification.alignment == nil { specification.fill = "0" }
            default: break flags
            }
            scalars.removeFirst()
        }
        func number() throws(ChatTemplateError) -> Int {
            if scalars.first == "*" {
                scalars.removeFirst()
                guard let number = try next().integer else { throw failure("* needs an integer") }
                try checked(byteCount: abs(max(number, -Int.max)))
                return number
            }
            guard let number = FormatSpecification.number(&scalars) else { throw failure("a format too wide") }
            return number
        }
        let width = try number()
        if width < 0 { specification.alignment = "<" }
        specification.width = abs(width)
        if specification.alignment == "<" { specification.fill = " " }
        if specification.alignment == nil { specification.alignment = specification.fill == "0" ? "=" : ">" }
        if scalars.first == "." {
            scalars.removeFirst()
            specification.precision = max(try number(), 0)
        }
        guard let type = scalars.popFirst() else { throw failure("an incomplete format") }
        specification.type = type
        return specification
    }

    /// `str.format`, with conversions, specifications, items and attributes.
    func braceFormat(_ format: Text, _ arguments: CallArguments) throws(ChatTemplateError) -> Text {
        try charge(charactersOf: format, growth: 4)
        var result = Text("")
        var nextIndex = 0
        for (piece, isUntrusted) in format.runs {
            var scalars = Array(piece.unicodeScalars)[...]
            while let scalar = scalars.popFirst() {
                guard scalar == "{" || scalar == "}" else {
                    result.append(String(scalar), isUntrusted: isUntrusted)
                    continue
                }
                if scalars.first == scalar {
                    scalars.removeFirst()
                    result.append(String(scalar), isUntrusted: isUntrusted)
                    continue
                }
                guard scalar == "{", let end = scalars.firstIndex(of: "}") else {
                    throw failure("a single brace in a format")
                }
                let field = String(String.UnicodeScalarView(scalars[..<end]))
                scalars = scalars[(end + 1)...]
                try spend(2 + field.utf8.count)
                try appendField(field, arguments, &nextIndex, to: &result)
                try checked(byteCount: result.size)
            }
        }
        return result
    }

    private func appendField(
        _ field: String, _ arguments: CallArguments, _ nextIndex: inout Int, to result: inout Text
    ) throws(ChatTemplateError) {
        let parts = field.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let nameParts = parts[0].split(separator: "!", maxSplits: 1, omittingEmptySubsequences: false)
        var value = try fieldValue(String(nameParts[0]), arguments, &nextIndex)
        if nameParts.count > 1 {
            if nameParts[1] == "r" {
                var text = Text("")
                try appendRepresentation(of: value, to: &text, depth: 0)
                value = .string(text)
            } else {
                guard nameParts[1] == "s" else { throw failure("an unknown conversion in a format") }
                value = .string(try text(of: value))
            }
        }
        guard parts.count > 1, !parts[1].isEmpty else {
            let text = try text(of: value)
            try charge(text)
            result.append(text)
            return
        }
        guard let specification = FormatSpecification(String(parts[1])) else {
            throw failure("an invalid format specification")
        }
        try append(value, specification, isPercent: false, to: &result)
    }

    private func fieldValue(
        _ name: String, _ arguments: CallArguments, _ nextIndex: inout Int
    ) throws(ChatTemplateError) -> Value {
        let end = name.firstIndex { $0 == "." || $0 == "[" } ?? name.endIndex
        let head = String(name[..<end])
        var found: Value?
        if head.isEmpty {
            found = nextIndex < arguments.positional.count ? arguments.positional[nextIndex] : nil
            nextIndex += 1
        } else if let index = Int(head) {
            found = arguments.positional.indices.contains(index) ? arguments.positional[index] : nil
        } else {
            found = arguments.named.first { $0.name == head }?.value
        }
        guard var value = found else { throw failure("no value for format field \"\(head)\"") }
        var rest = name[end...]
        while let mark = rest.popFirst() {
            if mark == "." {
                let end = rest.firstIndex { $0 == "." || $0 == "[" } ?? rest.endIndex
                value = try attribute(String(rest[..<end]), of: value)
                rest = rest[end...]
            } else {
                guard mark == "[", let end = rest.firstIndex(of: "]") else { throw failure("an invalid format field") }
                let key = String(rest[..<end])
                value = try item(Int(key).map(Value.int) ?? .text(key), of: value)
                rest = rest[rest.index(after: end)...]
            }
        }
        return value
    }

    // MARK: - One value

    private func append(
        _ value: Value, _ specification: FormatSpecification, isPercent: Bool, to result: inout Text
    ) throws(ChatTemplateError) {
        // A fill character takes up to four bytes.
        try charge(byteCount: 4 * specification.width)
        try spend(2)
        guard let type = specification.type else {
            if value.integer != nil, value.typeName == "int", specification.precision == nil {
                result.append(try integer(value, specification, isPercent: isPercent))
            } else if case .double = value {
                result.append(try decimal(value, specification))
            } else {
                try appendText(value, specification, isPercent: isPercent, to: &result)
            }
            return
        }
        switch type {
        case "s", "r", "a", "c": try appendText(value, specification, isPercent: isPercent, to: &result)
        case "d", "i", "u", "x", "X", "o", "b", "n":
            result.append(try integer(value, specification, isPercent: isPercent))
        case "e", "E", "f", "F", "g", "G", "%": result.append(try decimal(value, specification))
        default: throw failure("format type \(type) is not implemented")
        }
    }

    private func appendText(
        _ value: Value, _ specification: FormatSpecification, isPercent: Bool, to result: inout Text
    ) throws(ChatTemplateError) {
        var text = Text("")
        switch specification.type {
        case "r", "a": try appendRepresentation(of: value, to: &text, depth: 0)
        case "c" where value.integer != nil:
            guard let code = value.integer.flatMap(UInt32.init(exactly:)), let scalar = Unicode.Scalar(code) else {
                throw failure("%c needs a character")
            }
            text.append(String(scalar))
        default: text = try self.text(of: value)
        }
        try charge(text, times: 2)
        if let precision = specification.precision, precision < PythonString.count(text.string) {
            text = text[0..<PythonString.offset(of: precision, in: text.string)]
        }
        let missing = max(specification.width - PythonString.count(text.string), 0)
        let alignment = specification.alignment.map { $0 == "=" ? ">" : $0 } ?? (isPercent ? ">" : "<")
        let fill = isPercent ? " " : specification.fill
        let before = alignment == ">" ? missing : alignment == "^" ? missing / 2 : 0
        result.append(PythonString.repeated(String(fill), before))
        result.append(text)
        result.append(PythonString.repeated(String(fill), missing - before))
    }

    private func integer(
        _ value: Value, _ specification: FormatSpecification, isPercent: Bool
    ) throws(ChatTemplateError) -> String {
        let whole = value.integer ?? (isPercent ? value.number.flatMap { Int(exactly: $0.rounded(.towardZero)) } : nil)
        guard let number = whole else { throw failure("the format needs an integer, got \(value.typeName)") }
        let magnitude = number.magnitude
        var digits: String
        var prefix = ""
        switch specification.type {
        case "x": (digits, prefix) = (String(magnitude, radix: 16), "0x")
        case "X": (digits, prefix) = (String(magnitude, radix: 16, uppercase: true), "0X")
        case "o": (digits, prefix) = (String(magnitude, radix: 8), "0o")
        case "b": (digits, prefix) = (String(magnitude, radix: 2), "0b")
        default: digits = String(magnitude)
        }
        if isPercent, let precision = specification.precision {
            try charge(byteCount: 4 * precision)
            digits = PythonString.repeated("0", max(precision - digits.utf8.count, 0)) + digits
        }
        return padded(
            digits, isNegative: number < 0, prefix: specification.isAlternate ? prefix : "", specification)
    }

    private func decimal(
        _ value: Value, _ specification: FormatSpecification
    ) throws(ChatTemplateError) -> String {
        guard var number = value.number else { throw failure("the format needs a number, got \(value.typeName)") }
        let precision = specification.precision ?? 6
        guard precision <= 1024 else { throw failure("a format with \(precision) digits") }
        try spend(precision / 4)
        if specification.type == "%" { number *= 100 }
        var digits: String
        let magnitude = number.magnitude
        switch specification.type {
        case "f", "F", "%": digits = String(format: "%.\(precision)f", magnitude)
        case "e": digits = String(format: "%.\(precision)e", magnitude)
        case "E": digits = String(format: "%.\(precision)E", magnitude)
        case "G": digits = String(format: "%.\(precision)G", magnitude)
        case nil where specification.precision == nil: digits = PythonNumber.representation(of: magnitude)
        default: digits = String(format: "%.\(precision)g", magnitude)
        }
        if specification.type == "%" { digits += "%" }
        return padded(digits, isNegative: number.sign == .minus && !number.isNaN, prefix: "", specification)
    }

    private func padded(
        _ digits: String, isNegative: Bool, prefix: String, _ specification: FormatSpecification
    ) -> String {
        var digits = digits
        if let separator = specification.groups {
            let end = digits.firstIndex { !$0.isNumber } ?? digits.endIndex
            var grouped = ""
            let whole = digits[..<end]
            let count = whole.count
            for (index, digit) in whole.enumerated() {
                if index > 0, (count - index) % 3 == 0 { grouped.unicodeScalars.append(separator) }
                grouped.append(digit)
            }
            digits = grouped + digits[end...]
        }
        let sign = (isNegative ? "-" : specification.sign == "-" ? "" : String(specification.sign)) + prefix
        let missing = max(specification.width - digits.utf8.count - sign.utf8.count, 0)
        let fill = String(specification.fill)
        switch specification.alignment ?? ">" {
        case "<": return sign + digits + PythonString.repeated(fill, missing)
        case "^":
            let before = missing / 2
            return PythonString.repeated(fill, before) + sign + digits
                + PythonString.repeated(fill, missing - before)
        case "=": return sign + PythonString.repeated(fill, missing) + digits
        default: return PythonString.repeated(fill, missing) + sign + digits
        }
    }
}
