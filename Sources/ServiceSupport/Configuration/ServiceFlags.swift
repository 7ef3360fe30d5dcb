/// What a command line gave for settings: key to text, absent when the flag was not used. Written as a dictionary of
/// optionals, so that a main lists its options once. An array of strings is a flag that may be repeated, read with
/// ``ServiceConfiguration/strings(_:)``; an empty one was not given.
///
/// ```swift
/// let flags: ServiceFlags = ["model": model, "threads": threads, "next": next]
/// ```
package struct ServiceFlags: Sendable, ExpressibleByDictionaryLiteral {
    /// Settings that were given.
    package private(set) var values: [String: String] = [:]
    /// Repeatable settings that were given.
    package private(set) var lists: [String: [String]] = [:]
    /// Every key of the literal, given or not: the keys this service knows.
    package private(set) var keys: [String] = []

    package init(dictionaryLiteral elements: (String, (any CustomStringConvertible)?)...) {
        for (key, value) in elements {
            set(key, value)
        }
    }

    /// Adds a key, with a value unless nil.
    package mutating func set(_ key: String, _ value: (any CustomStringConvertible)?) {
        if !keys.contains(key) { keys.append(key) }
        if let list = value as? [String] {
            lists[key] = list.isEmpty ? nil : list
        } else if let value {
            values[key] = value.description
        }
    }

    /// Both sets of flags; `other` wins.
    package func merging(_ other: ServiceFlags) -> ServiceFlags {
        var result = self
        for key in other.keys {
            result.set(key, other.lists[key] ?? other.values[key])
        }
        return result
    }
}
