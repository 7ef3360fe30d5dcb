/// The searchable text of a document: the coordinate system of every chunk's byte span.
///
/// Line ends are `\n`, there is no byte-order mark, and the bytes are valid UTF-8. The same file always extracts to
/// the same bytes, so a span stored today can be checked against the file tomorrow.
package struct ExtractedText: Sendable, Equatable {
    /// A heading of the document; it governs the text from `start` to the next heading of the same or a lower level.
    package struct Heading: Sendable, Equatable {
        /// 1...6, 1 is outermost.
        package var level: Int
        package var title: String
        /// Byte offset in the extracted text at which the heading itself begins.
        package var start: Int

        package init(level: Int, title: String, start: Int) {
            self.level = level
            self.title = title
            self.start = start
        }
    }

    /// The text as UTF-8.
    package var utf8: [UInt8]
    /// Headings in order of `start`.
    package var headings: [Heading]
    /// The document's own title, above all headings; nil when it has none. It need not stand in the text.
    package var title: String?

    package init(utf8: [UInt8], headings: [Heading] = [], title: String? = nil) {
        self.utf8 = utf8
        self.headings = headings
        self.title = title
    }

    /// The text of a byte range whose ends lie on character boundaries.
    package func text(in range: Range<Int>) -> String {
        String(decoding: utf8[range], as: UTF8.self)
    }
}
