/// A term of a question: what the word index is asked for.
package struct SearchTerm: Sendable, Equatable {
    package enum Kind: Sendable {
        /// A word, or a number.
        case word
        /// A character, or two, of a script that does not put spaces between words.
        case character
        /// The words of a code as one, such as `PPR-9087`.
        case compound
    }

    /// As the index has it.
    package var text: String
    /// Folded, but neither stemmed nor marked: what an encoder can be asked about.
    package var surface: String
    package var kind: Kind

    package init(text: String, surface: String, kind: Kind) {
        self.text = text
        self.surface = surface
        self.kind = kind
    }

    /// Whether an embedding says nothing about this term, so that only its occurrence counts.
    ///
    /// - Parameters:
    ///   - isPresent: Whether any document of the collection has the term.
    ///   - isRead: Whether the encoder has the word as a token of its own.
    func isOpaque(isPresent: Bool, isRead: Bool) -> Bool {
        switch kind {
        case .word where surface.utf8.contains(where: Self.isDigit):
            // A short number is a quantity. A longer one names something, and embeddings hardly tell numbers apart.
            return !isRead || (isPresent && surface.utf8.count > 2 && surface.utf8.allSatisfy(Self.isDigit))
        // Pieces of a word still mean something ("ear", "plugs"), so an unknown word is left to the encoder when the index
        // has nothing to say either. Its parts say whether an absent code is one.
        case .word, .compound: return isPresent && !isRead
        case .character: return !isRead
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
