/// What the encoder and the lexical index see of a chunk: its text below the titles of the sections it lies in.
///
/// The titles carry what a paragraph does not repeat ("Leave > Sick leave" over "Up to ten days."). They are not part of
/// the chunk's text, so spans and quotes stay exact. A title that the chunk itself starts with is not said twice.
enum IndexedText {
    /// Titles beyond this many bytes are left out, outermost first.
    static let maxHeadingBytes = 200

    static func make(text: String, headings: [String]) -> String {
        var kept: [String] = []
        var bytes = 0
        for title in headings.reversed() {
            if text.prefix(title.count + 8).contains(title) { continue }
            bytes += title.utf8.count + 3
            if bytes > maxHeadingBytes { break }
            kept.append(title)
        }
        return kept.isEmpty ? text : kept.reversed().joined(separator: " > ") + "\n" + text
    }
}
