/// Index of an entry of a model's vocabulary.
package typealias TokenID = UInt32

/// Names one sequence within one engine; never reused, and increasing in order of arrival.
package struct SequenceID: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number that travels between pipeline stages.
    package let rawValue: UInt64

    /// - Parameter rawValue: the number, unique within one engine.
    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    package static func < (a: SequenceID, b: SequenceID) -> Bool {
        a.rawValue < b.rawValue
    }

    package var description: String {
        "sequence \(rawValue)"
    }
}
