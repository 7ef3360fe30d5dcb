/// A string that remembers which of its bytes came from the request.
///
/// Everything that renders text keeps the marks: what a user wrote stays marked through concatenation, splitting,
/// stripping, formatting and JSON, so that the tokeniser can refuse to see control tokens in it.
struct Text: Sendable {
    private(set) var string: String
    /// UTF-8 offsets of what came from the request: ascending, none empty, none touching another.
    private(set) var untrusted: [Range<Int>] = []

    /// The template's own text.
    init(_ string: String) { self.string = string }

    init(_ string: String, isUntrusted: Bool) {
        self.string = string
        if isUntrusted, !string.isEmpty { untrusted = [0..<string.utf8.count] }
    }

    var byteCount: Int { string.utf8.count }
    /// Bytes that it takes, marks included.
    var size: Int { byteCount + 16 * untrusted.count }
    var isEmpty: Bool { string.isEmpty }
    /// Whether any of it came from the request.
    var hasUntrusted: Bool { !untrusted.isEmpty }
    var scalars: String.UnicodeScalarView { string.unicodeScalars }
    var bytes: [UInt8] { Array(string.utf8) }

    /// Bytes `range`, which must begin and end on whole scalars.
    subscript(range: Range<Int>) -> Text {
        if range.lowerBound == 0, range.upperBound == byteCount { return self }
        let utf8 = string.utf8
        let start = utf8.index(utf8.startIndex, offsetBy: range.lowerBound)
        let end = utf8.index(start, offsetBy: range.count)
        var result = Text(String(decoding: utf8[start..<end], as: UTF8.self))
        for mark in untrusted[firstMark(endingAfter: range.lowerBound)...] {
            guard mark.lowerBound < range.upperBound else { break }
            let part = mark.clamped(to: range)
            if !part.isEmpty {
                result.untrusted.append(part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound)
            }
        }
        return result
    }

    /// The index of the first mark that ends after byte `position`: a text may have as many marks as bytes.
    private func firstMark(endingAfter position: Int) -> Int {
        var (low, high) = (0, untrusted.count)
        while low < high {
            let middle = (low + high) / 2
            if untrusted[middle].upperBound <= position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func append(_ other: Text) {
        let offset = byteCount
        string += other.string
        for mark in other.untrusted { addMark(mark.lowerBound + offset..<mark.upperBound + offset) }
    }

    /// Appends text of the template's own.
    mutating func append(_ text: String) { string += text }

    mutating func append(_ text: String, isUntrusted: Bool) {
        let offset = byteCount
        string += text
        if isUntrusted, byteCount > offset { addMark(offset..<byteCount) }
    }

    private mutating func addMark(_ mark: Range<Int>) {
        if let last = untrusted.last, last.upperBound == mark.lowerBound {
            untrusted[untrusted.count - 1] = last.lowerBound..<mark.upperBound
        } else {
            untrusted.append(mark)
        }
    }

    /// Parts that are marked or not as a whole, in order.
    var runs: [(text: String, isUntrusted: Bool)] {
        guard let first = untrusted.first else { return isEmpty ? [] : [(string, false)] }
        if untrusted.count == 1, first.count == byteCount { return [(string, true)] }
        var runs: [(text: String, isUntrusted: Bool)] = []
        var position = 0
        for mark in untrusted {
            if position < mark.lowerBound { runs.append((self[position..<mark.lowerBound].string, false)) }
            runs.append((self[mark].string, true))
            position = mark.upperBound
        }
        if position < byteCount { runs.append((self[position..<byteCount].string, false)) }
        return runs
    }

    /// Each run changed by itself.
    func mapRuns(_ transform: (String) -> String) -> Text {
        var result = Text("")
        for run in runs { result.append(transform(run.text), isUntrusted: run.isUntrusted) }
        return result
    }

    /// The scalars at `positions`, in that order.
    func scalars(at positions: [Int]) -> Text {
        let offsets = PythonString.offsets(string)
        var result = Text("")
        for position in positions { result.append(self[offsets[position]..<offsets[position + 1]]) }
        return result
    }

    /// `count` copies.
    func repeated(_ count: Int) -> Text {
        guard hasUntrusted, count > 0 else { return Text(PythonString.repeated(string, count)) }
        if untrusted == [0..<byteCount] { return Text(PythonString.repeated(string, count), isUntrusted: true) }
        var result = Text("")
        for _ in 0..<count { result.append(self) }
        return result
    }
}

/// Equal when the bytes are: neither canonical equivalence nor origin counts.
extension Text: Equatable {
    static func == (lhs: Text, rhs: Text) -> Bool { lhs.string.utf8.elementsEqual(rhs.string.utf8) }
}

extension Text: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self.init(value) }
}
