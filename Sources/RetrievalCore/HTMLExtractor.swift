/// Reads the visible text of an HTML page: paragraphs separated by blank lines, headings recorded, scripts, styles,
/// the head and other invisible parts left out. The page's title is kept apart: it is no part of the text that spans and
/// quotes refer to, unless there is no other.
struct HTMLExtractor {
    /// Content of these is not shown, or not text.
    private static let skippedElements: Set<String> = [
        "script", "style", "head", "noscript", "template", "svg", "math", "iframe", "object", "canvas", "audio",
        "video", "select", "textarea", "noframes", "noembed", "title",
    ]
    /// Elements that may stand inside a head; any other start tag ends it, as browsers do.
    private static let headElements: Set<String> = [
        "title", "meta", "link", "script", "style", "base", "noscript", "template", "head",
    ]
    private static let paragraphElements: Set<String> = [
        "p", "div", "section", "article", "header", "footer", "nav", "main", "aside", "ul", "ol", "dl", "table", "form",
        "blockquote", "pre", "figure", "figcaption", "fieldset", "address", "hr", "body", "details", "summary",
    ]
    private static let lineElements: Set<String> = [
        "br", "li", "tr", "dt", "dd", "caption", "option", "thead", "tbody",
    ]

    /// What separates the next word from the text so far; the strongest request wins.
    private enum Gap: Int {
        case none, space, tab, line, paragraph
    }

    private var out: [UInt8] = []
    private var headings: [ExtractedText.Heading] = []
    private var gap = Gap.none
    private var preDepth = 0
    /// The element whose content is being skipped, and how many of that name are open inside it. One counter is enough:
    /// only the end tag of the same name can end it, so depth costs no memory.
    private var skipped: (name: String, depth: Int)?
    private var openHeading: (level: Int, start: Int)?
    /// The page's title so far; the first one counts.
    private var title: [UInt8] = []
    private var isInTitle = false
    private var hasTitle = false

    /// Extracts the text; `source` is valid UTF-8 with `\n` line ends.
    static func extract(_ source: [UInt8]) -> ExtractedText {
        source.withUnsafeBufferPointer { buffer in
            var extractor = HTMLExtractor()
            extractor.out.reserveCapacity(buffer.count / 2)
            var tokenizer = HTMLTokenizer(buffer)
            while let token = tokenizer.next() {
                switch token {
                case .text(let range): extractor.text(buffer, range)
                case .startTag(let name, let selfClosing): extractor.start(name, selfClosing: selfClosing)
                case .endTag(let name): extractor.end(name)
                }
            }
            extractor.closeHeading()
            return extractor.result()
        }
    }

    private func result() -> ExtractedText {
        // As with other headings, a very long one is none.
        let kept = title.count <= MarkdownHeadings.maxTitleBytes ? title : []
        let name = String(decoding: kept, as: UTF8.self).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        if name.isEmpty { return ExtractedText(utf8: out, headings: headings) }
        return ExtractedText(utf8: out.isEmpty ? Array(name.utf8) : out, headings: headings, title: name)
    }

    private mutating func start(_ name: String, selfClosing: Bool) {
        // In the head, or before the text of a page without one; that of a drawing is skipped with the drawing.
        let isOutside = skipped == nil ? out.isEmpty : skipped?.name == "head"
        if name == "title", !selfClosing, !hasTitle, isOutside { (isInTitle, hasTitle) = (true, true) }
        if let current = skipped {
            if current.name == "head" {
                if Self.headElements.contains(name) { return }
                skipped = nil
            } else {
                if name == current.name && !selfClosing { skipped?.depth += 1 }
                return
            }
        }
        if Self.skippedElements.contains(name) {
            if !selfClosing { skipped = (name, 1) }
            return
        }
        if let level = Self.headingLevel(name) {
            closeHeading()
            request(.paragraph)
            openHeading = (level, -1)
        } else if Self.paragraphElements.contains(name) {
            request(.paragraph)
            if name == "pre" && !selfClosing { preDepth += 1 }
        } else if Self.lineElements.contains(name) {
            request(.line)
        } else if name == "td" || name == "th" {
            request(.tab)
        }
    }

    private mutating func end(_ name: String) {
        if name == "title" { isInTitle = false }
        if let current = skipped {
            guard name == current.name else {
                if current.name == "head" && (name == "html" || name == "body") { skipped = nil }
                return
            }
            skipped = current.depth > 1 ? (current.name, current.depth - 1) : nil
            return
        }
        if Self.headingLevel(name) != nil {
            closeHeading()
            request(.paragraph)
        } else if Self.paragraphElements.contains(name) {
            if name == "pre" { preDepth = max(0, preDepth - 1) }
            request(.paragraph)
        } else if Self.lineElements.contains(name) {
            request(.line)
        }
    }

    private mutating func text(_ source: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) {
        if isInTitle { appendTitle(source, range) }
        if skipped != nil { return }
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = source[index]
            if byte == 0x26, let reference = HTMLEntities.decode(source, at: index) {
                appendReference(reference.utf8)
                index += reference.length
            } else if UTF8Scanner.isSpace(byte) {
                appendSpace(byte)
                index += 1
            } else if byte == 0xC2, index + 1 < range.upperBound, source[index + 1] == 0xA0 {
                appendSpace(0x20)
                index += 2
            } else {
                appendByte(byte)
                index += 1
            }
        }
    }

    private mutating func appendTitle(_ source: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) {
        // One byte more than a title may have tells that it is too long.
        var index = range.lowerBound
        while index < range.upperBound, title.count <= MarkdownHeadings.maxTitleBytes {
            if source[index] == 0x26, let reference = HTMLEntities.decode(source, at: index) {
                title += reference.utf8
                index += reference.length
            } else {
                title.append(source[index])
                index += 1
            }
        }
    }

    private mutating func appendReference(_ utf8: [UInt8]) {
        if utf8 == [0xC2, 0xA0] || utf8 == [0x20] || utf8 == [0x0A] || utf8 == [0x09] { return appendSpace(0x20) }
        // A soft hyphen is a hint for line breaking, not text.
        if utf8 == [0xC2, 0xAD] { return }
        for byte in utf8 { appendByte(byte) }
    }

    private mutating func appendSpace(_ byte: UInt8) {
        if preDepth > 0 && gap == .none && !out.isEmpty {
            out.append(byte)
        } else {
            request(.space)
        }
    }

    private mutating func appendByte(_ byte: UInt8) {
        if gap != .none { flushGap() }
        if openHeading?.start == -1 { openHeading?.start = out.count }
        out.append(byte)
    }

    private mutating func request(_ wanted: Gap) {
        if wanted.rawValue > gap.rawValue { gap = wanted }
    }

    private mutating func flushGap() {
        if !out.isEmpty {
            switch gap {
            case .none: break
            case .space: out.append(0x20)
            case .tab: out.append(0x09)
            case .line: out.append(0x0A)
            case .paragraph: out += [0x0A, 0x0A]
            }
        }
        gap = .none
    }

    private mutating func closeHeading() {
        defer { openHeading = nil }
        guard let heading = openHeading, heading.start >= 0, out.count > heading.start,
            out.count - heading.start <= MarkdownHeadings.maxTitleBytes
        else { return }
        let title = String(decoding: out[heading.start...], as: UTF8.self)
        headings.append(.init(level: heading.level, title: title.replacingNewlines(), start: heading.start))
    }

    private static func headingLevel(_ name: String) -> Int? {
        guard name.utf8.count == 2, name.utf8.first == 0x68, let digit = name.utf8.last, (0x31...0x36).contains(digit)
        else { return nil }
        return Int(digit) - 0x30
    }
}

extension String {
    /// The text on one line.
    fileprivate func replacingNewlines() -> String {
        String(map { $0.isNewline || $0 == "\t" ? " " : $0 })
    }
}
