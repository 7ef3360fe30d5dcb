/// Compiles the regular expressions that tokenizer.json files hold: Oniguruma's syntax, as far as they use it.
///
/// Literals, classes (nested, negated, `&&`), `\p{..}`, `\s \d \w \h` and their opposites, groups (plain, non-capturing,
/// atomic, with the `i` flag), alternatives, all quantifiers with their lazy and possessive forms, lookahead, `^ $ \A
/// \z \b`. Back references and lookbehind are refused.
struct RegexParser {
    struct Failure: Error {
        let message: String
    }

    private static let maxSteps = 4096
    /// No tokeniser's expression comes near; a longer one would be searched for braces again and again.
    private static let maxScalars = 1 << 16
    static let maxDepth = 32
    private static let maxRepeats = 1000
    /// Repeated groups are compiled once per repetition; bounds what nesting makes of that.
    private static let maxEmitted = 1 << 16

    let scalars: [Unicode.Scalar]
    var index = 0
    var depth = 0
    var ignoresCase = false
    private var program = RegexProgram()
    private var emittedCount = 0
    /// Characters read, those of repeated groups each time.
    private var readCount = 0
    private static let maxRead = 1 << 20
    /// Sets that were made, so that equal ones are one.
    private var sets: [ScalarRanges: ScalarSet] = [:]

    private init(_ pattern: String) {
        scalars = Array(pattern.unicodeScalars)
    }

    /// - Throws: `Failure` for what is not implemented or no regular expression.
    static func compile(_ pattern: String) throws(Failure) -> RegexProgram {
        var parser = RegexParser(pattern)
        guard parser.scalars.count <= maxScalars else { throw parser.failure("too long") }
        try parser.alternatives()
        guard parser.index == parser.scalars.count else { throw parser.failure("unbalanced )") }
        try parser.emit(.accept)
        return parser.program
    }

    func failure(_ message: String) -> Failure {
        Failure(message: "\(message) at character \(index) of a regular expression")
    }

    var next: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard scalars[index...].starts(with: wanted) else { return false }
        index += wanted.count
        return true
    }

    /// Counts a character that is read. - Throws: `Failure` when repetition makes that too many.
    mutating func countRead() throws(Failure) {
        readCount += 1
        guard readCount <= Self.maxRead else { throw failure("too long") }
    }

    mutating func set(_ item: ScalarSet.Item) -> ScalarSet {
        let ranges = ignoresCase ? ScalarRanges(item).withCaseVariants : ScalarRanges(item)
        if let known = sets[ranges] { return known }
        let set = ScalarSet(ranges)
        sets[ranges] = set
        return set
    }

    private mutating func emit(_ step: RegexProgram.Step) throws(Failure) {
        emittedCount += 1
        guard program.steps.count < Self.maxSteps, emittedCount < Self.maxEmitted else { throw failure("too long") }
        program.steps.append(step)
    }

    // MARK: - Alternatives and sequences

    private mutating func alternatives() throws(Failure) {
        depth += 1
        guard depth <= Self.maxDepth else { throw failure("nested too deeply") }
        defer { depth -= 1 }
        var jumps: [Int] = []
        while true {
            let fork = program.steps.count
            try emit(.jump(fork + 1))
            try sequence()
            guard take("|") else { break }
            jumps.append(program.steps.count)
            try emit(.jump(0))
            program.steps[fork] = .fork(first: fork + 1, second: program.steps.count)
        }
        for jump in jumps { program.steps[jump] = .jump(program.steps.count) }
    }

    private mutating func sequence() throws(Failure) {
        while let scalar = next, scalar != "|", scalar != ")" { try term() }
    }

    private mutating func term() throws(Failure) {
        try countRead()
        if let set = try singleScalar() {
            let (minimum, maximum, greed) = try quantifier() ?? (1, 1, .greedy)
            try emit(.run(set, minimum: minimum, maximum: maximum, greed))
            return
        }
        let start = program.steps.count
        let flags = ignoresCase
        let first = index
        try group()
        let end = index
        guard let (minimum, maximum, greed) = try quantifier() else { return }
        let afterQuantifier = index
        program.steps.removeSubrange(start...)
        let isAtomic = greed == .possessive
        let atomic = program.steps.count
        if isAtomic { try emit(.atomic(end: 0)) }
        func again(_ parser: inout RegexParser) throws(Failure) {
            parser.index = first
            parser.ignoresCase = flags
            try parser.group()
            parser.index = end
        }
        for _ in 0..<minimum { try again(&self) }
        if maximum == .max {
            try star(lazy: greed == .lazy, again)
        } else {
            var forks: [Int] = []
            for _ in minimum..<max(maximum, minimum) {
                forks.append(program.steps.count)
                try emit(.jump(0))
                try again(&self)
            }
            for fork in forks { program.steps[fork] = choice(fork + 1, program.steps.count, lazy: greed == .lazy) }
        }
        if isAtomic {
            try emit(.accept)
            program.steps[atomic] = .atomic(end: program.steps.count)
        }
        index = afterQuantifier
    }

    private func choice(_ body: Int, _ out: Int, lazy: Bool) -> RegexProgram.Step {
        lazy ? .fork(first: out, second: body) : .fork(first: body, second: out)
    }

    private mutating func star(
        lazy: Bool, _ body: (inout RegexParser) throws(Failure) -> Void
    ) throws(Failure) {
        let fork = program.steps.count
        try emit(.jump(0))
        try body(&self)
        // A body that matches nothing would loop for ever.
        guard RegexMatcher.takesSomething(program.steps[(fork + 1)...]) else {
            throw failure("a repeated group that may be empty")
        }
        try emit(.jump(fork))
        program.steps[fork] = choice(fork + 1, program.steps.count, lazy: lazy)
    }

    // MARK: - Groups and assertions

    private mutating func group() throws(Failure) {
        if take("^") { return try emit(.lineStart) }
        if take("$") { return try emit(.lineEnd) }
        if take("\\A") { return try emit(.start) }
        if take("\\z") { return try emit(.end) }
        if take("\\b") { return try emit(.wordBoundary(isNegative: false)) }
        if take("\\B") { return try emit(.wordBoundary(isNegative: true)) }
        if take("(?=") { return try enclosed(.look(isNegative: false, end: 0)) }
        if take("(?!") { return try enclosed(.look(isNegative: true, end: 0)) }
        if take("(?>") { return try enclosed(.atomic(end: 0)) }
        let flags = ignoresCase
        defer { ignoresCase = flags }
        if take("(?i:") {
            ignoresCase = true
        } else if take("(?i)") {
            // The rest of the enclosing group.
            ignoresCase = true
            try alternatives()
            return
        } else if !take("(?:") {
            guard take("("), next != "?" else { throw failure("something that is not implemented") }
        }
        try alternatives()
        guard take(")") else { throw failure("expected )") }
    }

    private mutating func enclosed(_ step: RegexProgram.Step) throws(Failure) {
        let start = program.steps.count
        try emit(step)
        let flags = ignoresCase
        try alternatives()
        ignoresCase = flags
        guard take(")") else { throw failure("expected )") }
        try emit(.accept)
        let end = program.steps.count
        if case .look(let isNegative, _) = step {
            program.steps[start] = .look(isNegative: isNegative, end: end)
        } else {
            program.steps[start] = .atomic(end: end)
        }
    }

    /// nil when no quantifier stands here.
    private mutating func quantifier() throws(Failure) -> (minimum: Int, maximum: Int, RegexProgram.Greed)? {
        let minimum: Int
        var maximum = Int.max
        var isInterval = false
        if take("*") {
            minimum = 0
        } else if take("+") {
            minimum = 1
        } else if take("?") {
            (minimum, maximum) = (0, 1)
        } else if next == "{", let bounds = try interval() {
            (minimum, maximum) = bounds
            isInterval = true
        } else {
            return nil
        }
        if take("?") { return (minimum, maximum, .lazy) }
        if next == "+" {
            index += 1
            if isInterval {
                // In Oniguruma's syntax {n,m}+ repeats the repetition; from one on, that is any number.
                guard minimum == 1 else { throw failure("a repeated interval, which is not implemented,") }
                return (1, .max, .greedy)
            }
            return (minimum, maximum, .possessive)
        }
        return (minimum, maximum, .greedy)
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`; nil, and a plain brace, when it is none of these.
    private mutating func interval() throws(Failure) -> (minimum: Int, maximum: Int)? {
        // Two numbers of a few digits; a brace that closes later closes something else.
        guard let close = scalars[index...].prefix(24).firstIndex(of: "}") else { return nil }
        let text = String(String.UnicodeScalarView(scalars[(index + 1)..<close]))
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ $0.allSatisfy { ("0"..."9").contains($0) } }),
            text.count > (parts.count == 2 ? 1 : 0)
        else { return nil }
        let minimum = parts[0].isEmpty ? 0 : Int(parts[0]) ?? .max
        let maximum = parts.count == 1 ? minimum : parts[1].isEmpty ? Int.max : Int(parts[1]) ?? .max
        guard minimum <= Self.maxRepeats, maximum == .max || (minimum...Self.maxRepeats).contains(maximum) else {
            throw failure("an interval out of range")
        }
        index = close + 1
        return (minimum, maximum)
    }
}
