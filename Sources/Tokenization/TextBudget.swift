/// The work that encoding one text may take, and the length that it may grow to on the way: both by its length.
///
/// The rules of a tokeniser come with a model and are not trusted. Chained they can make a text longer without bound, and
/// long tokens can make its every byte be compared with thousands of others. Real ones take a small part of what is
/// granted. One value for one text; not shared between threads.
final class TextBudget {
    /// Bytes that the text may have after any step.
    let maxByteCount: Int
    /// Steps that all regular expressions together may still take; an expression that has none left matches nowhere.
    var regexSteps: Int
    private var work: Int

    /// - Parameter byteCount: length of the text.
    init(byteCount: Int) {
        maxByteCount = (1 << 20) + 4 * byteCount
        regexSteps = (1 << 20) + 128 * byteCount
        work = (1 << 20) + 128 * byteCount
    }

    /// For one token that is decoded: expressions get less, as there are many tokens.
    init(step byteCount: Int) {
        maxByteCount = 1 << 20
        regexSteps = (1 << 10) + 128 * byteCount
        work = 1 << 20
    }

    /// Counts so many bytes compared or copied. - Throws: `tooMuchWork`.
    func spend(_ count: Int) throws {
        work -= count
        guard work >= 0 else {
            throw TokenizationError(code: .tooMuchWork, message: "the tokeniser's rules take too long for this text")
        }
    }

    /// - Throws: `tooMuchWork` for a text that has become too long.
    func check(byteCount: Int) throws {
        guard byteCount <= maxByteCount else {
            throw TokenizationError(code: .tooMuchWork, message: "the tokeniser's rules make this text too long")
        }
    }
}
