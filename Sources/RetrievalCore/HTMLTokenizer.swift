/// Cuts HTML into text runs and tags, as the HTML standard's tokeniser does for everything that matters to text.
///
/// One forward pass over the bytes; markup that never ends (a comment, an attribute value, a script) ends with the
/// file, so each byte is looked at a bounded number of times.
struct HTMLTokenizer {
    /// A piece of the page.
    enum Token: Equatable {
        /// Text between tags, as a byte range of the source; character references are not yet decoded.
        case text(Range<Int>)
        /// The element's name in lower case.
        case startTag(name: String, selfClosing: Bool)
        case endTag(name: String)
    }

    /// Elements whose content is not markup: it ends only at the matching end tag.
    private static let rawTextElements: Set<String> = [
        "script", "style", "textarea", "title", "noframes", "noembed", "iframe", "xmp",
    ]
    /// Longest element name kept; the rest of a longer one is read over.
    private static let maxNameLength = 32

    private let source: UnsafeBufferPointer<UInt8>
    private var position = 0
    private var rawElement: String?

    init(_ source: UnsafeBufferPointer<UInt8>) {
        self.source = source
    }

    /// The next token, or nil at the end of the page. Comments, doctypes and processing instructions give nothing.
    mutating func next() -> Token? {
        if let name = rawElement {
            rawElement = nil
            let end = endOfRawText(name)
            if end > position {
                defer { position = end }
                return .text(position..<end)
            }
        }
        while position < source.count {
            if source[position] != 0x3C || !startsMarkup(at: position) { return textRun() }
            if let token = markup() { return token }
        }
        return nil
    }

    /// True when the `<` at `index` opens markup; otherwise it is a character of the text ("a < b").
    private func startsMarkup(at index: Int) -> Bool {
        guard index + 1 < source.count else { return false }
        let next = source[index + 1]
        if next == 0x2F {
            // "</" before anything but a letter or ">" is a bogus comment; before the end of the page it is text.
            return index + 2 < source.count
        }
        return next == 0x21 || next == 0x3F || Self.isLetter(next)
    }

    private mutating func textRun() -> Token {
        let start = position
        position += 1
        while position < source.count, source[position] != 0x3C || !startsMarkup(at: position) { position += 1 }
        return .text(start..<position)
    }

    /// Reads one piece of markup; nil when it carries nothing.
    private mutating func markup() -> Token? {
        let next = source[position + 1]
        if next == 0x21 {
            if matches("<!--", at: position) {
                // "<!-->" and "<!--->" are empty comments, hence the search from just behind the "<!".
                position = end(of: "-->", from: position + 2)
            } else if matches("<![CDATA[", at: position) {
                position = end(of: "]]>", from: position + 9)
            } else {
                position = end(of: ">", from: position + 2)
            }
            return nil
        }
        if next == 0x3F {
            position = end(of: ">", from: position + 2)
            return nil
        }
        let closing = next == 0x2F
        position += closing ? 2 : 1
        guard Self.isLetter(source[position]) else {
            position = end(of: ">", from: position)
            return nil
        }
        let name = tagName()
        guard let selfClosing = skipAttributes() else { return nil }
        if closing { return .endTag(name: name) }
        if Self.rawTextElements.contains(name) && !selfClosing { rawElement = name }
        return .startTag(name: name, selfClosing: selfClosing)
    }

    private mutating func tagName() -> String {
        let start = position
        while position < source.count, !UTF8Scanner.isSpace(source[position]), source[position] != 0x3E,
            source[position] != 0x2F
        {
            position += 1
        }
        return String(decoding: source[start..<min(position, start + Self.maxNameLength)], as: UTF8.self).lowercased()
    }

    /// Moves past the attributes and the `>`: whether the tag closes itself, or nil when the page ended first.
    private mutating func skipAttributes() -> Bool? {
        var slash = false
        var afterEquals = false
        while position < source.count {
            let byte = source[position]
            position += 1
            switch byte {
            case 0x3E: return slash
            case 0x2F where !afterEquals: slash = true
            case 0x3D: (afterEquals, slash) = (true, false)
            case 0x22, 0x27:
                // A quote opens a value only right after "="; elsewhere it is a stray character of a name.
                if afterEquals {
                    while position < source.count, source[position] != byte { position += 1 }
                    position += 1
                }
                (afterEquals, slash) = (false, false)
            default:
                if !UTF8Scanner.isSpace(byte) { (afterEquals, slash) = (false, false) }
            }
        }
        position = source.count
        return nil
    }

    /// Where the content of a raw text element ends: at `</name`, or at the end of the page.
    private func endOfRawText(_ name: String) -> Int {
        let closing = Array("</\(name)".utf8)
        var index = position
        while index + closing.count <= source.count {
            if source[index] == 0x3C, matchesFolded(closing, at: index) {
                let after = index + closing.count
                if after == source.count || UTF8Scanner.isSpace(source[after]) || source[after] == 0x3E
                    || source[after] == 0x2F
                {
                    return index
                }
            }
            index += 1
        }
        return source.count
    }

    private func matches(_ mark: StaticString, at index: Int) -> Bool {
        guard index + mark.utf8CodeUnitCount <= source.count else { return false }
        for offset in 0..<mark.utf8CodeUnitCount where source[index + offset] != mark.utf8Start[offset] { return false }
        return true
    }

    private func matchesFolded(_ lowered: [UInt8], at index: Int) -> Bool {
        for offset in 0..<lowered.count {
            let byte = source[index + offset]
            let folded = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
            if folded != lowered[offset] { return false }
        }
        return true
    }

    /// The index just behind the next `mark`, or the end of the page.
    private func end(of mark: StaticString, from start: Int) -> Int {
        var index = start
        while index + mark.utf8CodeUnitCount <= source.count {
            if matches(mark, at: index) { return index + mark.utf8CodeUnitCount }
            index += 1
        }
        return source.count
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte | 0x20) }
}
