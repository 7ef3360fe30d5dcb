import Foundation

extension Interpreter {
    /// `value | name(arguments)`. Counts as a level: `map` applies filters, which may be `map` again.
    func filter(_ name: String, _ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        try nested { () throws(ChatTemplateError) in try apply(name, value, arguments) }
    }

    private func apply(
        _ name: String, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        guard let filter = FilterName(rawValue: name) else { throw failure("no filter named \"\(name)\"") }
        switch filter {
        case .`default`, .d:
            let replacement = arguments.value(0, "default_value") ?? .text("")
            let replacesFalse = arguments.value(1, "boolean")?.isTrue ?? false
            return value.isUndefined || (replacesFalse && !value.isTrue) ? replacement : value
        case .abs, .round, .int, .float, .sum, .min, .max, .filesizeformat:
            return try numberFilter(filter, value, arguments)
        case .upper, .lower, .capitalize, .title, .trim, .replace, .indent, .escape, .e, .forceescape, .safe, .string,
            .format, .wordcount, .center, .truncate, .wordwrap, .striptags, .urlencode, .pprint:
            return try textFilter(filter, value, arguments)
        case .tojson: return .string(try json(value, arguments))
        default: return try listFilter(filter, value, arguments)
        }
    }

    // MARK: - Numbers

    private func numberFilter(
        _ filter: FilterName, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        switch filter {
        case .abs:
            if let integer = value.integer, integer != .min { return .int(Swift.abs(integer)) }
            guard let number = value.number else { throw failure("abs needs a number, got \(value.typeName)") }
            return .double(Swift.abs(number))
        case .round: return try rounded(value, arguments)
        case .int: return try integer(value, arguments)
        case .float:
            let fallback = arguments.value(0, "default") ?? .double(0)
            if case .string(let text) = value {
                return PythonNumber.double(try number(in: text)).map(Value.double) ?? fallback
            }
            return value.number.map(Value.double) ?? fallback
        case .sum:
            var total = arguments.value(1, "start") ?? .int(0)
            let attribute = arguments.value(0, "attribute")
            for element in try elements(of: value) {
                try spend(1)
                total = try apply(
                    .add, total,
                    try attribute.map { key throws(ChatTemplateError) in
                        try path(key, of: element)
                    } ?? element)
            }
            return total
        case .filesizeformat: return .text(try fileSize(value, isBinary: arguments.value(0, "binary")?.isTrue ?? false))
        default: return try extreme(filter, value, arguments)
        }
    }

    /// The text of a number to be read; nothing for one that is too long to be any.
    private func number(in text: Text) throws(ChatTemplateError) -> String {
        let range = PythonString.strip(text.string)
        try spend(text.byteCount / 8)
        return range.count <= 4096 ? text[range].string : ""
    }

    private func rounded(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        guard let number = value.number else { throw failure("round needs a number, got \(value.typeName)") }
        let precision = arguments.value(0, "precision")?.integer ?? 0
        guard (-400...400).contains(precision) else { throw failure("round to a precision of \(precision)") }
        let scale = pow(10, Double(precision))
        switch arguments.value(1, "method") {
        case .string("ceil"): return .double((number * scale).rounded(.up) / scale)
        case .string("floor"): return .double((number * scale).rounded(.down) / scale)
        case nil, .some(.string("common")): break
        default: throw failure("method must be common, ceil or floor")
        }
        if let integer = value.integer, precision >= 0 { return .int(integer) }
        // The number's exact decimal digits decide, as in Python, not the product with a power of ten.
        if precision >= 0 { return .double(Double(String(format: "%.\(precision)f", number)) ?? number) }
        let result = (number * scale).rounded(.toNearestOrEven) / scale
        return value.integer == nil ? .double(result) : Int(exactly: result).map(Value.int) ?? .double(result)
    }

    private func integer(_ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Value {
        let fallback = arguments.value(0, "default") ?? .int(0)
        let base = arguments.value(1, "base")?.integer ?? 10
        switch value {
        case .undefined(let name): throw failure("\(name) is undefined")
        case .string(let text):
            let digits = try number(in: text)
            if let integer = PythonNumber.integer(digits, base: base) { return .int(integer) }
            let number = PythonNumber.double(digits)
            return number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map(Value.int) ?? fallback
        default:
            if let integer = value.integer { return .int(integer) }
            return value.number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map(Value.int) ?? fallback
        }
    }

    private func extreme(
        _ filter: FilterName, _ value: Value, _ arguments: CallArguments
    ) throws(ChatTemplateError) -> Value {
        let ignoresCase = !(arguments.value(0, "case_sensitive")?.isTrue ?? false)
        let attribute = arguments.value(1, "attribute")
        let values = try elements(of: value)
        try charge(elements: values.count)
        let keys = try values.map { element throws(ChatTemplateError) in
            try folded(
                try attribute.map { key throws(ChatTemplateError) in try path(key, of: element) } ?? element,
                ignoresCase)
        }
        guard var best = values.indices.first else { return .undefined("the \(filter.rawValue) of nothing") }
        for candidate in values.indices.dropFirst() {
            let (first, second) = filter == .min ? (candidate, best) : (best, candidate)
            if try isLess(keys[first], keys[second]) { best = candidate }
        }
        return values[best]
    }

    private func fileSize(_ value: Value, isBinary: Bool) throws(ChatTemplateError) -> String {
        let parsed: Double? =
            if case .string(let text) = value { PythonNumber.double(try number(in: text)) } else { value.number }
        guard let bytes = parsed else { throw failure("filesizeformat needs a number, got \(value.typeName)") }
        let base = isBinary ? 1024.0 : 1000.0
        if bytes == 1 { return "1 Byte" }
        if bytes < base {
            guard bytes.isFinite else { throw failure("filesizeformat needs a number that is finite") }
            return Int(exactly: bytes.rounded(.towardZero)).map { "\($0) Bytes" } ?? String(format: "%.0f Bytes", bytes)
        }
        var unit = base
        for letter in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            let name = isBinary ? letter.uppercased() + "iB" : letter + "B"
            unit *= base
            if bytes < unit || letter == "Y" { return String(format: "%.1f ", base * bytes / unit) + name }
        }
        return ""
    }
}

extension PythonNumber {
    /// Python's `int(text, base)`.
    static func integer(_ text: String, base: Int = 10) -> Int? {
        var digits = text.lowercased()
        var sign = ""
        if let first = digits.first, first == "-" || first == "+" {
            sign = first == "-" ? "-" : ""
            digits.removeFirst()
        }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where base == radix && digits.hasPrefix(prefix) {
            digits.removeFirst(2)
        }
        guard let digits = withoutSeparators(digits), (2...36).contains(base) else { return nil }
        guard digits.utf8.allSatisfy({ $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }) else { return nil }
        return Int(sign + digits, radix: base)
    }

    /// Python's `float(text)`.
    static func double(_ text: String) -> Double? {
        let digits = text.lowercased()
        let unsigned = digits.drop { $0 == "-" || $0 == "+" }
        guard digits.utf8.count - unsigned.utf8.count <= 1 else { return nil }
        if ["inf", "infinity", "nan"].contains(String(unsigned)) { return Double(digits) }
        guard unsigned.utf8.allSatisfy({ (0x30...0x39).contains($0) || "._e+-".utf8.contains($0) }) else { return nil }
        return withoutSeparators(digits).flatMap(Double.init)
    }

    /// Without single underscores between digits; nil when one stands elsewhere.
    private static func withoutSeparators(_ digits: String) -> String? {
        guard digits.utf8.contains(UInt8(ascii: "_")) else { return digits }
        guard !digits.hasPrefix("_"), !digits.hasSuffix("_"), !digits.contains("__") else { return nil }
        return digits.filter { $0 != "_" }
    }
}
