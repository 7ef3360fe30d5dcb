/// What a regular expression compiles to: steps of a backtracking machine.
struct RegexProgram: Sendable {
    enum Greed: Sendable { case greedy, lazy, possessive }

    enum Step: Sendable {
        /// `minimum ... maximum` scalars of a set, then the next step.
        case run(ScalarSet, minimum: Int, maximum: Int, Greed)
        /// Goes on at `first`; at `second` when that fails.
        case fork(first: Int, second: Int)
        case jump(Int)
        /// Whether what starts at `next + 1 ..< end` matches here (ahead), without taking it; then on at `end`.
        case look(isNegative: Bool, end: Int)
        /// What starts behind this step, ended by `accept`, taken as a whole; then on at `end`.
        case atomic(end: Int)
        /// The start or the end of the text.
        case start
        case end
        /// The start or the end of a line, as `^` and `$` mean in Oniguruma's syntax.
        case lineStart
        case lineEnd
        case wordBoundary(isNegative: Bool)
        case accept
    }

    var steps: [Step] = []
}
