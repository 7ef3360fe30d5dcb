/// Finds stop strings in text that comes in pieces, and never lets any part of one out.
///
/// Text that may be the beginning of a stop string is held back until it is clear whether it is one.
package struct StopMatcher: Sendable {
    /// Most stop strings of a request.
    package static let maxCount = 64
    /// Longest stop string in UTF-8 bytes.
    package static let maxByteCount = 1_024

    private let stops: [[UInt8]]
    private let texts: [String]
    /// What may be the beginning of a stop string; shorter than the longest one.
    private var held: [UInt8] = []

    /// - Parameter stops: none empty.
    package init(stops: [String]) {
        texts = stops
        self.stops = stops.map { Array($0.utf8) }
    }

    /// Takes a piece of text, whole characters.
    ///
    /// - Returns: text that is safe to show, and the stop string that was found, if one was; text after it is dropped.
    ///   The first to be complete wins; of several complete ones that which begins first, then that listed first.
    package mutating func append(_ text: String) -> (text: String, stop: String?) {
        guard !stops.isEmpty else { return (text, nil) }
        held += text.utf8
        if let (start, index) = firstMatch() {
            let safe = String(decoding: held[..<start], as: UTF8.self)
            held = []
            return (safe, texts[index])
        }
        let safeCount = held.count - longestPartialSuffix()
        let safe = String(decoding: held[..<safeCount], as: UTF8.self)
        held.removeFirst(safeCount)
        return (safe, nil)
    }

    /// The text held back, when no more comes: it was no stop string after all.
    package mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    private func firstMatch() -> (start: Int, index: Int)? {
        for start in held.indices {
            for (index, stop) in stops.enumerated() where held[start...].starts(with: stop) { return (start, index) }
        }
        return nil
    }

    /// Length of the longest end of `held` that some stop string begins with.
    private func longestPartialSuffix() -> Int {
        let longest = min(held.count, (stops.map(\.count).max() ?? 1) - 1)
        for length in stride(from: longest, to: 0, by: -1) {
            let suffix = held.suffix(length)
            // A stop string begins on a whole character, so nothing is held in the middle of one.
            if stops.contains(where: { $0.count > length && $0.starts(with: suffix) }) { return length }
        }
        return 0
    }
}
