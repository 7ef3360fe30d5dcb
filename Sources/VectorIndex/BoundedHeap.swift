/// Keeps the best `capacity` of the scored ids pushed into it.
///
/// A binary heap with the worst kept entry on top, so that a push below the bar costs one comparison.
struct BoundedHeap {
    private let capacity: Int
    private var entries: [FlatVectorIndex.Hit] = []

    init(capacity: Int) {
        precondition(capacity >= 0, "capacity must not be negative, got \(capacity)")
        self.capacity = capacity
        entries.reserveCapacity(min(capacity, 1024))
    }

    mutating func push(_ entry: FlatVectorIndex.Hit) {
        if entries.count < capacity {
            entries.append(entry)
            siftUp(entries.count - 1)
        } else if let worst = entries.first, Self.isBetter(entry, worst) {
            entries[0] = entry
            siftDown()
        }
    }

    /// Best first.
    func sorted() -> [FlatVectorIndex.Hit] { entries.sorted(by: Self.isBetter) }

    /// Greater score first; equal scores by ascending id, so that results do not depend on insertion order.
    private static func isBetter(_ a: FlatVectorIndex.Hit, _ b: FlatVectorIndex.Hit) -> Bool {
        a.score != b.score ? a.score > b.score : a.id < b.id
    }

    private mutating func siftUp(_ start: Int) {
        var child = start
        while child > 0 {
            let parent = (child - 1) / 2
            guard Self.isBetter(entries[parent], entries[child]) else { return }
            entries.swapAt(parent, child)
            child = parent
        }
    }

    private mutating func siftDown() {
        var parent = 0
        while true {
            var worst = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count {
                if Self.isBetter(entries[worst], entries[child]) { worst = child }
            }
            if worst == parent { return }
            entries.swapAt(parent, worst)
            parent = worst
        }
    }
}
