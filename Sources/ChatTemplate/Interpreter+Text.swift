import Foundation

extension Interpreter {
    /// Python's `str(value)`, as output writes it.
    func text(of value: Value) throws(ChatTemplateError) -> String {
        switch value {
        case .string(let text): return text
        case .undefined: return ""
        default:
            var text = ""
            try appendRepresentation(of: value, to: &text, depth: 0)
            return text
        }
    }

    /// Python's `repr(value)`.
    private func appendRepresentation(
        of value: Value, to text: inout String, depth: Int
    ) throws(ChatTemplateError) {
        guard depth < 64 else { throw failure("a value nested deeper than 64") }
        try checked(byteCount: text.utf8.count)
        switch value {
        case .undefined: text += "Undefined"
        case .none: text += "None"
        case .bool(let value): text += value ? "True" : "False"
        case .int(let value): text += String(value)
        case .double(let value): text += PythonNumber.representation(of: value)
        case .string(let value): text += PythonString.representation(of: value)
        case .list(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += ", " }
                try appendRepresentation(of: value, to: &text, depth: depth + 1)
            }
            text += "]"
        case .tuple(let values):
            text += "("
            for (index, value) in values.enumerated() {
                if index > 0 { text += ", " }
                try appendRepresentation(of: value, to: &text, depth: depth + 1)
            }
            text += values.count == 1 ? ",)" : ")"
        case .dictionary(let dictionary):
            text += "{"
            for (index, item) in dictionary.items.enumerated() {
                if index > 0 { text += ", " }
                try appendRepresentation(of: item.key.value, to: &text, depth: depth + 1)
                text += ": "
                try appendRepresentation(of: item.value, to: &text, depth: depth + 1)
            }
            text += "}"
        case .namespace, .macro, .function, .loop: text += "<\(value.typeName)>"
        }
    }

    /// `json.dumps(value, ensure_ascii=False)`, as transformers defines `tojson` for chat templates.
    func json(_ value: Value, indent: Int?, separators: (item: String, key: String)) throws(ChatTemplateError) -> String
    {
        var text = ""
        try appendJSON(value, indent: indent, separators: separators, to: &text, depth: 0)
        return text
    }

    private func appendJSON(
        _ value: Value, indent: Int?, separators: (item: String, key: String), to text: inout String, depth: Int
    ) throws(ChatTemplateError) {
        guard depth < 64 else { throw failure("a value nested deeper than 64") }
        try checked(byteCount: text.utf8.count)
        func newLine(_ depth: Int) {
            guard let indent else { return }
            text += "\n" + String(repeating: " ", count: indent * depth)
        }
        switch value {
        case .undefined(let name): throw failure("\(name) is undefined, so it has no JSON form")
        case .none: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .int(let value): text += String(value)
        case .double(let value): text += PythonNumber.json(value)
        case .string(let value): text += PythonString.json(value)
        case .list(let values), .tuple(let values):
            guard !values.isEmpty else {
                text += "[]"
                return
            }
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += separators.item }
                newLine(depth + 1)
                try appendJSON(value, indent: indent, separators: separators, to: &text, depth: depth + 1)
            }
            newLine(depth)
            text += "]"
        case .dictionary(let dictionary):
            guard !dictionary.isEmpty else {
                text += "{}"
                return
            }
            text += "{"
            for (index, item) in dictionary.items.enumerated() {
                if index > 0 { text += separators.item }
                newLine(depth + 1)
                let key: String
                if case .string(let name) = item.key {
                    key = name
                } else {
                    key = try json(item.key.value, indent: nil, separators: separators)
                }
                text += PythonString.json(key) + separators.key
                try appendJSON(item.value, indent: indent, separators: separators, to: &text, depth: depth + 1)
            }
            newLine(depth)
            text += "}"
        case .namespace, .macro, .function, .loop: throw failure("\(value.typeName) has no JSON form")
        }
    }

    /// Python's `format % values`, for `%s %r %d %i %f %.Nf %x %%`.
    func percentFormat(_ format: String, _ values: [Value]) throws(ChatTemplateError) -> String {
        var text = ""
        var rest = values[...]
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "%" else {
                text.unicodeScalars.append(scalar)
                continue
            }
            var precision: Int?
            if scalars.first == "." {
                scalars.removeFirst()
                var digits = ""
                while let digit = scalars.first, digit.isDigit, digits.utf8.count < 3 {
                    digits.unicodeScalars.append(digit)
                    scalars.removeFirst()
                }
                precision = Int(digits)
            }
            guard let conversion = scalars.popFirst() else { throw failure("an incomplete format") }
            if conversion == "%" {
                text += "%"
                continue
            }
            guard let value = rest.popFirst() else { throw failure("not enough values for the format") }
            switch conversion {
            case "s": text += try self.text(of: value)
            case "r": try appendRepresentation(of: value, to: &text, depth: 0)
            case "d", "i":
                guard let number = value.integer ?? value.number.flatMap({ Int(exactly: $0.rounded(.towardZero)) })
                else {
                    throw failure("%d needs a number, got \(value.typeName)")
                }
                text += String(number)
            case "x":
                guard let number = value.integer else { throw failure("%x needs an integer, got \(value.typeName)") }
                text += String(number, radix: 16)
            case "f":
                guard let number = value.number else { throw failure("%f needs a number, got \(value.typeName)") }
                text += String(format: "%.\(precision ?? 6)f", number)
            default: throw failure("format %\(conversion) is not implemented")
            }
        }
        guard rest.isEmpty else { throw failure("too many values for the format") }
        return text
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
