/// A lexical token of a template, with the line it starts on.
struct Token: Equatable {
    enum Kind: Equatable {
        /// Text outside all tags, whitespace control applied.
        case text(String)
        case variableBegin
        case variableEnd
        case blockBegin
        case blockEnd
        case name(String)
        case string(String)
        case int(Int)
        case double(Double)
        /// An operator or punctuation mark.
        case mark(String)
        case end
    }

    let kind: Kind
    let line: Int
}
