/// SentencePiece's unigram model: of all ways to spell a word the one with the greatest sum of scores (Viterbi).
final class UnigramModel: Sendable {
    private struct Node: Sendable {
        /// Child for each byte, as positions in `edges`; kept sorted by byte.
        var firstEdge: UInt32 = 0
        var edgeCount: UInt16 = 0
        /// Token that ends here, `.max` for none.
        var token = UInt32.max
    }

    private struct Best {
        var score = 0.0
        var start = -1
        /// `.max` for a character without a token.
        var token = UInt32.max
    }

    /// What an unknown character costs below the worst token.
    private static let unknownPenalty = 10.0
    /// A node of the trie for each, at most.
    private static let maxBytes = 1 << 24
    /// Steps through the trie before they are counted.
    private static let walkedAtOnce = 4096

    private let nodes: [Node]
    private let edges: [(byte: UInt8, node: UInt32)]
    private let scores: [Double]
    private let unknownScore: Double
    private let unknown: UInt32?
    private let byteTokens: [UInt32]?

    /// - Parameters:
    ///   - pieces: the tokens that text is spelt with, with their ids; scores by id.
    ///   - byteTokens: token of each byte, for what has no token.
    /// - Throws: `unsupported` for tokens that are longer together than any vocabulary.
    init(pieces: [(text: [UInt8], id: UInt32)], scores: [Double], unknown: UInt32?, byteTokens: [UInt32]?) throws {
        let byteCount = pieces.reduce(0) { $0 + $1.text.count }
        guard byteCount <= Self.maxBytes else {
            throw TokenizationError(
                code: .unsupported, message: "tokens of \(byteCount) bytes together, expected at most \(Self.maxBytes)")
        }
        self.scores = scores
        self.unknown = unknown
        self.byteTokens = byteTokens
        unknownScore = (pieces.map { scores[Int($0.id)] }.min() ?? 0) - Self.unknownPenalty
        (nodes, edges) = Self.trie(pieces)
    }

    /// A trie in two flat arrays: sorted texts, level by level.
    private static func trie(
        _ pieces: [(text: [UInt8], id: UInt32)]
    ) -> (nodes: [Node], edges: [(byte: UInt8, node: UInt32)]) {
        // Of equal texts the last counts; the sort is stable.
        let sorted = pieces.filter { !$0.text.isEmpty }.sorted { $0.text.lexicographicallyPrecedes($1.text) }
        var nodes = [Node()]
        var edges: [(byte: UInt8, node: UInt32)] = []
        var level: [(node: Int, range: Range<Int>)] = [(0, sorted.indices)]
        var depth = 0
        while !level.isEmpty {
            var following: [(node: Int, range: Range<Int>)] = []
            for (node, range) in level {
                var index = range.lowerBound
                while index < range.upperBound, sorted[index].text.count == depth {
                    nodes[node].token = sorted[index].id
                    index += 1
                }
                nodes[node].firstEdge = UInt32(edges.count)
                while index < range.upperBound {
                    let byte = sorted[index].text[depth]
                    var end = index
                    while end < range.upperBound, sorted[end].text[depth] == byte { end += 1 }
                    following.append((nodes.count, index..<end))
                    edges.append((byte, UInt32(nodes.count)))
                    nodes[node].edgeCount += 1
                    nodes.append(Node())
                    index = end
                }
            }
            level = following
            depth += 1
        }
        return (nodes, edges)
    }

    /// Appends the tokens of `word`. - Throws: `tooMuchWork`.
    func encode(_ word: UnsafeBufferPointer<UInt8>, into output: inout [UInt32], _ budget: TextBudget) throws {
        let best = try bestPath(word, budget)
        var parts: [(range: Range<Int>, token: UInt32)] = []
        var end = word.count
        while end > 0, best[end].start >= 0 {
            let start = best[end].start
            if best[end].token == .max, let last = parts.last, last.token == .max {
                parts[parts.count - 1].range = start..<last.range.upperBound
            } else {
                parts.append((start..<end, best[end].token))
            }
            end = start
        }
        for part in parts.reversed() {
            if part.token != .max {
                output.append(part.token)
            } else if let token = token(of: word[part.range]) {
                // The text of the unknown token itself, or of a token that several unknown characters spell.
                output.append(token)
            } else if let byteTokens {
                for byte in word[part.range] { output.append(byteTokens[Int(byte)]) }
            } else if let unknown {
                output.append(unknown)
            }
        }
    }

    private func token(of text: Slice<UnsafeBufferPointer<UInt8>>) -> UInt32? {
        var node = 0
        for byte in text {
            guard let next = child(of: node, byte) else { return nil }
            node = next
        }
        return nodes[node].token == .max ? nil : nodes[node].token
    }

    /// The best way to spell each beginning of `word`.
    private func bestPath(_ word: UnsafeBufferPointer<UInt8>, _ budget: TextBudget) throws -> [Best] {
        var best = [Best](repeating: Best(), count: word.count + 1)
        var start = 0
        var walked = 0
        while start < word.count {
            var characterEnd = start + 1
            while characterEnd < word.count, word[characterEnd] & 0xC0 == 0x80 { characterEnd += 1 }
            var hasCharacter = false
            var node = 0
            var index = start
            func offer(_ end: Int, _ score: Double, _ token: UInt32) {
                let sum = best[start].score + score
                if best[end].start < 0 || sum > best[end].score {
                    best[end] = Best(score: sum, start: start, token: token)
                }
            }
            while index < word.count, let child = child(of: node, word[index]) {
                node = child
                index += 1
                let token = nodes[node].token
                guard token != .max else { continue }
                // The unknown token itself is a token that may be spelt, and counts as unknown.
                offer(index, scores[Int(token)], token == unknown ? .max : token)
                if index == characterEnd { hasCharacter = true }
            }
            walked += index - start
            if walked > Self.walkedAtOnce {
                try budget.spend(walked)
                walked = 0
            }
            if !hasCharacter { offer(characterEnd, unknownScore, .max) }
            start = characterEnd
        }
        try budget.spend(walked)
        return best
    }

    @inline(__always)
    private func child(of node: Int, _ byte: UInt8) -> Int? {
        var low = Int(nodes[node].firstEdge)
        var high = low + Int(nodes[node].edgeCount)
        while low < high {
            let middle = (low + high) / 2
            if edges[middle].byte < byte { low = middle + 1 } else { high = middle }
        }
        guard low < Int(nodes[node].firstEdge) + Int(nodes[node].edgeCount), edges[low].byte == byte else { return nil }
        return Int(edges[low].node)
    }
}
