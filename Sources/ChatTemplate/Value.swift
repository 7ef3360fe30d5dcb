/// A value inside the interpreter: Python's, as far as templates use them.
enum Value {
    /// A name that is not defined; prints as nothing, is false, and cannot be used further. The text names it.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(Text)
    case list(ValueList)
    case tuple(ValueList)
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
        case .array(let values): self = .list(ValueList(values.map { Value($0, isUntrusted: isUntrusted) }))
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

    /// How many values stand in each other here, at most: 0 for one that holds no others, and for those that the rendering
    /// owns and takes apart at its end.
    var depth: Int {
        switch self {
        case .list(let values), .tuple(let values): values.depth
        case .dictionary(let dictionary): dictionary.depth
        case .function(.method(let receiver, _)): receiver.depth + 1
        case .cycler(let cycler): cycler.values.depth
        case .joiner(let joiner): joiner.separator.depth + 1
        default: 0
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

        private init(_ value: Value, _ identity: Identity) {
            self.value = value
            self.identity = identity
        }

        /// nil for values that cannot be keys.
        ///
        /// - Parameter charge: told the bytes of each part before it is looked at; what it throws is passed on.
        static func make(
            _ value: Value, charge: (_ byteCount: Int) throws(ChatTemplateError) -> Void
        ) throws(ChatTemplateError) -> Key? {
            switch value {
            case .none: return Key(value, .none)
            case .string(let text):
                try charge(text.byteCount)
                return Key(text)
            case .tuple(let values):
                var keys: [Key] = []
                for value in values {
                    try charge(64)
                    guard let key = try make(value, charge: charge) else { return nil }
                    keys.append(key)
                }
                return Key(value, .tuple(keys))
            case .double(let number): return Key(value, Int(exactly: number).map(Identity.int) ?? .double(number))
            default: return value.integer.map { Key(value, .int($0)) }
            }
        }

        static func == (lhs: Key, rhs: Key) -> Bool { lhs.identity == rhs.identity }
        func hash(into hasher: inout Hasher) { hasher.combine(identity) }
    }

    private(set) var keys: [Key] = []
    private var values: [Key: Value] = [:]
    /// As ``Value/depth``.
    private(set) var depth = 1

    var count: Int { keys.count }
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
            depth = max(depth, newValue.depth + 1, key.value.depth + 1)
            if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
        }
    }
}

/// Attributes that outlive the scope that sets them.
///
/// May hold itself: the rendering keeps all of them, and empties them at its end.
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

/// What `loop` is inside a `for`. Holds nothing any more once the loop has ended.
final class Loop {
    private(set) var values: ValueList
    let count: Int
    /// 0 for a loop that stands in no recursive one.
    let depth: Int
    var index = 0
    /// What `changed` was last asked about.
    var lastChanged: ValueList?
    /// The loop's own statement when it is recursive.
    private(set) var recursion: (statement: LoopStatement, scope: Scope)?

    init(_ values: ValueList, depth: Int, recursion: (statement: LoopStatement, scope: Scope)?) {
        self.values = values
        count = values.count
        self.depth = depth
        self.recursion = recursion
    }

    /// The value of another round; nil outside, and after the loop.
    func value(at index: Int) -> Value? { values.indices.contains(index) ? values[index] : nil }

    func end() {
        values = ValueList([])
        lastChanged = nil
        recursion = nil
    }
}

/// What `cycler(...)` makes: values in turn.
final class Cycler {
    let values: ValueList
    var index = 0

    init(_ values: ValueList) { self.values = values }
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
    private var parent: Scope?
    /// How many scopes this one stands in, itself included.
    let depth: Int

    init(parent: Scope?) {
        self.parent = parent
        depth = (parent?.depth ?? 0) + 1
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

    /// Forgets everything: macros and the scope they stand in hold each other, and a macro that makes the next one holds
    /// a chain of scopes of any length.
    func clear() {
        values = [:]
        parent = nil
    }
}
