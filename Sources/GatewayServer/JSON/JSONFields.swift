/// Reads the members of a request body with their types and ranges checked. An absent member and `null` are the same.
///
/// Errors name the parameter with its path ("stream_options.include_usage") and what was expected; a wrong value is
/// described by its kind, and numbers by themselves.
package struct JSONFields {
    private let values: [String: JSONValue]
    /// Where this object stands, with a trailing dot; empty at the top.
    private let path: String

    /// The members of `object`, which stands at `path` in the body ("tools[0]"; empty for the body itself).
    package init(_ object: JSONObject, path: String = "") {
        // Later members win. A dictionary, because `messages` and token arrays make long bodies, not wide ones.
        values = Dictionary(object.members.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        self.path = path.isEmpty ? "" : path + "."
    }

    /// The full name of a member, for messages.
    package func parameter(_ name: String) -> String { path + name }

    /// The member, unless absent or null.
    package subscript(_ name: String) -> JSONValue? {
        guard let value = values[name], value != .null else { return nil }
        return value
    }

    package func string(_ name: String) throws(APIError) -> String? {
        guard let value = self[name] else { return nil }
        guard let text = value.string else { throw wrongType(name, "a string", value) }
        return text
    }

    package func requiredString(_ name: String) throws(APIError) -> String {
        guard let text = try string(name) else { throw missing(name) }
        return text
    }

    package func bool(_ name: String) throws(APIError) -> Bool? {
        guard let value = self[name] else { return nil }
        guard let flag = value.bool else { throw wrongType(name, "a boolean", value) }
        return flag
    }

    package func integer(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
        guard let value = self[name] else { return nil }
        let integer: Int
        switch value {
        case .integer(let exact): integer = exact
        case .number(let number):
            // 5.0 is five; Python clients write it so.
            guard let exact = Int(exactly: number) else {
                // A whole number that 64 bits do not hold has the right type.
                guard number.rounded() == number else { throw wrongType(name, "an integer", value) }
                throw outOfRange(name, "\(number)", Self.describe(range))
            }
            integer = exact
        default: throw wrongType(name, "an integer", value)
        }
        guard range.contains(integer) else { throw outOfRange(name, "\(integer)", Self.describe(range)) }
        return integer
    }

    package func number(_ name: String, in range: ClosedRange<Double>) throws(APIError) -> Double? {
        guard let value = self[name] else { return nil }
        guard let number = value.number else { throw wrongType(name, "a number", value) }
        guard range.contains(number) else {
            throw outOfRange(name, "\(number)", "from \(Self.trim(range.lowerBound)) to \(Self.trim(range.upperBound))")
        }
        return number
    }

    package func array(_ name: String, maximumCount: Int) throws(APIError) -> [JSONValue]? {
        guard let value = self[name] else { return nil }
        guard let elements = value.array else { throw wrongType(name, "an array", value) }
        guard elements.count <= maximumCount else {
            throw .invalid(
                "'\(parameter(name))' has \(elements.count) elements; at most \(maximumCount) are allowed.",
                parameter: parameter(name))
        }
        return elements
    }

    package func object(_ name: String) throws(APIError) -> JSONFields? {
        guard let value = self[name] else { return nil }
        guard let object = value.object else { throw wrongType(name, "an object", value) }
        return JSONFields(object, path: parameter(name))
    }

    package func missing(_ name: String) -> APIError {
        .invalid(
            "You must provide '\(parameter(name))'.", parameter: parameter(name), code: "missing_required_parameter")
    }

    package func wrongType(_ name: String, _ expected: String, _ value: JSONValue) -> APIError {
        .invalid(
            "Invalid type for '\(parameter(name))': expected \(expected), but got \(value.kind) instead.",
            parameter: parameter(name), code: "invalid_type")
    }

    package func outOfRange(_ name: String, _ got: String, _ expected: String) -> APIError {
        .invalid(
            "Invalid value for '\(parameter(name))': got \(got), expected a value \(expected).",
            parameter: parameter(name), code: "invalid_value")
    }

    private static func describe(_ range: ClosedRange<Int>) -> String {
        range.upperBound == .max ? "of at least \(range.lowerBound)" : "from \(range.lowerBound) to \(range.upperBound)"
    }

    private static func trim(_ value: Double) -> String {
        Int(exactly: value).map(String.init) ?? value.description
    }
}
