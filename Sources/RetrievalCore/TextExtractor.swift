/// Turns a file's bytes into searchable text.
///
/// Pure and single-pass: time is linear in the file's length whatever it holds (no recursion, no backtracking).
package enum TextExtractor {
    /// Extracts the text of a file.
    ///
    /// - Throws: `unsupportedFile` for binary content, `invalidFile` for invalid UTF-8 (with its offset) and for files
    ///   without text.
    package static func extract(_ bytes: [UInt8], filename: String, contentType: String) throws -> ExtractedText {
        let format = try DocumentFormat.detect(filename: filename, contentType: contentType, bytes: bytes)
        return try extract(bytes, format: format)
    }

    /// Extracts the text of a file whose format is known.
    package static func extract(_ bytes: [UInt8], format: DocumentFormat) throws -> ExtractedText {
        if let kind = DocumentFormat.binaryKind(bytes) {
            throw RetrievalError(
                code: .unsupportedFile, message: "the file is \(kind); plain text, Markdown and HTML are supported")
        }
        if let offset = UTF8Scanner.firstInvalidOffset(in: bytes) {
            throw RetrievalError(code: .invalidFile, message: "the file is not UTF-8: invalid byte at offset \(offset)")
        }
        let lines = normalisedLineEnds(bytes)
        let extracted: ExtractedText
        switch format {
        case .plainText: extracted = ExtractedText(utf8: lines)
        case .markdown:
            let found = MarkdownHeadings.scan(lines)
            extracted = ExtractedText(utf8: lines, headings: found.headings, title: found.title)
        case .html: extracted = HTMLExtractor.extract(lines)
        }
        guard extracted.utf8.contains(where: { !UTF8Scanner.isSpace($0) }) else {
            throw RetrievalError(code: .invalidFile, message: "the file holds no text")
        }
        return extracted
    }

    /// Drops a byte-order mark and turns `\r\n` and `\r` into `\n`.
    private static func normalisedLineEnds(_ bytes: [UInt8]) -> [UInt8] {
        let body = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes[3...] : bytes[...]
        guard body.contains(0x0D) else { return Array(body) }
        var out: [UInt8] = []
        out.reserveCapacity(body.count)
        var afterReturn = false
        for byte in body {
            if byte == 0x0D {
                out.append(0x0A)
            } else if !(byte == 0x0A && afterReturn) {
                out.append(byte)
            }
            afterReturn = byte == 0x0D
        }
        return out
    }
}
