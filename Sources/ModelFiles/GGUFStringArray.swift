/// Many strings in one flat buffer, as vocabularies come: 49 thousand tokens are two allocations.
package struct GGUFStringArray: Sendable, RandomAccessCollection {
    /// The UTF-8 bytes of all strings, back to back.
    private var utf8: [UInt8] = []
    /// `ends[i]` is where string i ends in `utf8`; it starts where the one before ends.
    private var ends: [Int] = []

    /// An empty array.
    package init() {}

    /// The given strings.
    package init(_ strings: some Sequence<String>) {
        for string in strings {
            string.utf8.withContiguousStorageIfAvailable { append($0) } ?? append(Array(string.utf8))
        }
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { ends.count }

    package subscript(position: Int) -> String {
        withUTF8(at: position) { String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of string `position`, without making a `String`.
    package func withUTF8<R>(at position: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R {
        let start = position == 0 ? 0 : ends[position - 1]
        return try utf8.withUnsafeBufferPointer {
            try body(UnsafeBufferPointer(rebasing: $0[start..<ends[position]]))
        }
    }

    /// Makes room for `count` strings.
    mutating func reserveCapacity(_ count: Int) {
        ends.reserveCapacity(count)
        utf8.reserveCapacity(count * 8)
    }

    mutating func append(_ bytes: some Collection<UInt8>) {
        utf8.append(contentsOf: bytes)
        ends.append(utf8.count)
    }
}
