/// A value of a JSON file with the way to it, so that an error can say where it is.
struct JSONField {
    let node: JSONNode
    /// The file and the names that lead to the value: `tokenizer.json: model.vocab`.
    let path: String

    /// The member `key` of an object; nil when it is missing or null, or this is no object.
    subscript(key: String) -> JSONField? {
        guard case .object(let members) = node, let member = members.last(where: { $0.key == key }),
            member.value != .null
        else { return nil }
        return JSONField(node: member.value, path: "\(path).\(key)")
    }

    func malformed(_ message: String) -> TokenizationError {
        TokenizationError(code: .malformed, message: "\(path): \(message)")
    }

    func unsupported(_ message: String) -> TokenizationError {
        TokenizationError(code: .unsupported, message: "\(path): \(message)")
    }

    private func wrong(_ expected: String) -> TokenizationError { malformed("\(node.kind), expected \(expected)") }

    func required(_ key: String) throws -> JSONField {
        guard case .object = node else { throw wrong("an object") }
        guard let field = self[key] else { throw malformed("\"\(key)\" is missing") }
        return field
    }

    func string() throws -> String {
        guard case .string(let value) = node else { throw wrong("a string") }
        return value
    }

    func bool() throws -> Bool {
        guard case .bool(let value) = node else { throw wrong("a truth value") }
        return value
    }

    func number() throws -> Double {
        guard case .number(let value) = node else { throw wrong("a number") }
        return value
    }

    /// A whole number in `range`.
    func integer(in range: ClosedRange<Int>) throws -> Int {
        guard case .number(let value) = node, let integer = Int(exactly: value), range.contains(integer) else {
            throw wrong("an integer in \(range)")
        }
        return integer
    }

    func elements() throws -> [JSONField] {
        guard case .array(let values) = node else { throw wrong("an array") }
        return values.enumerated().map { JSONField(node: $1, path: "\(path)[\($0)]") }
    }

    func members() throws -> [JSONMember] {
        guard case .object(let members) = node else { throw wrong("an object") }
        return members
    }

    /// The value of `"type"`, which every part of a tokenizer.json has.
    func type() throws -> String { try required("type").string() }

    func string(_ key: String) throws -> String? { try self[key]?.string() }
    func bool(_ key: String, default value: Bool) throws -> Bool { try self[key]?.bool() ?? value }
}
