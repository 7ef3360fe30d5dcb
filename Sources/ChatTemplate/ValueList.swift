/// The elements of a list or a tuple, with how deep they nest.
///
/// Values are compared, printed and freed by recursion, so how deep they nest is bounded where they are made, and has to
/// be known there without looking at more than the elements.
struct ValueList: RandomAccessCollection {
    let array: [Value]
    /// As ``Value/depth``.
    let depth: Int

    init(_ values: [Value]) {
        self.init(values, depth: 1 + (values.lazy.map(\.depth).max() ?? 0))
    }

    /// - Parameter depth: at least that of the values, plus one.
    init(_ values: [Value], depth: Int) {
        array = values
        self.depth = depth
    }

    var startIndex: Int { 0 }
    var endIndex: Int { array.count }

    subscript(position: Int) -> Value { array[position] }
}
