/// Cuts text into words, and into the terms of the word index.
///
/// The text is folded first (`TextFolding`). A word is then a run of letters, marks and digits, or one ideograph or kana,
/// because those scripts do not write spaces. An apostrophe joins ("don't" is one word, `dont`), and a possessive `'s` is
/// dropped. English plurals are folded by Harman's S-stemmer ("How effective is suffixing?", JASIS 42, 1991), which touches
/// only a final -s and so never merges unrelated words.
///
/// The index has more:
/// - for a code, besides its words, all of it: words without a space between them, at most one sign apart and with a digit
///   among them, or one word of letters and digits, joined behind a `=`. `PPR-9087` and `PPR9087` both give `=ppr9087`,
///   `10.20.30.4` gives `=1020304`. A question that has such a word by itself asks for the code only;
/// - for a word of letters and digits in a document, besides the word, its parts: `PPR9087` is found by `9087`;
/// - for a word with one or two `+` or `#` at its end, besides the word, both together: `c++`;
/// - a syllable of Hangul by itself, because Korean joins particles to words;
/// - two neighbours of a run of Thai, Lao, Khmer or Burmese, which have no spaces either;
/// - traditional Chinese characters as the simplified ones.
package enum WordTokenizer {
    /// Longest word, in bytes; longer runs (encoded blobs) are cut there.
    static let maxTermBytes = 64

    /// The words of `text`, in order, with repetitions.
    package static func terms(_ text: String) -> [String] {
        var scanner = TermScanner(for: .words)
        return scanner.scan(text).map(\.text)
    }

    /// The terms of a document in the index, in order, with repetitions.
    package static func indexTerms(_ text: String) -> [String] {
        var scanner = TermScanner(for: .document)
        return scanner.scan(text).map(\.text)
    }

    /// The words of a question that can tell documents apart: function words are left out, unless there is nothing else.
    ///
    /// In a large collection their low idf would do the same; in one of a few pages they would decide the ranking.
    package static func queryTerms(_ text: String) -> [String] {
        let all = terms(text)
        let content = all.filter { !functionWords.contains($0) }
        return content.isEmpty ? all : content
    }

    /// The terms of a question, function words included.
    static func questionTerms(_ text: String) -> [String] {
        var scanner = TermScanner(for: .question)
        return scanner.scan(text).map(\.text)
    }

    /// What the index is asked for a question; function words are left out as by `queryTerms`.
    package static func searchTerms(_ text: String) -> [SearchTerm] {
        var scanner = TermScanner(for: .question)
        let all = scanner.scan(text)
        let content = all.filter { $0.kind != .word || !functionWords.contains($0.text) }
        return content.isEmpty ? all : content
    }

    /// English words that only hold a sentence together, as `terms` writes them.
    private static let functionWords = Set(
        terms(
            """
            a about an and are as at be been but by can could did do does for from had has have he her his how i if in
            into is it its may me my no not of on or our she should so some than that the their them then there these
            they this those to us was we were what when where which who whom whose why will with would you your
            """))
}
