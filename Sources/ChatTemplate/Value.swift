/// A value inside the interpreter: Python's, as far as templates use them.
enum Value {
    /// A name that is not defined; prints as nothing, is false, and cannot be used further. The text names it.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(Text)
    case list([Value])
    case tuple([Value])
    case dictionary(ValueDictionary)
    /// What `namespace()` makes: attributes that inner scopes can set.
    case namespace(Namespace)
    case macro(Macro)
    case function(Function)
    case loop(Loop)
    case cycler(Cycler)
    case joiner(Joiner)

    /// - Parameter isUntrusted: whether the value came with the request; its text, keys included, is marked.
    init(_ value: JinjaValue, isUntrusted: Bool) {
        switch value {
        case .none: self = .none
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(value)
        case .double(let value): self = .double(value)
        case .string(let value): self = .string(Text(value, isUntrusted: isUntrusted))
        case .array(let values): self = .list(values.map { Value($0, isUntrusted: isUntrusted) })
        case .object(let object):
            var dictionary = ValueDictionary()
            for key in object.keys {
                dictionary[ValueDictionary.Key(Text(key, isUntrusted: isUntrusted))] = Value(
                    object[key] ?? .none, isUntrusted: isUntrusted)
            }
            self = .dictionary(dictionary)
        }
    }

    /// A string of the template's own.
    static func text(_ string: String) -> Value { .string(Text(string)) }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .double(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let values), .tuple(let values): !values.isEmpty
        case .dictionary(let dictionary): !dictionary.isEmpty
        case .namespace, .macro, .function, .loop, .cycler, .joiner: true
        }
    }

    var isNone: Bool { if case .none = self { true } else { false } }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }

    /// The value as an integer: truth values count as 0 and 1.
    var integer: Int? {
        switch self {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    var number: Double? {
        if case .double(let value) = self { value } else { integer.map(Double.init) }
    }

    /// Python's name of the type, for messages.
    var typeName: String {
        switch self {
        case .undefined: "undefined"
        case .none: "None"
        case .bool: "bool"
        case .int: "int"
        case .double: "float"
        case .string: "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .namespace: "namespace"
        case .macro: "macro"
        case .function: "function"
        case .loop: "loop"
        case .cycler: "cycler"
        case .joiner: "joiner"
        }
    }

    /// Python's `==`. Strings are equal when their scalars are: no canonical equivalence.
    static func equal(_ lhs: Value, _ rhs: Value) -> Bool {
        switch (lhs, rhs) {
        case (.string(let lhs), .string(let rhs)): return lhs == rhs
        case (.none, .none), (.undefined, .undefined): return true
        case (.list(let lhs), .list(let rhs)), (.tuple(let lhs), .tuple(let rhs)):
            return lhs.count == rhs.count && zip(lhs, rhs).allSatisfy(equal)
        case (.dictionary(let lhs), .dictionary(let rhs)):
            return lhs.keys.count == rhs.keys.count
                && lhs.keys.allSatisfy { key in
                    guard let left = lhs[key], let right = rhs[key] else { return false }
                    return equal(left, right)
                }
        case (.namespace(let lhs), .namespace(let rhs)): return lhs === rhs
        case (.macro(let lhs), .macro(let rhs)): return lhs === rhs
        default:
            if let left = lhs.integer, let right = rhs.integer { return left == right }
            if let left = lhs.number, let right = rhs.number { return left == right }
            return false
        }
    }

    /// Python's `<`, nil when the two have no order.
    static func isLess(_ lhs: Value, _ rhs: Value) -> Bool? {
        switch (lhs, rhs) {
        case (.string(let lhs), .string(let rhs)):
            // The order of UTF-8 bytes is the order of scalars.
            return lhs.string.utf8.lexicographicallyPrecedes(rhs.string.utf8)
        case (.list(let lhs), .list(let rhs)), (.tuple(let lhs), .tuple(let rhs)):
            for (left, right) in zip(lhs, rhs) where !equal(left, right) { return isLess(left, right) }
            return lhs.count < rhs.count
        default:
            if let left = lhs.integer, let right = rhs.integer { return left < right }
            if let left = lhs.number, let right = rhs.number { return left < right }
            return nil
        }
    }
}

/// A dictionary that keeps the order of its keys.
struct ValueDictionary {
    /// A key. As in Python 1, 1.0 and true are the same key; the first one put in is kept.
    struct Key: Hashable {
        private enum Identity: Hashable {
            case none
            case int(Int)
            case double(Double)
            case string([UInt8])
            case tuple([Key])
        }

        let value: Value
        private let identity: Identity

        init(_ text: Text) {
            value = .string(text)
            identity = .string(text.bytes)
        }

        /// nil for values that cannot be keys.
        init?(_ value: Value) {
            switch value {
            case .none: identity = .none
            case .string(let text): identity = .string(text.bytes)
            case .tuple(let values):
                let keys = values.compactMap(Key.init)
                guard keys.count == values.count else { return nil }
                identity = .tuple(keys)
            case .double(let number): identity = Int(exactly: number).map(Identity.int) ?? .double(number)
            default:
                guard let integer = value.integer else { return nil }
                identity = .int(integer)
            }
            self.value = value
        }

        static func == (lhs: Key, rhs: Key) -> Bool { lhs.identity == rhs.identity }
        func hash(into hasher: inout Hasher) { hasher.combine(identity) }
    }

    private(set) var keys: [Key] = []
    private var values: [Key: Value] = [:]

    var isEmpty: Bool { keys.isEmpty }

    /// Keys with their values, in order.
    var items: [(key: Key, value: Value)] { keys.map { ($0, values[$0] ?? .none) } }

    /// The value under a name.
    subscript(name: String) -> Value? {
        get { values[Key(Text(name))] }
        set { self[Key(Text(name))] = newValue }
    }

    subscript(key: Key) -> Value? {
        get { values[key] }
        set {
            guard let newValue else { return }
            if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
        }
    }
}

/// Attributes that outlive the scope that sets them.
final class Namespace {
    var attributes = ValueDictionary()
}

/// A macro with the scope it was defined in.
final class Macro {
    let definition: MacroDefinition
    let scope: Scope

    init(_ definition: MacroDefinition, scope: Scope) {
        self.definition = definition
        self.scope = scope
    }
}

/// Something to call that is not a macro.
enum Function {
    case raiseException
    case strftimeNow
    case range
    case namespace
    case dict
    case cycler
    case joiner
    indirect case method(Value, String)
}

/// What `loop` is inside a `for`.
final class Loop {
    let values: [Value]
    /// 0 for a loop that stands in no recursive one.
    let depth: Int
    var index = 0
    /// What `changed` was last asked about.
    var lastChanged: [Value]?
    /// The loop's own statement when it is recursive.
    let recursion: (statement: LoopStatement, scope: Scope)?

    init(_ values: [Value], depth: Int, recursion: (statement: LoopStatement, scope: Scope)?) {
        self.values = values
        self.depth = depth
        self.recursion = recursion
    }
}

/// What `cycler(...)` makes: values in turn.
final class Cycler {
    let values: [Value]
    var index = 0

    init(_ values: [Value]) { self.values = values }
}

/// What `joiner(...)` makes: nothing at the first call, then the separator.
final class Joiner {
    let separator: Value
    var isUsed = false

    init(_ separator: Value) { self.separator = separator }
}

/// Names of one block; inner scopes see the outer ones and set only their own.
final class Scope {
    private var values: [String: Value] = [:]
    private let parent: Scope?

    init(parent: Scope?) {
        self.parent = parent
    }

    func value(_ name: String) -> Value? {
        var scope: Scope? = self
        while let current = scope {
            if let value = current.values[name] { return value }
            scope = current.parent
        }
        return nil
    }

    func set(_ name: String, _ value: Value) { values[name] = value }

    /// Forgets everything: macros and the scope they stand in hold each other.
    func clear() { values = [:] }
}
