import Foundation

/// The bounds of what callers may name things and attach to them.
enum StoreValidation {
    /// A JSON value that an attribute may have.
    private enum Scalar: Decodable {
        case string(String), number(Double), bool(Bool)

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(Bool.self) {
                self = .bool(value)
            } else if let value = try? container.decode(Double.self) {
                self = .number(value)
            } else {
                self = .string(try container.decode(String.self))
            }
        }
    }

    static func tenant(_ tenant: String) throws {
        guard (1...128).contains(tenant.utf8.count) else {
            throw StoreError(
                code: .invalidArgument, message: "the tenant must have 1...128 bytes, got \(tenant.utf8.count)")
        }
    }

    static func text(_ value: String, _ what: String, maxBytes: Int, minBytes: Int = 0) throws {
        guard (minBytes...maxBytes).contains(value.utf8.count), !value.utf8.contains(0) else {
            throw StoreError(
                code: .invalidArgument,
                message: "the \(what) must have \(minBytes)...\(maxBytes) bytes without NUL, got \(value.utf8.count)")
        }
    }

    static func metadata(_ metadata: [String: String]) throws {
        guard metadata.count <= 16 else {
            throw StoreError(
                code: .invalidArgument, message: "metadata may have 16 entries at most, got \(metadata.count)")
        }
        for (key, value) in metadata {
            try text(key, "metadata key", maxBytes: 256, minBytes: 1)
            try text(value, "metadata value", maxBytes: 2048)
        }
    }

    /// An object of at most 16 string, number or boolean values, or nothing.
    static func attributes(_ json: String) throws {
        if json.isEmpty { return }
        try text(json, "attributes JSON", maxBytes: 16384)
        guard let values = try? JSONDecoder().decode([String: Scalar].self, from: Data(json.utf8)) else {
            throw StoreError(
                code: .invalidArgument, message: "attributes must be a JSON object of string, number or boolean values")
        }
        guard values.count <= 16 else {
            throw StoreError(
                code: .invalidArgument, message: "attributes may have 16 entries at most, got \(values.count)")
        }
    }
}
