/// Tokenises a stream of lines, a JSON string each, into lines that are JSON arrays of ids.
///
/// Memory is bounded by the longest line, not by the stream. What lines before a bad one gave stays in `output`.
package struct TokenizedLines {
    /// A line that is no JSON string. The message does not repeat the line.
    package struct LineError: Error, CustomStringConvertible {
        /// From 1.
        package let line: Int
        let message: String

        package var description: String { "line \(line): \(message)" }
    }

    private static let maxLineBytes = 1 << 28

    /// What has been made of the lines so far; the caller takes it out.
    package var output: [UInt8] = []
    private let tokenizer: any Tokenizer
    private let addsSpecial: Bool
    /// The start of a line whose end has not come.
    private var pending: [UInt8] = []
    private var line = 0

    /// - Parameter addsSpecial: whether ids get the special tokens that a model expects around a text.
    package init(tokenizer: any Tokenizer, addsSpecial: Bool) {
        self.tokenizer = tokenizer
        self.addsSpecial = addsSpecial
    }

    /// Takes the next bytes of the stream. - Throws: `LineError`.
    package mutating func read(_ bytes: some Sequence<UInt8>) throws {
        var search = pending.count
        pending.append(contentsOf: bytes)
        var done = 0
        while let end = pending[search...].firstIndex(of: UInt8(ascii: "\n")) {
            try append(pending[done..<end])
            done = end + 1
            search = done
        }
        pending.removeFirst(done)
        guard pending.count <= Self.maxLineBytes else {
            throw LineError(line: line + 1, message: "longer than \(Self.maxLineBytes) bytes")
        }
    }

    /// The stream is at its end; the last line may lack its line break. - Throws: `LineError`.
    package mutating func finish() throws {
        guard !pending.isEmpty else { return }
        try append(pending[...])
        pending = []
    }

    private mutating func append(_ text: ArraySlice<UInt8>) throws {
        line += 1
        let node: JSONNode
        do {
            node = try text.withUnsafeBufferPointer { bytes throws(JSONSyntaxError) in try JSONReader.parse(bytes) }
        } catch {
            throw LineError(line: line, message: "no JSON string (\(error))")
        }
        guard case .string(let string) = node else { throw LineError(line: line, message: "no JSON string") }
        output.append(UInt8(ascii: "["))
        for (index, id) in try tokenizer.encode(string, parseSpecial: true, addSpecial: addsSpecial).enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            append(id)
        }
        output.append(contentsOf: "]\n".utf8)
    }

    private mutating func append(_ id: UInt32) {
        let start = output.count
        var rest = id
        repeat {
            output.append(UInt8(ascii: "0") + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        output[start...].reverse()
    }
}
