/// Single scalars: literals, escapes and classes.
extension RegexParser {
    /// The set of a literal, an escape or a class; nil when a group or an assertion starts here.
    mutating func singleScalar() throws(Failure) -> ScalarSet? {
        guard let scalar = next else { throw failure("expected something") }
        switch scalar {
        case "(", "^", "$": return nil
        case "*", "+", "?": throw failure("nothing to repeat")
        case "[": return set(try characterClass())
        case ".":
            index += 1
            return ScalarSet(.not(.range(0x0A...0x0A)))
        case "\\":
            if index + 1 < scalars.count, "AzbB".unicodeScalars.contains(scalars[index + 1]) { return nil }
            return set(try escape())
        default:
            index += 1
            return set(.range(scalar.value...scalar.value))
        }
    }

    private mutating func characterClass() throws(Failure) -> ScalarSet.Item {
        depth += 1
        guard depth <= Self.maxDepth else { throw failure("nested too deeply") }
        defer { depth -= 1 }
        index += 1
        let isNegative = take("^")
        var intersected: [ScalarSet.Item] = []
        var items: [ScalarSet.Item] = []
        var isFirst = true
        while isFirst || next != "]" {
            guard let scalar = next else { throw failure("expected ]") }
            try countRead()
            if take("&&") {
                intersected.append(.union(items))
                items = []
            } else if scalar == "[" {
                items.append(try characterClass())
            } else {
                items.append(try rangeOrItem())
            }
            isFirst = false
        }
        index += 1
        intersected.append(.union(items))
        let item = intersected.count == 1 ? intersected[0] : ScalarSet.Item.intersection(intersected)
        return isNegative ? .not(item) : item
    }

    private mutating func rangeOrItem() throws(Failure) -> ScalarSet.Item {
        let first = try classItem()
        guard case .range(let range) = first, range.count == 1, next == "-", index + 1 < scalars.count,
            scalars[index + 1] != "]"
        else { return first }
        index += 1
        guard case .range(let last) = try classItem(), last.count == 1, last.lowerBound >= range.lowerBound else {
            throw failure("a range that is none")
        }
        return .range(range.lowerBound...last.lowerBound)
    }

    private mutating func classItem() throws(Failure) -> ScalarSet.Item {
        guard let scalar = next else { throw failure("expected ]") }
        if scalar == "\\" { return try escape() }
        index += 1
        return .range(scalar.value...scalar.value)
    }

    private mutating func escape() throws(Failure) -> ScalarSet.Item {
        index += 1
        guard let scalar = next else { throw failure("a lone backslash") }
        index += 1
        func one(_ value: UInt32) -> ScalarSet.Item { .range(value...value) }
        let decimal = ScalarSet.Item.categories(GeneralCategories.named("Nd") ?? 0)
        switch scalar {
        case "n": return one(0x0A)
        case "r": return one(0x0D)
        case "t": return one(0x09)
        case "f": return one(0x0C)
        case "v": return one(0x0B)
        case "a": return one(0x07)
        case "e": return one(0x1B)
        case "s": return .whiteSpace
        case "S": return .not(.whiteSpace)
        case "d": return decimal
        case "D": return .not(decimal)
        case "w": return .word
        case "W": return .not(.word)
        case "p", "P":
            let item = try property()
            return scalar == "p" ? item : .not(item)
        case "x", "u": return one(try hexadecimal(after: scalar))
        default:
            guard !("a"..."z").contains(scalar), !("A"..."Z").contains(scalar), !("0"..."9").contains(scalar) else {
                throw failure("the escape \\\(scalar), which is not implemented,")
            }
            return one(scalar.value)
        }
    }

    private mutating func property() throws(Failure) -> ScalarSet.Item {
        guard take("{"), let close = scalars[index...].prefix(64).firstIndex(of: "}") else {
            throw failure("expected {")
        }
        var name = String(String.UnicodeScalarView(scalars[index..<close]))
        index = close + 1
        let isNegative = name.hasPrefix("^")
        if isNegative { name.removeFirst() }
        guard let item = RegexProperties.named(name) else {
            throw failure("the property \(name.prefix(32)), which is not implemented,")
        }
        return isNegative ? .not(item) : item
    }

    private mutating func hexadecimal(after kind: Unicode.Scalar) throws(Failure) -> UInt32 {
        var digits: [Unicode.Scalar] = []
        if kind == "x", take("{") {
            while let scalar = next, scalar != "}", digits.count < 7 {
                digits.append(scalar)
                index += 1
            }
            guard take("}") else { throw failure("expected }") }
        } else {
            let count = kind == "x" ? 2 : 4
            digits = Array(scalars[index...].prefix(count))
            index += digits.count
        }
        let text = String(String.UnicodeScalarView(digits))
        guard let value = UInt32(text, radix: 16), Unicode.Scalar(value) != nil else {
            throw failure("expected hexadecimal digits")
        }
        return value
    }
}
