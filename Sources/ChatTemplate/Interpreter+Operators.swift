import Foundation

extension Interpreter {
    func apply(_ unary: UnaryOperator, _ value: Value) throws(ChatTemplateError) -> Value {
        if unary == .not { return .bool(!value.isTrue) }
        if let integer = value.integer {
            guard unary == .negative else { return .int(integer) }
            let (result, overflow) = (0).subtractingReportingOverflow(integer)
            guard !overflow else { throw failure("integer overflow") }
            return .int(result)
        }
        guard case .double(let number) = value else { throw failure("bad operand for sign: \(value.typeName)") }
        return .double(unary == .negative ? -number : number)
    }

    func apply(_ binary: BinaryOperator, _ left: Value, _ right: Value) throws(ChatTemplateError) -> Value {
        if binary == .concatenate { return try join(try text(of: left), try text(of: right)) }
        for case .undefined(let name) in [left, right] { throw failure("\(name) is undefined") }
        switch (binary, left, right) {
        case (.add, .string(let left), .string(let right)): return try join(left, right)
        case (.add, .list(let left), .list(let right)):
            try checked(elements: left.count + right.count)
            return .list(left + right)
        case (.add, .tuple(let left), .tuple(let right)):
            try checked(elements: left.count + right.count)
            return .tuple(left + right)
        case (.multiply, .string(let text), _), (.multiply, _, .string(let text)):
            guard let count = (left.integer ?? right.integer).map({ max($0, 0) }) else { break }
            let (bytes, overflow) = text.byteCount.multipliedReportingOverflow(by: count)
            try checked(byteCount: overflow ? .max : bytes)
            try charge(byteCount: overflow ? 0 : bytes)
            return .string(text.isEmpty ? "" : text.repeated(count))
        case (.multiply, .list(let values), _), (.multiply, _, .list(let values)):
            guard let count = (left.integer ?? right.integer).map({ max($0, 0) }) else { break }
            let (elements, overflow) = values.count.multipliedReportingOverflow(by: count)
            try checked(elements: overflow ? .max : elements)
            return .list(values.isEmpty ? [] : Array(repeatElement(values, count: count).joined()))
        case (.multiply, .tuple(let values), _), (.multiply, _, .tuple(let values)):
            guard let count = (left.integer ?? right.integer).map({ max($0, 0) }) else { break }
            let (elements, overflow) = values.count.multipliedReportingOverflow(by: count)
            try checked(elements: overflow ? .max : elements)
            return .tuple(values.isEmpty ? [] : Array(repeatElement(values, count: count).joined()))
        case (.remainder, .string(let format), _): return .string(try percentFormat(format, right))
        default: break
        }
        if let left = left.integer, let right = right.integer { return try integers(binary, left, right) }
        if let left = left.number, let right = right.number { return try doubles(binary, left, right) }
        throw failure("bad operands for \(binary.rawValue): \(left.typeName) and \(right.typeName)")
    }

    private func join(_ left: Text, _ right: Text) throws(ChatTemplateError) -> Value {
        try checked(byteCount: left.byteCount + right.byteCount)
        try charge(byteCount: left.byteCount + right.byteCount)
        var result = left
        result.append(right)
        return .string(result)
    }

    private func integers(_ binary: BinaryOperator, _ left: Int, _ right: Int) throws(ChatTemplateError) -> Value {
        let result: (partialValue: Int, overflow: Bool)
        switch binary {
        case .add: result = left.addingReportingOverflow(right)
        case .subtract: result = left.subtractingReportingOverflow(right)
        case .multiply: result = left.multipliedReportingOverflow(by: right)
        case .divide: return try doubles(.divide, Double(left), Double(right))
        case .floorDivide, .remainder:
            guard right != 0 else { throw failure("division by zero") }
            // Python rounds down, and a remainder has the divisor's sign.
            let (quotient, overflow) = left.dividedReportingOverflow(by: right)
            guard !overflow else { throw failure("integer overflow") }
            let remainder = left % right
            let isRoundedUp = remainder != 0 && (remainder < 0) != (right < 0)
            if binary == .floorDivide { return .int(isRoundedUp ? quotient - 1 : quotient) }
            return .int(isRoundedUp ? remainder + right : remainder)
        case .power:
            guard right >= 0 else { return try doubles(.power, Double(left), Double(right)) }
            var value = 1
            // Beyond 63 doublings only 0, 1 and -1 do not overflow.
            let exponent = (-1...1).contains(left) ? right % 2 + (right > 1 ? 2 : 0) : min(right, 64)
            for _ in 0..<exponent {
                let (product, overflow) = value.multipliedReportingOverflow(by: left)
                guard !overflow else { throw failure("integer overflow") }
                value = product
            }
            return .int(value)
        case .concatenate: throw failure("bad operands for ~")
        }
        guard !result.overflow else { throw failure("integer overflow") }
        return .int(result.partialValue)
    }

    private func doubles(_ binary: BinaryOperator, _ left: Double, _ right: Double) throws(ChatTemplateError) -> Value {
        switch binary {
        case .add: return .double(left + right)
        case .subtract: return .double(left - right)
        case .multiply: return .double(left * right)
        case .power:
            guard left != 0 || right >= 0 else { throw failure("0 cannot be raised to a negative power") }
            guard left >= 0 || right == right.rounded() else { throw failure("the power is not a real number") }
            let result = pow(left, right)
            guard result.isFinite || !left.isFinite || !right.isFinite else { throw failure("a number out of range") }
            return .double(result)
        case .divide, .floorDivide, .remainder:
            guard right != 0 else { throw failure("division by zero") }
            if binary == .divide { return .double(left / right) }
            // The remainder is exact and has the divisor's sign; the quotient follows from it.
            var remainder = fmod(left, right)
            var quotient = (left - remainder) / right
            if remainder != 0, (remainder < 0) != (right < 0) {
                remainder += right
                quotient -= 1
            } else if remainder == 0 {
                remainder = right < 0 ? -0.0 : 0.0
            }
            if binary == .remainder { return .double(remainder) }
            let rounded = quotient.rounded(.down)
            return .double(quotient - rounded > 0.5 ? rounded + 1 : rounded)
        case .concatenate: throw failure("bad operands for ~")
        }
    }

    func compare(_ comparison: ComparisonOperator, _ left: Value, _ right: Value) throws(ChatTemplateError) -> Bool {
        switch comparison {
        case .equal: return Value.equal(left, right)
        case .notEqual: return !Value.equal(left, right)
        case .contained: return try contains(right, left)
        case .notContained: return try !contains(right, left)
        case .less: return try isLess(left, right)
        case .greater: return try isLess(right, left)
        case .lessOrEqual: return Value.equal(left, right) ? true : try isLess(left, right)
        case .greaterOrEqual: return Value.equal(left, right) ? true : try isLess(right, left)
        }
    }

    func isLess(_ left: Value, _ right: Value) throws(ChatTemplateError) -> Bool {
        for case .undefined(let name) in [left, right] { throw failure("\(name) is undefined") }
        guard let result = Value.isLess(left, right) else {
            throw failure("\(left.typeName) and \(right.typeName) cannot be ordered")
        }
        return result
    }

    /// `value in container`.
    func contains(_ container: Value, _ value: Value) throws(ChatTemplateError) -> Bool {
        switch container {
        case .string(let text):
            guard case .string(let part) = value else {
                throw failure("'in' a string needs a string, got \(value.typeName)")
            }
            try charge(byteCount: text.byteCount)
            return PythonString.contains(text.string, part.string)
        case .dictionary(let dictionary):
            guard let key = ValueDictionary.Key(value) else {
                throw failure("\(value.typeName) cannot be a dictionary key")
            }
            return dictionary[key] != nil
        case .list(let values), .tuple(let values):
            try checked(elements: values.count)
            return values.contains { Value.equal($0, value) }
        case .undefined: return false
        default: throw failure("'in' needs something to search, got \(container.typeName)")
        }
    }

    // MARK: - Items and attributes

    /// The values that walking over `value` gives.
    func elements(of value: Value) throws(ChatTemplateError) -> [Value] {
        let values: [Value]
        switch value {
        case .list(let items), .tuple(let items): values = items
        case .dictionary(let dictionary): values = dictionary.keys.map(\.value)
        case .string(let text):
            try charge(byteCount: text.byteCount)
            values = characters(of: text).map(Value.string)
        case .undefined: values = []
        default: throw failure("\(value.typeName) is not iterable")
        }
        try checked(elements: values.count)
        return values
    }

    /// The scalars of a string, as strings.
    private func characters(of text: Text) -> [Text] {
        guard text.hasUntrusted else { return text.scalars.map { Text(String($0)) } }
        let offsets = PythonString.offsets(text.string)
        return zip(offsets, offsets.dropFirst()).map { text[$0..<$1] }
    }

    /// `value.name`: a method when the type has one, else the item of that name.
    func attribute(_ name: String, of value: Value) throws(ChatTemplateError) -> Value {
        switch value {
        case .undefined(let what): throw failure("\(what) is undefined, so it has no attribute '\(name)'")
        case .namespace(let namespace): return namespace.attributes[name] ?? .undefined("attribute '\(name)'")
        case .loop(let loop): return try attribute(name, of: loop)
        case .macro(let macro) where name == "name": return .text(macro.definition.name)
        case .cycler(let cycler):
            switch name {
            case "current": return cycler.values[cycler.index]
            case "next", "reset": return .function(.method(value, name))
            default: return .undefined("'cycler' has no attribute '\(name)'; it")
            }
        // What `groupby` gives are pairs with names.
        case .tuple(let values) where values.count == 2 && (name == "grouper" || name == "list"):
            return values[name == "grouper" ? 0 : 1]
        case .dictionary(let dictionary):
            if Methods.ofDictionary.contains(name) { return .function(.method(value, name)) }
            if let found = dictionary[name] { return found }
            try refuseInternal(name)
            return .undefined("'dict object' has no attribute '\(name)'; it")
        case .string where Methods.ofString.contains(name): return .function(.method(value, name))
        case .list where Methods.ofList.contains(name), .tuple where Methods.ofList.contains(name):
            return .function(.method(value, name))
        default:
            try refuseInternal(name)
            return .undefined("'\(value.typeName) object' has no attribute '\(name)'; it")
        }
    }

    /// Attributes such as `__class__` lead out of the sandbox elsewhere, and are an error here as well.
    private func refuseInternal(_ name: String) throws(ChatTemplateError) {
        guard !(name.hasPrefix("__") && name.hasSuffix("__")) else {
            throw failure("access to attribute '\(name)' is unsafe")
        }
    }

    private func attribute(_ name: String, of loop: Loop) throws(ChatTemplateError) -> Value {
        let index = loop.index
        let count = loop.values.count
        switch name {
        case "index": return .int(index + 1)
        case "index0": return .int(index)
        case "revindex": return .int(count - index)
        case "revindex0": return .int(count - index - 1)
        case "first": return .bool(index == 0)
        case "last": return .bool(index == count - 1)
        case "length": return .int(count)
        // Jinja counts the levels of recursive loops only.
        case "depth": return .int(loop.depth + 1)
        case "depth0": return .int(loop.depth)
        case "previtem": return index > 0 ? loop.values[index - 1] : .undefined("there is no previous item; it")
        case "nextitem": return index + 1 < count ? loop.values[index + 1] : .undefined("there is no next item; it")
        case "cycle", "changed": return .function(.method(.loop(loop), name))
        default: return .undefined("'loop' has no attribute '\(name)'; it")
        }
    }

    /// `value[key]`.
    func item(_ key: Value, of value: Value) throws(ChatTemplateError) -> Value {
        switch value {
        case .undefined(let what): throw failure("\(what) is undefined")
        case .dictionary(let dictionary):
            if let key = ValueDictionary.Key(key), let found = dictionary[key] { return found }
            if case .string(let name) = key { return try attribute(name.string, of: value) }
            return .undefined("the dictionary has no such key; it")
        case .list(let values), .tuple(let values):
            if let index = key.integer {
                let position = index < 0 ? index + values.count : index
                return values.indices.contains(position)
                    ? values[position] : .undefined("index \(index) is outside; it")
            }
        case .string(let text):
            if let index = key.integer {
                try charge(byteCount: text.byteCount)
                let count = text.scalars.count
                let position = index < 0 ? index + count : index
                return (0..<count).contains(position)
                    ? .string(text.scalars(at: [position])) : .undefined("index \(index) is outside; it")
            }
        default: break
        }
        if case .string(let name) = key { return try attribute(name.string, of: value) }
        return .undefined("'\(value.typeName) object' has no such item; it")
    }

    func slice(_ value: Value, start: Int?, end: Int?, step: Int) throws(ChatTemplateError) -> Value {
        guard step != 0 else { throw failure("a slice with a step of 0") }
        func positions(_ count: Int) -> [Int] {
            func clamp(_ bound: Int, _ range: ClosedRange<Int>) -> Int {
                let position = bound < 0 ? bound + count : bound
                return min(max(position, range.lowerBound), range.upperBound)
            }
            if step > 0 {
                let first = start.map { clamp($0, 0...count) } ?? 0
                let last = end.map { clamp($0, 0...count) } ?? count
                return first < last ? Array(stride(from: first, to: last, by: step)) : []
            }
            let first = start.map { clamp($0, -1...count - 1) } ?? count - 1
            let last = end.map { clamp($0, -1...count - 1) } ?? -1
            return first > last ? Array(stride(from: first, to: last, by: step)) : []
        }
        switch value {
        case .list(let values): return .list(positions(values.count).map { values[$0] })
        case .tuple(let values): return .tuple(positions(values.count).map { values[$0] })
        case .string(let text):
            try charge(byteCount: text.byteCount)
            let offsets = PythonString.offsets(text.string)
            let positions = positions(offsets.count - 1)
            guard step == 1 else { return .string(text.scalars(at: positions)) }
            guard let first = positions.first, let last = positions.last else { return .text("") }
            return .string(text[offsets[first]..<offsets[last + 1]])
        case .undefined(let what): throw failure("\(what) is undefined")
        default: throw failure("\(value.typeName) cannot be sliced")
        }
    }
}
