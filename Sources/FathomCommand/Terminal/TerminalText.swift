/// Text that came from the network, from a model or from a file, made safe to show.
///
/// A terminal obeys control characters (`ESC ]0;` sets its title, others answer as if typed) and reorders text around
/// bidirectional controls, so that a name can pretend to be another. What it would obey is shown as `\u{1B}` instead.
package enum TerminalText {
    /// `text` with escapes for what a terminal would obey; line feeds and tabs stay, a carriage return before a line feed
    /// goes.
    package static func escaped(_ text: String) -> String {
        escaped(text, keepsLines: true) { "\\u{\(String($0.value, radix: 16, uppercase: true))}" }
    }

    /// The same in one line, for names and cells of tables: line feeds and tabs are escaped as well.
    package static func line(_ text: String) -> String {
        escaped(text, keepsLines: false) {
            switch $0 {
            case "\n": "\\n"
            case "\t": "\\t"
            case "\r": "\\r"
            default: "\\u{\(String($0.value, radix: 16, uppercase: true))}"
            }
        }
    }

    /// JSON text with escapes of JSON, which changes nothing of what it says: such characters stand in its strings only.
    package static func json(_ text: String) -> String {
        escaped(text, keepsLines: true) { scalar in
            UTF16.encode(scalar).map { unit in
                unit.map {
                    "\\u" + String(repeating: "0", count: 4 - String($0, radix: 16).count) + String($0, radix: 16)
                }
                .joined()
            } ?? ""
        }
    }

    private static func escaped(
        _ text: String, keepsLines: Bool, _ escape: (Unicode.Scalar) -> String
    ) -> String {
        guard text.unicodeScalars.contains(where: { isObeyed($0) || !keepsLines && isLayout($0) }) else { return text }
        var result = ""
        result.reserveCapacity(text.utf8.count + 16)
        let scalars = text.unicodeScalars
        for index in scalars.indices {
            let scalar = scalars[index]
            if keepsLines, scalar == "\r", scalars[scalars.index(after: index)...].first == "\n" { continue }
            if isObeyed(scalar) || !keepsLines && isLayout(scalar) {
                result += escape(scalar)
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func isLayout(_ scalar: Unicode.Scalar) -> Bool { scalar == "\n" || scalar == "\t" }

    /// Control characters but line feed and tab, line and paragraph separators, embeddings, overrides and isolates of
    /// text directions, tags and annotations. Joiners and direction marks stay: words of many languages need them.
    private static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A: false
        case 0..<0x20, 0x7F...0x9F: true
        case 0x2028...0x202E, 0x2066...0x2069: true
        case 0xFEFF, 0xFFF9...0xFFFB, 0xE0000...0xE007F: true
        default: false
        }
    }
}
