/// Comparing values. What two values share may be looked at again and again, so every part of them counts as work.
extension Interpreter {
    /// Python's `==`. Strings are equal when their scalars are: no canonical equivalence.
    func isEqual(_ left: Value, _ right: Value) throws(ChatTemplateError) -> Bool {
        try spend(1)
        switch (left, right) {
        case (.string(let left), .string(let right)):
            guard left.byteCount == right.byteCount else { return false }
            try charge(byteCount: left.byteCount)
            return left == right
        case (.none, .none), (.undefined, .undefined): return true
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            guard left.count == right.count else { return false }
            for (left, right) in zip(left, right) where try !isEqual(left, right) { return false }
            return true
        case (.dictionary(let left), .dictionary(let right)):
            guard left.count == right.count else { return false }
            for (key, value) in left.items {
                guard let other = right[key], try isEqual(value, other) else { return false }
            }
            return true
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.macro(let left), .macro(let right)): return left === right
        default:
            if let left = left.integer, let right = right.integer { return left == right }
            if let left = left.number, let right = right.number { return left == right }
            return false
        }
    }

    func isEqual(_ left: ValueList, _ right: ValueList) throws(ChatTemplateError) -> Bool {
        try isEqual(.list(left), .list(right))
    }

    /// Where `wanted` stands first in `values`.
    func firstIndex(of wanted: Value, in values: ValueList) throws(ChatTemplateError) -> Int? {
        for (index, value) in values.enumerated() where try isEqual(value, wanted) { return index }
        return nil
    }

    /// Python's `<`. - Throws: `evaluation` when the two have no order.
    func isLess(_ left: Value, _ right: Value) throws(ChatTemplateError) -> Bool {
        for case .undefined(let name) in [left, right] { throw failure("\(name) is undefined") }
        guard let result = try order(left, right) else {
            throw failure("\(left.typeName) and \(right.typeName) cannot be ordered")
        }
        return result
    }

    private func order(_ left: Value, _ right: Value) throws(ChatTemplateError) -> Bool? {
        try spend(1)
        switch (left, right) {
        case (.string(let left), .string(let right)):
            try charge(byteCount: 8 * min(left.byteCount, right.byteCount))
            // The order of UTF-8 bytes is the order of scalars.
            return left.string.utf8.lexicographicallyPrecedes(right.string.utf8)
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (left, right) in zip(left, right) where try !isEqual(left, right) { return try order(left, right) }
            return left.count < right.count
        default:
            if let left = left.integer, let right = right.integer { return left < right }
            if let left = left.number, let right = right.number { return left < right }
            return nil
        }
    }

    /// `value` as the key of a dictionary; nil for values that cannot be one.
    func key(_ value: Value) throws(ChatTemplateError) -> ValueDictionary.Key? {
        try ValueDictionary.Key.make(value) { (byteCount) throws(ChatTemplateError) in
            try charge(byteCount: byteCount)
        }
    }
}
