/// The key-value metadata of a GGUF file.
///
/// The plain accessors throw when the key is missing, the `...IfPresent` ones give nil; both throw when the value has
/// another type than asked for.
package struct GGUFMetadata: Sendable {
    /// What error messages call the origin of the values: the file's path.
    package let source: String
    private let values: [String: GGUFValue]

    /// Metadata made of `values`; `source` is named in errors.
    package init(_ values: [String: GGUFValue], source: String = "metadata") {
        self.values = values
        self.source = source
    }

    /// All keys, sorted.
    package var keys: [String] { values.keys.sorted() }
    /// The number of keys.
    package var count: Int { values.count }

    package subscript(key: String) -> GGUFValue? { values[key] }

    /// The string under `key`. - Throws: `missingKey`, `wrongType`.
    package func string(_ key: String) throws(ModelFileError) -> String {
        try required(key, try stringIfPresent(key))
    }

    /// The integer under `key`, of any integer type. - Throws: `missingKey`, `wrongType`.
    package func int(_ key: String) throws(ModelFileError) -> Int {
        try required(key, try intIfPresent(key))
    }

    /// The number under `key`, floating-point or integer. - Throws: `missingKey`, `wrongType`.
    package func float(_ key: String) throws(ModelFileError) -> Double {
        try required(key, try floatIfPresent(key))
    }

    /// The truth value under `key`. - Throws: `missingKey`, `wrongType`.
    package func bool(_ key: String) throws(ModelFileError) -> Bool {
        try required(key, try boolIfPresent(key))
    }

    /// The strings under `key`, as `String`s; for vocabularies prefer `stringArray`. - Throws: `missingKey`,
    /// `wrongType`.
    package func strings(_ key: String) throws(ModelFileError) -> [String] {
        Array(try stringArray(key))
    }

    /// The strings under `key`, in their flat form. - Throws: `missingKey`, `wrongType`.
    package func stringArray(_ key: String) throws(ModelFileError) -> GGUFStringArray {
        try required(key, try stringArrayIfPresent(key))
    }

    /// The integers under `key`, of any integer type. - Throws: `missingKey`, `wrongType`.
    package func ints(_ key: String) throws(ModelFileError) -> [Int] {
        try required(key, try intsIfPresent(key))
    }

    /// The numbers under `key`. - Throws: `missingKey`, `wrongType`.
    package func floats(_ key: String) throws(ModelFileError) -> [Double] {
        try required(key, try floatsIfPresent(key))
    }

    package func stringIfPresent(_ key: String) throws(ModelFileError) -> String? {
        try optional(key, "a string") { if case .string(let value) = $0 { value } else { nil } }
    }

    package func intIfPresent(_ key: String) throws(ModelFileError) -> Int? {
        try optional(key, "an integer") { $0.integer }
    }

    package func floatIfPresent(_ key: String) throws(ModelFileError) -> Double? {
        try optional(key, "a number") { $0.double }
    }

    package func boolIfPresent(_ key: String) throws(ModelFileError) -> Bool? {
        try optional(key, "a truth value") { if case .bool(let value) = $0 { value } else { nil } }
    }

    package func stringArrayIfPresent(_ key: String) throws(ModelFileError) -> GGUFStringArray? {
        try optional(key, "an array of strings") {
            guard case .array(let array) = $0 else { return nil }
            // An empty array may carry any element type.
            if array.count == 0 { return GGUFStringArray() }
            guard case .strings(let strings) = array.storage else { return nil }
            return strings
        }
    }

    package func intsIfPresent(_ key: String) throws(ModelFileError) -> [Int]? {
        try optional(key, "an array of integers") {
            guard case .array(let array) = $0 else { return nil }
            return array.count == 0 ? [] : array.integers
        }
    }

    package func floatsIfPresent(_ key: String) throws(ModelFileError) -> [Double]? {
        try optional(key, "an array of numbers") {
            guard case .array(let array) = $0 else { return nil }
            return array.count == 0 ? [] : array.doubles
        }
    }

    private func optional<T>(
        _ key: String, _ expected: StaticString, _ convert: (GGUFValue) -> T?
    ) throws(ModelFileError) -> T? {
        guard let value = values[key] else { return nil }
        guard let converted = convert(value) else {
            var got = "\(value.type)"
            if case .array(let array) = value { got = "array of \(array.elementType)" }
            throw ModelFileError(
                code: .wrongType, message: "\(source): metadata key \(key.prefix(256)) is \(got), expected \(expected)")
        }
        return converted
    }

    private func required<T>(_ key: String, _ value: T?) throws(ModelFileError) -> T {
        guard let value else {
            throw ModelFileError(code: .missingKey, message: "\(source): metadata key \(key.prefix(256)) is missing")
        }
        return value
    }
}
