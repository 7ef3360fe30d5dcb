/// A value given to a template.
package enum JinjaValue: Sendable, Equatable {
    case none
    case bool(Bool)
    case int(Int)
    case double(Double)
    case string(String)
    case array([JinjaValue])
    case object(JinjaObject)
}

/// Names and values in the order they were added; templates print and walk them in that order.
package struct JinjaObject: Sendable, Equatable {
    private(set) package var keys: [String] = []
    private var values: [String: JinjaValue] = [:]

    package init() {}

    /// The value under `key`; setting nil removes it.
    package subscript(key: String) -> JinjaValue? {
        get { values[key] }
        set {
            if values.updateValue(newValue ?? .none, forKey: key) == nil { keys.append(key) }
            if newValue == nil {
                values[key] = nil
                keys.removeAll { $0 == key }
            }
        }
    }
}

extension JinjaValue {
    /// The value as JSON text, as Python writes it.
    package var json: String {
        switch self {
        case .none: "null"
        case .bool(let value): value ? "true" : "false"
        case .int(let value): String(value)
        case .double(let value): PythonNumber.json(value)
        case .string(let text): Self.quoted(text)
        case .array(let values): "[" + values.map(\.json).joined(separator: ", ") + "]"
        case .object(let object):
            "{"
                + object.keys.map { Self.quoted($0) + ": " + (object[$0] ?? .none).json }.joined(separator: ", ")
                + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        "\"" + PythonString.jsonEscaped(text, isASCII: false) + "\""
    }
}

extension JinjaObject: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral elements: (String, JinjaValue)...) {
        for (key, value) in elements { self[key] = value }
    }
}

extension JinjaValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int) { self = .int(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(arrayLiteral elements: JinjaValue...) { self = .array(elements) }
    package init(nilLiteral: ()) { self = .none }
    package init(dictionaryLiteral elements: (String, JinjaValue)...) {
        var object = JinjaObject()
        for (key, value) in elements { object[key] = value }
        self = .object(object)
    }
}
