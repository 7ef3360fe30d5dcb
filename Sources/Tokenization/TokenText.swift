/// A token's text as a key: compared by its bytes.
///
/// Swift's strings are equal when they are canonically equivalent; vocabularies tell such texts apart.
struct TokenText: Hashable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (lhs: TokenText, rhs: TokenText) -> Bool { lhs.text.utf8.elementsEqual(rhs.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
