/// Finds special tokens in text: at each place the longest that starts there.
struct SpecialTokenTrie: Sendable {
    private struct Node: Sendable {
        var children: [UInt8: Int] = [:]
        var token: UInt32?
    }

    private var nodes = [Node()]
    /// Whether any token starts with a byte; nearly always the only question asked.
    private var isFirstByte = [Bool](repeating: false, count: 256)

    var isEmpty: Bool { nodes.count == 1 }

    /// Adds a token; the first of several with the same text stays. Empty texts are never found.
    mutating func insert(_ text: some Sequence<UInt8>, token: UInt32) {
        var node = 0
        for byte in text {
            if node == 0 { isFirstByte[Int(byte)] = true }
            if let child = nodes[node].children[byte] {
                node = child
            } else {
                nodes.append(Node())
                nodes[node].children[byte] = nodes.count - 1
                node = nodes.count - 1
            }
        }
        if node != 0, nodes[node].token == nil { nodes[node].token = token }
    }

    /// The first token in `range`: its id and where it stands.
    ///
    /// - Throws: `tooMuchWork` when too many places look like the beginning of a long token.
    func firstMatch(
        in bytes: UnsafeBufferPointer<UInt8>, range: Range<Int>, _ budget: TextBudget
    ) throws -> (token: UInt32, range: Range<Int>)? {
        guard !isEmpty else { return nil }
        for start in range where isFirstByte[Int(bytes[start])] {
            var node = 0
            var depth = 0
            var longest: (token: UInt32, range: Range<Int>)?
            for index in start..<range.upperBound {
                guard let child = nodes[node].children[bytes[index]] else { break }
                node = child
                if let token = nodes[node].token { longest = (token, start..<index + 1) }
                depth += 1
            }
            // Looking up a child costs more than comparing a byte; the first few are granted.
            if depth > 4 { try budget.spend(4 * depth) }
            if let longest { return longest }
        }
        return nil
    }
}
