/// What becomes of the matches by which a text is cut.
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    /// Cuts `range` at `matches`, which lie in it in order, and calls `word` with the results.
    ///
    /// - Parameter isInverted: whether what lies between the matches is the match.
    func cut(_ range: Range<Int>, at matches: [Range<Int>], isInverted: Bool, _ word: (Range<Int>) -> Void) {
        var parts: [(range: Range<Int>, isMatch: Bool)] = []
        parts.reserveCapacity(matches.count * 2 + 1)
        var end = range.lowerBound
        for match in matches {
            if end < match.lowerBound { parts.append((end..<match.lowerBound, isInverted)) }
            parts.append((match, !isInverted))
            end = match.upperBound
        }
        if end < range.upperBound { parts.append((end..<range.upperBound, isInverted)) }
        for part in joined(parts) { word(part) }
    }

    private func joined(_ parts: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var wasMatch = false
        switch self {
        case .removed: return parts.lazy.filter { !$0.isMatch }.map(\.range)
        case .isolated: return parts.map(\.range)
        case .contiguous:
            for part in parts {
                if part.isMatch == wasMatch, let last = result.popLast() {
                    result.append(last.lowerBound..<part.range.upperBound)
                } else {
                    result.append(part.range)
                }
                wasMatch = part.isMatch
            }
        case .mergedWithPrevious:
            for part in parts {
                if part.isMatch, !wasMatch, let last = result.popLast() {
                    result.append(last.lowerBound..<part.range.upperBound)
                } else {
                    result.append(part.range)
                }
                wasMatch = part.isMatch
            }
        case .mergedWithNext:
            for part in parts.reversed() {
                if part.isMatch, !wasMatch, let last = result.popLast() {
                    result.append(part.range.lowerBound..<last.upperBound)
                } else {
                    result.append(part.range)
                }
                wasMatch = part.isMatch
            }
            result.reverse()
        }
        return result
    }
}
