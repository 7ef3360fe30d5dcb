/// The `k` largest values of a row, largest first, ties by the lower index.
///
/// A bounded heap whose root is the worst kept value: almost every element of a vocabulary row is refused by one
/// comparison with the root. NaN is never selected before a number.
func selectTopK(_ x: UnsafePointer<Float>, count: Int, k: Int) -> [(index: Int, value: Float)] {
    let size = min(k, count)
    guard size > 0 else { return [] }
    var heap: [(index: Int, value: Float)] = []
    heap.reserveCapacity(size)

    func isWorse(_ a: (index: Int, value: Float), _ b: (index: Int, value: Float)) -> Bool {
        a.value != b.value ? a.value < b.value : a.index > b.index
    }
    func siftDown(_ start: Int) {
        var parent = start
        while true {
            var worst = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isWorse(heap[child], heap[worst])
            {
                worst = child
            }
            if worst == parent { return }
            heap.swapAt(parent, worst)
            parent = worst
        }
    }

    for index in 0..<count {
        let value = x[index].isNaN ? -Float.infinity : x[index]
        if heap.count < size {
            heap.append((index, value))
            if heap.count == size {
                for parent in stride(from: size / 2 - 1, through: 0, by: -1) { siftDown(parent) }
            }
        } else if value > heap[0].value {
            heap[0] = (index, value)
            siftDown(0)
        }
    }
    return heap.sorted { isWorse($1, $0) }
}
