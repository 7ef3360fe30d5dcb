/// What is looked for in text: a literal or a regular expression.
enum TextPattern: Sendable {
    case literal([UInt8])
    case regex(RegexProgram)

    /// Calls `body` with every match in `range`, in order, none overlapping.
    func forEachMatch(
        in reader: ScalarReader, range: Range<Int>, _ budget: TextBudget, _ body: (Range<Int>) -> Void
    ) {
        switch self {
        case .literal(let literal): Self.forEachMatch(of: literal, in: reader.bytes, range: range, body)
        case .regex(let program):
            var matcher = RegexMatcher(program, reader, range: range, steps: budget.regexSteps)
            defer { budget.regexSteps = matcher.remaining }
            var start = range.lowerBound
            while start < range.upperBound, let match = matcher.firstMatch(from: start) {
                if !match.isEmpty {
                    body(match)
                    start = match.upperBound
                } else if match.lowerBound < range.upperBound {
                    start = match.lowerBound + reader.scalar(at: match.lowerBound).length
                } else {
                    break
                }
            }
        }
    }

    private static func forEachMatch(
        of literal: [UInt8], in bytes: UnsafeBufferPointer<UInt8>, range: Range<Int>, _ body: (Range<Int>) -> Void
    ) {
        guard let first = literal.first else { return }
        if literal.count > 16 { return forEachMatch(ofLong: literal, in: bytes, range: range, body) }
        var index = range.lowerBound
        while index + literal.count <= range.upperBound {
            if bytes[index] == first, (1..<literal.count).allSatisfy({ bytes[index + $0] == literal[$0] }) {
                body(index..<index + literal.count)
                index += literal.count
            } else {
                index += 1
            }
        }
    }

    /// As for short literals, by Knuth, Morris and Pratt's search: its time does not depend on what the bytes are.
    private static func forEachMatch(
        ofLong literal: [UInt8], in bytes: UnsafeBufferPointer<UInt8>, range: Range<Int>, _ body: (Range<Int>) -> Void
    ) {
        // For each beginning of the literal, the length of its longest end that is a beginning too.
        var borders = [Int](repeating: 0, count: literal.count)
        var length = 0
        for index in 1..<literal.count {
            while length > 0, literal[index] != literal[length] { length = borders[length - 1] }
            if literal[index] == literal[length] { length += 1 }
            borders[index] = length
        }
        length = 0
        for index in range {
            while length > 0, bytes[index] != literal[length] { length = borders[length - 1] }
            if bytes[index] == literal[length] { length += 1 }
            if length == literal.count {
                body(index + 1 - length..<index + 1)
                length = 0
            }
        }
    }

    /// `text` with every match replaced. - Throws: `tooMuchWork`.
    func replacingMatches(in text: String, with content: String, _ budget: TextBudget) throws -> String {
        guard let result = replacingMatches(in: text, with: content, atMost: budget.maxByteCount, budget) else {
            try budget.check(byteCount: .max)
            return text
        }
        return result
    }

    /// `text` with every match replaced; nil when that has more than `limit` bytes.
    func replacingMatches(
        in text: String, with content: String, atMost limit: Int, _ budget: TextBudget
    ) -> String? {
        var text = text
        let result: [UInt8]? = text.withUTF8 { bytes in
            let reader = ScalarReader(bytes: bytes, classes: ScalarClasses.shared)
            var result: [UInt8] = []
            result.reserveCapacity(bytes.count + bytes.count / 4)
            var end = 0
            forEachMatch(in: reader, range: 0..<bytes.count, budget) { match in
                guard result.count <= limit else { return }
                result.append(contentsOf: bytes[end..<match.lowerBound])
                result.append(contentsOf: content.utf8)
                end = match.upperBound
            }
            result.append(contentsOf: bytes[end...])
            return result.count <= limit ? result : nil
        }
        return result.map { String(decoding: $0, as: UTF8.self) }
    }
}
