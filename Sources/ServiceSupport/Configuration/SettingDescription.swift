import Synchronization

/// What a service says of one of its settings: `--print-settings` prints all of them as JSON, and whatever writes
/// settings for it (the Helm chart's schema) is held against that. The bounds are those with which the setting is read;
/// they are written nowhere else.
package struct SettingDescription: Sendable, Equatable, Encodable {
    /// What the text of a setting is read as.
    package enum Kind: String, Sendable, Encodable {
        case text, list, integer, number, boolean, choice
        /// A length of time; bounds are in seconds.
        case seconds
    }

    package var key: String
    package var kind: Kind
    /// Inclusive; nil: none.
    package var minimum: Double?
    package var maximum: Double?
    /// The words of a choice.
    package var choices: [String]?

    package init(
        key: String, kind: Kind, minimum: Double? = nil, maximum: Double? = nil, choices: [String]? = nil
    ) {
        self.key = key
        self.kind = kind
        self.minimum = minimum
        self.maximum = maximum
        self.choices = choices
    }

    /// A whole number. The ends of `Int` stand for "no bound".
    init(integer key: String, in range: ClosedRange<Int>) {
        self.init(
            key: key, kind: .integer, minimum: range.lowerBound == .min ? nil : Double(range.lowerBound),
            maximum: range.upperBound == .max ? nil : Double(range.upperBound))
    }
}

/// Notes how each setting was read first.
final class SettingRecorder: Sendable {
    private let state = Mutex<[String: SettingDescription]>([:])

    var descriptions: [String: SettingDescription] { state.withLock { $0 } }

    func note(_ description: SettingDescription) {
        state.withLock { state in
            if state[description.key] == nil { state[description.key] = description }
        }
    }
}
