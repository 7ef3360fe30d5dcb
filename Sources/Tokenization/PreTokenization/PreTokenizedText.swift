/// A text on its way through the steps of pre-tokenisation: bytes, and the words in them.
struct PreTokenizedText {
    struct Word {
        var range: Range<Int>
        /// Whether it starts where the whole text starts.
        var isFirst: Bool
    }

    private(set) var bytes: [UInt8]
    private(set) var words: [Word]

    /// One word: all of `bytes`.
    init(_ bytes: some Sequence<UInt8>, isFirst: Bool) {
        self.bytes = Array(bytes)
        words = self.bytes.isEmpty ? [] : [Word(range: 0..<self.bytes.count, isFirst: isFirst)]
    }

    /// Cuts every word; `cut` calls its last argument with the ranges that become words.
    mutating func cut(_ cut: (ScalarReader, Range<Int>, (Range<Int>) -> Void) -> Void) {
        var result: [Word] = []
        result.reserveCapacity(words.count)
        bytes.withUnsafeBufferPointer { bytes in
            let reader = ScalarReader(bytes: bytes, classes: ScalarClasses.shared)
            for word in words {
                cut(reader, word.range) { range in
                    guard !range.isEmpty else { return }
                    let isFirst = word.isFirst && range.lowerBound == word.range.lowerBound
                    result.append(Word(range: range, isFirst: isFirst))
                }
            }
        }
        words = result
    }

    /// Writes every word anew; `write` appends it to its last argument.
    mutating func rewrite(_ write: (UnsafeBufferPointer<UInt8>, Word, inout [UInt8]) -> Void) {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + bytes.count / 4)
        bytes.withUnsafeBufferPointer { bytes in
            for index in words.indices {
                let start = result.count
                write(UnsafeBufferPointer(rebasing: bytes[words[index].range]), words[index], &result)
                words[index].range = start..<result.count
            }
        }
        bytes = result
    }
}
