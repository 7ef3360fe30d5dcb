/// The text formats that can be extracted.
package enum DocumentFormat: String, Sendable, CaseIterable {
    case plainText
    case markdown
    case html

    /// Chooses a format by content type, then by file name, then by the first bytes; plain text when nothing speaks.
    ///
    /// - Throws: `unsupportedFile` for content types and contents that are known not to be text.
    package static func detect(filename: String, contentType: String, bytes: [UInt8]) throws -> DocumentFormat {
        if let kind = binaryKind(bytes) {
            throw RetrievalError(
                code: .unsupportedFile, message: "the file is \(kind); plain text, Markdown and HTML are supported")
        }
        let mediaType = contentType.prefix { $0 != ";" }.lowercased().filter { !$0.isWhitespace }
        switch mediaType {
        case "text/html", "application/xhtml+xml": return .html
        case "text/markdown", "text/x-markdown": return .markdown
        default: break
        }
        let suffix = filename.split(separator: ".").last.map { $0.lowercased() } ?? ""
        switch suffix {
        case "html", "htm", "xhtml": return .html
        case "md", "markdown", "mdown", "mkd": return .markdown
        case "txt", "text", "log", "csv", "json", "rst": return .plainText
        default: break
        }
        return startsLikeHTML(bytes) ? .html : .plainText
    }

    /// Names the binary format of `bytes`, or nil when they may be text.
    static func binaryKind(_ bytes: [UInt8]) -> String? {
        let signatures: [([UInt8], String)] = [
            (Array("%PDF-".utf8), "a PDF document"), ([0x50, 0x4B, 0x03, 0x04], "a ZIP archive or Office document"),
            ([0x89, 0x50, 0x4E, 0x47], "a PNG image"), ([0xFF, 0xD8, 0xFF], "a JPEG image"),
            (Array("GIF8".utf8), "a GIF image"), ([0x7F, 0x45, 0x4C, 0x46], "an executable"),
            ([0x1F, 0x8B], "a gzip archive"), ([0xD0, 0xCF, 0x11, 0xE0], "an old Office document"),
            ([0xFF, 0xFE], "UTF-16 text"), ([0xFE, 0xFF], "UTF-16 text"),
        ]
        for (signature, kind) in signatures where bytes.starts(with: signature) { return kind }
        // A NUL never occurs in text; a high share of other control bytes does not either.
        if bytes.contains(0) { return "binary data" }
        let sample = bytes.prefix(8192)
        let controls = sample.reduce(into: 0) { count, byte in
            if byte < 0x20 && !(0x08...0x0D).contains(byte) && byte != 0x1B { count += 1 }
        }
        return controls * 10 > sample.count ? "binary data" : nil
    }

    private static func startsLikeHTML(_ bytes: [UInt8]) -> Bool {
        let start = bytes.prefix(512).drop { $0 == 0x20 || (0x09...0x0D).contains($0) || $0 > 0x7F }
        let lowered = String(decoding: start.prefix(15), as: UTF8.self).lowercased()
        return lowered.hasPrefix("<!doctype html") || lowered.hasPrefix("<html")
    }
}
