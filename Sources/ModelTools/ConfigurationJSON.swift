import Foundation

/// Typed access to a JSON object, with errors that name the key.
struct ConfigurationJSON {
    let path: String
    let object: [String: Any]

    /// - Throws: ``ModelToolsError`` `malformed` unless the bytes are a JSON object.
    init(_ bytes: some Sequence<UInt8>, path: String) throws {
        guard let object = try? JSONSerialization.jsonObject(with: Data(bytes)), let root = object as? [String: Any]
        else {
            throw ModelToolsError(.malformed, "\(path): not a JSON object")
        }
        self.init(object: root, path: path)
    }

    init(object: [String: Any], path: String) {
        self.object = object
        self.path = path
    }

    /// A value that is there and not null.
    func value(_ key: String) -> Any? {
        guard let value = object[key], !(value is NSNull) else { return nil }
        return value
    }

    func intIfPresent(_ key: String) throws -> Int? {
        guard let value = value(key) else { return nil }
        guard let number = value as? NSNumber, number.doubleValue == number.doubleValue.rounded(),
            abs(number.doubleValue) <= 1e15
        else { throw wrong(key, "a whole number") }
        return number.intValue
    }

    func doubleIfPresent(_ key: String) throws -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value as? NSNumber, number.doubleValue.isFinite else { throw wrong(key, "a number") }
        return number.doubleValue
    }

    func stringIfPresent(_ key: String) throws -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value as? String else { throw wrong(key, "a text") }
        return text
    }

    func boolIfPresent(_ key: String) throws -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value as? Bool else { throw wrong(key, "true or false") }
        return flag
    }

    func objectIfPresent(_ key: String) throws -> ConfigurationJSON? {
        guard let value = value(key) else { return nil }
        guard let object = value as? [String: Any] else { throw wrong(key, "an object") }
        return ConfigurationJSON(object: object, path: "\(path) \(key)")
    }

    /// A size: 1 ... 2^31 - 1.
    func size(_ key: String) throws -> Int {
        guard let value = try sizeIfPresent(key) else {
            throw ModelToolsError(.malformed, "\(path): \(key) is missing")
        }
        return value
    }

    func sizeIfPresent(_ key: String) throws -> Int? {
        guard let value = try intIfPresent(key) else { return nil }
        guard (1...Int(Int32.max)).contains(value) else {
            throw ModelToolsError(.malformed, "\(path): \(key) is \(value)")
        }
        return value
    }

    func double(_ key: String) throws -> Double {
        guard let value = try doubleIfPresent(key) else {
            throw ModelToolsError(.malformed, "\(path): \(key) is missing")
        }
        return value
    }

    private func wrong(_ key: String, _ expected: String) -> ModelToolsError {
        ModelToolsError(.malformed, "\(path): \(key) is not \(expected)")
    }
}
