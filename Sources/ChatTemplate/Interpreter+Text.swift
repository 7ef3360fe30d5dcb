extension Interpreter {
    /// Python's `str(value)`, as output writes it.
    func text(of value: Value) throws(ChatTemplateError) -> Text {
        switch value {
        case .string(let text): return text
        case .undefined: return Text("")
        default:
            var text = Text("")
            try appendRepresentation(of: value, to: &text, depth: 0)
            return text
        }
    }

    /// Python's `repr(value)`.
    func appendRepresentation(of value: Value, to text: inout Text, depth: Int) throws(ChatTemplateError) {
        guard depth < 64 else { throw failure("a value nested deeper than 64") }
        try checked(byteCount: text.size)
        try spend(1)
        switch value {
        case .undefined: text.append("Undefined")
        case .none: text.append("None")
        case .bool(let value): text.append(value ? "True" : "False")
        case .int(let value): text.append(String(value))
        case .double(let value): text.append(PythonNumber.representation(of: value))
        case .string(let value):
            try charge(charactersOf: value, growth: 4)
            text.append(PythonString.representation(of: value.string), isUntrusted: value.hasUntrusted)
        case .list(let values):
            text.append("[")
            try appendElements(values, to: &text, depth: depth)
            text.append("]")
        case .tuple(let values):
            text.append("(")
            try appendElements(values, to: &text, depth: depth)
            text.append(values.count == 1 ? ",)" : ")")
        case .dictionary(let dictionary):
            text.append("{")
            try spend(4 * dictionary.count)
            for (index, item) in dictionary.items.enumerated() {
                if index > 0 { text.append(", ") }
                try appendRepresentation(of: item.key.value, to: &text, depth: depth + 1)
                text.append(": ")
                try appendRepresentation(of: item.value, to: &text, depth: depth + 1)
            }
            text.append("}")
        case .namespace, .macro, .function, .loop, .cycler, .joiner: text.append("<\(value.typeName)>")
        }
    }

    private func appendElements(_ values: ValueList, to text: inout Text, depth: Int) throws(ChatTemplateError) {
        for (index, value) in values.enumerated() {
            if index > 0 { text.append(", ") }
            try appendRepresentation(of: value, to: &text, depth: depth + 1)
        }
    }
}

/// How Python writes numbers.
enum PythonNumber {
    /// `repr(value)`: shortest digits, plain between 1e-4 and 1e16.
    static func representation(of value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        // Swift finds the same shortest digits but changes to an exponent elsewhere.
        var digits = "\(value.magnitude)"
        var exponent = 0
        if let mark = digits.firstIndex(of: "e") {
            exponent = Int(digits[digits.index(after: mark)...]) ?? 0
            digits = String(digits[..<mark])
        }
        let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
        var fraction = parts.count > 1 && parts[1] != "0" ? String(parts[1]) : ""
        var integer = String(parts[0])
        // As 0.digits * 10^point.
        var point = integer.utf8.count + exponent
        integer += fraction
        let leadingZeros = integer.prefix { $0 == "0" }.count
        integer.removeFirst(leadingZeros)
        point -= leadingZeros
        while integer.last == "0" { integer.removeLast() }
        let sign = value.sign == .minus ? "-" : ""
        if integer.isEmpty { return sign + "0.0" }
        if point > 16 || point < -3 {
            fraction = integer.dropFirst().isEmpty ? "" : "." + integer.dropFirst()
            let power = point - 1
            let padded = power.magnitude < 10 ? "0\(power.magnitude)" : "\(power.magnitude)"
            return sign + integer.prefix(1) + fraction + "e" + (power < 0 ? "-" : "+") + padded
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + integer }
        if integer.count <= point {
            return sign + integer + String(repeating: "0", count: point - integer.count) + ".0"
        }
        return sign + integer.prefix(point) + "." + integer.dropFirst(point)
    }

    /// As `json.dumps` writes it.
    static func json(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return representation(of: value)
    }
}
