/// Finds the headings of a Markdown text (CommonMark's ATX and setext forms), outside fenced code, and the `title` of a YAML
/// block before it.
///
/// The text itself is kept as it is written: quotes from it then match the author's file.
enum MarkdownHeadings {
    /// Longest heading title kept, in bytes; a longer line is text, not a heading.
    static let maxTitleBytes = 512

    /// The headings, and the title.
    static func scan(_ text: [UInt8]) -> (headings: [ExtractedText.Heading], title: String?) {
        var headings: [ExtractedText.Heading] = []
        var fence: (mark: UInt8, count: Int)?
        var previous: Range<Int>?
        var lineStart = 0
        let matter = frontMatter(text)
        if let matter { lineStart = matter.end }
        while lineStart < text.count {
            let lineEnd = text[lineStart...].firstIndex(of: 0x0A) ?? text.count
            let line = text[lineStart..<lineEnd]
            if let mark = fenceMark(line) {
                if let open = fence {
                    if open.mark == mark.mark && mark.count >= open.count { fence = nil }
                } else {
                    fence = mark
                }
                previous = nil
            } else if fence == nil {
                if let heading = atxHeading(line) {
                    headings.append(.init(level: heading.level, title: heading.title, start: lineStart))
                    previous = nil
                } else if let above = previous, let level = setextLevel(line), above.count <= maxTitleBytes {
                    let title = trimmed(text[above])
                    headings.append(.init(level: level, title: title, start: above.lowerBound))
                    previous = nil
                } else {
                    previous = line.allSatisfy(UTF8Scanner.isSpace) ? nil : lineStart..<lineEnd
                }
            }
            lineStart = lineEnd + 1
        }
        return (headings, matter?.title)
    }

    /// Longest block of settings before a text, in lines.
    private static let maxFrontMatterLines = 200

    /// The title in the block between two lines of `---` that a text may begin with, and where the text behind it starts.
    private static func frontMatter(_ text: [UInt8]) -> (title: String?, end: Int)? {
        var title: String?
        var start = 0
        for number in 0..<maxFrontMatterLines where start < text.count {
            let end = text[start...].firstIndex(of: 0x0A) ?? text.count
            let line = trimmed(text[start..<end])
            start = end + 1
            if number == 0 {
                guard line == "---" else { return nil }
            } else if line == "---" || line == "..." {
                return (title, min(start, text.count))
            } else if line.hasPrefix("title:"), title == nil, line.utf8.count <= maxTitleBytes {
                let value = trimmed(Array(line.utf8.dropFirst(6))[...])
                let quote = value.first
                let isQuoted = value.count > 1 && (quote == "\"" || quote == "'") && value.last == quote
                title = isQuoted ? String(value.dropFirst().dropLast()) : value
                if title?.isEmpty == true { title = nil }
            }
        }
        return nil
    }

    /// Up to three spaces of indentation are allowed before any block mark.
    private static func withoutIndent(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        let indent = line.prefix { $0 == 0x20 }.count
        return indent <= 3 ? line.dropFirst(indent) : nil
    }

    private static func fenceMark(_ line: ArraySlice<UInt8>) -> (mark: UInt8, count: Int)? {
        guard let body = withoutIndent(line), let mark = body.first, mark == 0x60 || mark == 0x7E else { return nil }
        let count = body.prefix { $0 == mark }.count
        return count >= 3 ? (mark, count) : nil
    }

    private static func atxHeading(_ line: ArraySlice<UInt8>) -> (level: Int, title: String)? {
        guard line.count <= maxTitleBytes, let body = withoutIndent(line) else { return nil }
        let level = body.prefix { $0 == 0x23 }.count
        guard (1...6).contains(level) else { return nil }
        let rest = body.dropFirst(level)
        guard let next = rest.first, UTF8Scanner.isSpace(next) else { return nil }
        let title = trimmed(rest)
        // A closing run of # preceded by a space is decoration.
        let hashes = title.utf8.reversed().prefix { $0 == 0x23 }.count
        if hashes > 0, title.dropLast(hashes).last == " " || hashes == title.utf8.count {
            return (level, trimmed(Array(title.dropLast(hashes).utf8)[...]))
        }
        return title.isEmpty ? nil : (level, title)
    }

    private static func setextLevel(_ line: ArraySlice<UInt8>) -> Int? {
        guard let body = withoutIndent(line), let mark = body.first, mark == 0x3D || mark == 0x2D else { return nil }
        let rest = body.drop { $0 == mark }
        guard body.count - rest.count >= 2, rest.allSatisfy(UTF8Scanner.isSpace) else { return nil }
        return mark == 0x3D ? 1 : 2
    }

    private static func trimmed(_ bytes: ArraySlice<UInt8>) -> String {
        let head = bytes.drop(while: UTF8Scanner.isSpace)
        let tail = head.reversed().prefix(while: UTF8Scanner.isSpace).count
        return String(decoding: head.dropLast(tail), as: UTF8.self)
    }
}
