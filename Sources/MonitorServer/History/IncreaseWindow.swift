/// What was added within a sliding window of time: increases of counters, or observations of histograms. Kept in slots
/// of one second, so that memory does not depend on how much happens.
struct IncreaseWindow<Amount: Sendable>: Sendable {
    private var slots: [(second: Int64, amount: Amount)] = []
    private let windowSeconds: Int64
    private let combine: @Sendable (Amount, Amount) -> Amount

    /// - Parameter windowSeconds: 1...600.
    init(windowSeconds: Int64, combine: @escaping @Sendable (Amount, Amount) -> Amount) {
        precondition((1...600).contains(windowSeconds), "window of 1...600 seconds, got \(windowSeconds)")
        self.windowSeconds = windowSeconds
        self.combine = combine
    }

    mutating func add(_ amount: Amount, at milliseconds: Int64) {
        let second = milliseconds / 1000
        if let last = slots.indices.last, slots[last].second == second {
            slots[last].amount = combine(slots[last].amount, amount)
        } else {
            slots.append((second, amount))
        }
        // One more than the window: the second that is still running does not count.
        slots.removeAll { $0.second < second - windowSeconds }
    }

    /// Everything added in the last `seconds` full seconds before `milliseconds`; nil when nothing was.
    func total(last seconds: Int64, at milliseconds: Int64) -> Amount? {
        let end = milliseconds / 1000
        var result: Amount?
        for slot in slots where slot.second > end - min(seconds, windowSeconds) - 1 && slot.second < end {
            result = result.map { combine($0, slot.amount) } ?? slot.amount
        }
        return result
    }
}
