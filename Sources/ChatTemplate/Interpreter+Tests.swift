extension Interpreter {
    /// `value is name(arguments)`.
    func test(_ name: String, _ value: Value, _ arguments: CallArguments) throws(ChatTemplateError) -> Bool {
        try spend(1)
        guard let test = TestName(name) else { throw failure("no test named \"\(name)\"") }
        func argument() throws(ChatTemplateError) -> Value {
            guard let argument = arguments.positional.first else { throw failure("test \(name) needs an argument") }
            return argument
        }
        func integer(_ value: Value) throws(ChatTemplateError) -> Int {
            guard let integer = value.integer else {
                throw failure("test \(name) needs an integer, got \(value.typeName)")
            }
            return integer
        }
        switch test {
        case .defined: return !value.isUndefined
        case .undefined: return value.isUndefined
        case .none: if case .none = value { return true } else { return false }
        case .boolean: if case .bool = value { return true } else { return false }
        case .`true`: if case .bool(true) = value { return true } else { return false }
        case .`false`: if case .bool(false) = value { return true } else { return false }
        case .integer: if case .int = value { return true } else { return false }
        case .float: if case .double = value { return true } else { return false }
        case .number: return value.number != nil
        case .string: if case .string = value { return true } else { return false }
        case .mapping: if case .dictionary = value { return true } else { return false }
        case .filter: return FilterName(rawValue: try self.name(in: value)) != nil
        case .test: return TestName(try self.name(in: value)) != nil
        // Nothing is marked as escaped here.
        case .escaped: return false
        case .sequence, .iterable:
            switch value {
            case .string, .list, .tuple, .dictionary, .undefined: return true
            default: return false
            }
        case .callable:
            switch value {
            // Python's undefined can be called; calling it fails.
            case .macro, .function, .undefined, .joiner: return true
            case .loop(let loop): return loop.recursion != nil
            default: return false
            }
        case .lower: return try isCased(value, upper: false)
        case .upper: return try isCased(value, upper: true)
        case .even: return try integer(value) % 2 == 0
        case .odd: return try integer(value) % 2 != 0
        case .divisibleby:
            let divisor = try integer(try argument())
            guard divisor != 0 else { throw failure("division by zero") }
            let dividend = try integer(value)
            // The quotient by -1 may not fit, but there is no remainder.
            return divisor == -1 || dividend % divisor == 0
        case .eq, .equalto: return try isEqual(value, try argument())
        case .sameas: return try isSame(value, try argument())
        case .ne: return try !isEqual(value, try argument())
        case .lt, .lessthan: return try compare(.less, value, try argument())
        case .le: return try compare(.lessOrEqual, value, try argument())
        case .gt, .greaterthan: return try compare(.greater, value, try argument())
        case .ge: return try compare(.greaterOrEqual, value, try argument())
        case .`in`: return try contains(try argument(), value)
        }
    }

    /// Python's `is`, as far as values have an identity: lists and dictionaries that were made apart do not exist here
    /// to be told apart, so equal ones count as the same.
    private func isSame(_ left: Value, _ right: Value) throws(ChatTemplateError) -> Bool {
        guard left.typeName == right.typeName else { return false }
        return try isEqual(left, right)
    }

    /// The text of a value that may be the name of a filter or a test.
    private func name(in value: Value) throws(ChatTemplateError) -> String {
        let text = try text(of: value)
        return text.byteCount <= 64 ? text.string : ""
    }

    private func isCased(_ value: Value, upper: Bool) throws(ChatTemplateError) -> Bool {
        let text = try text(of: value)
        try spend(text.byteCount)
        let scalars = text.scalars
        let (wanted, other) = (
            scalars.contains { $0.properties.isUppercase }, scalars.contains { $0.properties.isLowercase }
        )
        return upper ? wanted && !other : other && !wanted
    }
}
