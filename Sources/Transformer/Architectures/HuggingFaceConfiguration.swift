import Foundation
import ModelFiles

/// The config.json of a Hugging Face repository.
///
/// As in ``ModelFiles/GGUFMetadata``, plain accessors throw when the key is missing or null, the `...IfPresent` ones give
/// nil; both throw when the value has another type.
package struct HuggingFaceConfiguration: Sendable {
    /// A larger file is not a model's configuration.
    package static let maxByteCount = 4 << 20

    /// What error messages call the origin of the values: the file's path.
    package let source: String
    private let values: [String: JSONValue]

    private init(values: [String: JSONValue], source: String) {
        self.values = values
        self.source = source
    }

    /// - Throws: `ModelFileError` for a file that cannot be read or is not a JSON object.
    package init(path: String) throws {
        let file = try MappedFile(path: path)
        guard file.bytes.count <= Self.maxByteCount else {
            throw ModelFileError(
                code: .tooLarge, message: "\(path): \(file.bytes.count) bytes (expected: at most \(Self.maxByteCount))")
        }
        try self.init(json: file.bytes, source: path)
    }

    /// - Throws: `ModelFileError` for what is not a JSON object.
    package init(json: some Sequence<UInt8>, source: String = "config.json") throws {
        do {
            self.init(values: try JSONDecoder().decode([String: JSONValue].self, from: Data(json)), source: source)
        } catch {
            throw ModelFileError(code: .malformed, message: "\(source): not a JSON object", cause: error)
        }
    }

    package func string(_ key: String) throws -> String { try required(key, try stringIfPresent(key)) }
    package func int(_ key: String) throws -> Int { try required(key, try intIfPresent(key)) }
    package func float(_ key: String) throws -> Double { try required(key, try floatIfPresent(key)) }

    package func stringIfPresent(_ key: String) throws -> String? {
        try optional(key, "a string") { if case .string(let value) = $0 { value } else { nil } }
    }

    package func intIfPresent(_ key: String) throws -> Int? {
        try optional(key, "an integer") { $0.integer }
    }

    package func floatIfPresent(_ key: String) throws -> Double? {
        try optional(key, "a number") { if case .number(let value) = $0 { value } else { nil } }
    }

    package func boolIfPresent(_ key: String) throws -> Bool? {
        try optional(key, "true or false") { if case .bool(let value) = $0 { value } else { nil } }
    }

    package func stringsIfPresent(_ key: String) throws -> [String]? {
        try optional(key, "an array of strings") {
            guard case .array(let array) = $0 else { return nil }
            let strings = array.compactMap { if case .string(let value) = $0 { value } else { nil as String? } }
            return strings.count == array.count ? strings : nil
        }
    }

    /// An object within; its errors name the outer key too.
    package func objectIfPresent(_ key: String) throws -> HuggingFaceConfiguration? {
        try optional(key, "an object") {
            guard case .object(let values) = $0 else { return nil }
            return HuggingFaceConfiguration(values: values, source: "\(source): \(key)")
        }
    }

    private func optional<T>(_ key: String, _ expected: String, _ convert: (JSONValue) -> T?) throws -> T? {
        guard let value = values[key], value != .null else { return nil }
        guard let converted = convert(value) else {
            throw ModelFileError(code: .wrongType, message: "\(source): \(key) is not \(expected)")
        }
        return converted
    }

    private func required<T>(_ key: String, _ value: T?) throws -> T {
        guard let value else {
            throw ModelFileError(code: .missingKey, message: "\(source): \(key) is missing")
        }
        return value
    }
}

/// A value of a JSON text.
private enum JSONValue: Decodable, Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// A whole number that a Double holds exactly.
    var integer: Int? {
        guard case .number(let value) = self, value == value.rounded(), abs(value) <= 0x1p53 else { return nil }
        return Int(value)
    }
}
