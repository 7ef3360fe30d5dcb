/// The positions that Python's `[start:end:step]` takes of a sequence, for any integers.
struct SliceRange {
    /// The first position; where it would be when there is none.
    let first: Int
    let count: Int
    private let step: Int

    /// - Parameters:
    ///   - count: length of the sequence.
    ///   - step: not 0.
    init(count: Int, start: Int?, end: Int?, step: Int) {
        self.step = step
        let isForward = step > 0
        func clamped(_ bound: Int, _ range: ClosedRange<Int>) -> Int {
            let position = bound < 0 ? bound + count : bound
            return min(max(position, range.lowerBound), range.upperBound)
        }
        let bounds = isForward ? 0...count : -1...count - 1
        first = start.map { clamped($0, bounds) } ?? (isForward ? 0 : count - 1)
        let last = end.map { clamped($0, bounds) } ?? (isForward ? count : -1)
        let distance = isForward ? last - first : first - last
        self.count = distance > 0 ? 1 + Int((distance - 1).magnitude / step.magnitude) : 0
    }

    var positions: [Int] { (0..<count).map { first + $0 * step } }
}
