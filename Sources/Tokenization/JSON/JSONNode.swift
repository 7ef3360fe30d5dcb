/// A JSON value. Objects keep their members in order, duplicates included.
package enum JSONNode: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONNode])
    case object([JSONMember])

    /// What error messages call a value of this kind.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a truth value"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// A member of a JSON object.
package struct JSONMember: Sendable, Equatable {
    package let key: String
    package let value: JSONNode
}

/// A JSON text that is not one, and where.
package struct JSONSyntaxError: Error, Sendable, CustomStringConvertible {
    /// Byte offset of the first byte that does not fit.
    package let offset: Int
    package let message: String

    package var description: String { "byte \(offset): \(message)" }
}
