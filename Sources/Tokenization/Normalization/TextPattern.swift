/// What is looked for in text: a literal or a regular expression.
enum TextPattern: Sendable {
    case literal([UInt8])
    case regex(RegexProgram)

    /// Calls `body` with every match in `range`, in order, none overlapping.
    func forEachMatch(in reader: ScalarReader, range: Range<Int>, _ body: (Range<Int>) -> Void) {
        switch self {
        case .literal(let literal): Self.forEachMatch(of: literal, in: reader.bytes, range: range, body)
        case .regex(let program):
            var matcher = RegexMatcher(program, reader, range: range)
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

    /// `text` with every match replaced.
    func replacingMatches(in text: String, with content: String) -> String {
        var text = text
        let result: [UInt8] = text.withUTF8 { bytes in
            let reader = ScalarReader(bytes: bytes, classes: ScalarClasses.shared)
            var result: [UInt8] = []
            result.reserveCapacity(bytes.count + bytes.count / 4)
            var end = 0
            forEachMatch(in: reader, range: 0..<bytes.count) { match in
                result.append(contentsOf: bytes[end..<match.lowerBound])
                result.append(contentsOf: content.utf8)
                end = match.upperBound
            }
            result.append(contentsOf: bytes[end...])
            return result
        }
        return String(decoding: result, as: UTF8.self)
    }
}
