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
            return .list(try joined(left, right))
        case (.add, .tuple(let left), .tuple(let right)):
            return .tuple(try joined(left, right))
        case (.multiply, .string(let text), _), (.multiply, _, .string(let text)):
            guard let count = (left.integer ?? right.integer).map({ max($0, 0) }) else { break }
            try charge(text, times: count)
            return .string(text.isEmpty ? "" : text.repeated(count))
        case (.multiply, .list(let values), _), (.multiply, _, .list(let values)):
            guard let count = (left.integer ?? right.integer).map({ max($0, 0) }) else { break }
            return .list(try repeated(values, count))
        case (.multiply, .tuple(let values), _), (.multiply, _, .tuple(let values)):
            guard let count = (left.integer ?? right.integer).map({ max($0, 0) }) else { break }
            return .tuple(try repeated(values, count))
        case (.remainder, .string(let format), _): return .string(try percentFormat(format, right))
        default: break
        }
        if let left = left.integer, let right = right.integer { return try integers(binary, left, right) }
        if let left = left.number, let right = right.number { return try doubles(binary, left, right) }
        throw failure("bad operands for \(binary.rawValue): \(left.typeName) and \(right.typeName)")
    }

    private func joined(_ left: ValueList, _ right: ValueList) throws(ChatTemplateError) -> ValueList {
        try charge(elements: left.count + right.count)
        return ValueList(left.array + right.array, depth: max(left.depth, right.depth))
    }

    private func repeated(_ values: ValueList, _ count: Int) throws(ChatTemplateError) -> ValueList {
        let (elements, overflow) = values.count.multipliedReportingOverflow(by: count)
        try charge(elements: overflow ? .max : elements)
        guard !values.isEmpty else { return ValueList([]) }
        return ValueList(Array(repeatElement(values.array, count: count).joined()), depth: values.depth)
    }

    private func join(_ left: Text, _ right: Text) throws(ChatTemplateError) -> Value {
        try charge(byteCount: left.size + right.size)
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
        case .equal: return try isEqual(left, right)
        case .notEqual: return try !isEqual(left, right)
        case .contained: return try contains(right, left)
        case .notContained: return try !contains(right, left)
        case .less: return try isLess(left, right)
        case .greater: return try isLess(right, left)
        case .lessOrEqual: return try isEqual(left, right) ? true : isLess(left, right)
        case .greaterOrEqual: return try isEqual(left, right) ? true : isLess(right, left)
        }
    }

    /// `value in container`.
    func contains(_ container: Value, _ value: Value) throws(ChatTemplateError) -> Bool {
        switch container {
        case .string(let text):
            guard case .string(let part) = value else {
                throw failure("'in' a string needs a string, got \(value.typeName)")
            }
            try charge(searchIn: text, for: part)
            return PythonString.contains(text.string, part.string)
        case .dictionary(let dictionary):
            guard let key = try key(value) else {
                throw failure("\(value.typeName) cannot be a dictionary key")
            }
            return dictionary[key] != nil
        case .list(let values), .tuple(let values):
            return try firstIndex(of: value, in: values) != nil
        case .undefined: return false
        default: throw failure("'in' needs something to search, got \(container.typeName)")
        }
    }

    // MARK: - Items and attributes

    /// The values that walking over `value` gives.
    func elements(of value: Value) throws(ChatTemplateError) -> ValueList {
        switch value {
        case .list(let items), .tuple(let items): return items
        case .dictionary(let dictionary):
            try charge(elements: dictionary.count)
            return ValueList(dictionary.keys.map(\.value), depth: dictionary.depth)
        case .string(let text):
            // Each is a string of its own, with a mark of its own.
            try charge(elements: PythonString.count(text.string) * (text.hasUntrusted ? 4 : 1))
            return ValueList(characters(of: text).map(Value.string), depth: 1)
        case .undefined: return ValueList([])
        default: throw failure("\(value.typeName) is not iterable")
        }
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
        let count = loop.count
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
        case "previtem": return loop.value(at: index - 1) ?? .undefined("there is no previous item; it")
        case "nextitem": return loop.value(at: index + 1) ?? .undefined("there is no next item; it")
        case "cycle", "changed": return .function(.method(.loop(loop), name))
        default: return .undefined("'loop' has no attribute '\(name)'; it")
        }
    }

    /// `value[key]`.
    func item(_ key: Value, of value: Value) throws(ChatTemplateError) -> Value {
        if case .string(let name) = key {
            guard name.byteCount <= 1 << 16 else { throw failure("a key of \(name.byteCount) bytes") }
            try charge(byteCount: 4 * name.byteCount)
        }
        switch value {
        case .undefined(let what): throw failure("\(what) is undefined")
        case .dictionary(let dictionary):
            if let key = try self.key(key), let found = dictionary[key] { return found }
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
                try charge(text)
                let count = PythonString.count(text.string)
                let position = index < 0 ? index + count : index
                guard (0..<count).contains(position) else { return .undefined("index \(index) is outside; it") }
                let start = PythonString.offset(of: position, in: text.string)
                return .string(text[start..<PythonString.offset(of: 1, in: text.string, from: start)])
            }
        default: break
        }
        if case .string(let name) = key { return try attribute(name.string, of: value) }
        return .undefined("'\(value.typeName) object' has no such item; it")
    }

    func slice(_ value: Value, start: Int?, end: Int?, step: Int) throws(ChatTemplateError) -> Value {
        guard step != 0 else { throw failure("a slice with a step of 0") }
        switch value {
        case .list(let values): return .list(try slice(values, start, end, step))
        case .tuple(let values): return .tuple(try slice(values, start, end, step))
        case .string(let text):
            try charge(text)
            let range = SliceRange(count: PythonString.count(text.string), start: start, end: end, step: step)
            guard step == 1 else {
                try charge(elements: range.count)
                try charge(charactersOf: text, growth: 8)
                return .string(text.scalars(at: range.positions))
            }
            let first = PythonString.offset(of: range.first, in: text.string)
            return .string(text[first..<PythonString.offset(of: range.count, in: text.string, from: first)])
        case .undefined(let what): throw failure("\(what) is undefined")
        default: throw failure("\(value.typeName) cannot be sliced")
        }
    }

    private func slice(
        _ values: ValueList, _ start: Int?, _ end: Int?, _ step: Int
    ) throws(ChatTemplateError) -> ValueList {
        let range = SliceRange(count: values.count, start: start, end: end, step: step)
        try charge(elements: range.count)
        return ValueList(range.positions.map { values[$0] }, depth: values.depth)
    }
}
