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
    private static let maxDepth = 32
    private static let maxRepeats = 1000
    /// Repeated groups are compiled once per repetition; bounds what nesting makes of that.
    private static let maxEmitted = 1 << 16

    private let scalars: [Unicode.Scalar]
    private var index = 0
    private var depth = 0
    private var ignoresCase = false
    private var program = RegexProgram()
    private var emittedCount = 0

    private init(_ pattern: String) {
        scalars = Array(pattern.unicodeScalars)
    }

    /// - Throws: `Failure` for what is not implemented or no regular expression.
    static func compile(_ pattern: String) throws(Failure) -> RegexProgram {
        var parser = RegexParser(pattern)
        try parser.alternatives()
        guard parser.index == parser.scalars.count else { throw parser.failure("unbalanced )") }
        try parser.emit(.accept)
        return parser.program
    }

    private func failure(_ message: String) -> Failure {
        Failure(message: "\(message) at character \(index) of a regular expression")
    }

    private var next: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private mutating func take(_ text: String) -> Bool {
        let wanted = Array(text.unicodeScalars)
        guard scalars[index...].starts(with: wanted) else { return false }
        index += wanted.count
        return true
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
        var mayBePossessive = true
        if take("*") {
            minimum = 0
        } else if take("+") {
            minimum = 1
        } else if take("?") {
            (minimum, maximum) = (0, 1)
        } else if next == "{", let bounds = try interval() {
            (minimum, maximum) = bounds
            // In Oniguruma's syntax {n,m}+ repeats the repetition.
            mayBePossessive = false
        } else {
            return nil
        }
        if take("?") { return (minimum, maximum, .lazy) }
        if next == "+" {
            guard mayBePossessive else { throw failure("a repeated interval") }
            index += 1
            return (minimum, maximum, .possessive)
        }
        return (minimum, maximum, .greedy)
    }

    /// `{n}`, `{n,}`, `{,m}`, `{n,m}`; nil, and a plain brace, when it is none of these.
    private mutating func interval() throws(Failure) -> (minimum: Int, maximum: Int)? {
        guard let close = scalars[index...].firstIndex(of: "}") else { return nil }
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

    // MARK: - Scalars and classes

    /// The set of a literal, an escape or a class; nil when a group or an assertion starts here.
    private mutating func singleScalar() throws(Failure) -> ScalarSet? {
        guard let scalar = next else { throw failure("expected something") }
        switch scalar {
        case "(", "^", "$": return nil
        case "*", "+", "?": throw failure("nothing to repeat")
        case "[": return ScalarSet(try characterClass(), ignoresCase: ignoresCase)
        case ".":
            index += 1
            return ScalarSet(.not(.range(0x0A...0x0A)))
        case "\\":
            if index + 1 < scalars.count, "AzbB".unicodeScalars.contains(scalars[index + 1]) { return nil }
            return ScalarSet(try escape(), ignoresCase: ignoresCase)
        default:
            index += 1
            return ScalarSet(.range(scalar.value...scalar.value), ignoresCase: ignoresCase)
        }
    }

    private mutating func characterClass() throws(Failure) -> ScalarSet.Item {
        depth += 1
        guard depth <= Self.maxDepth else { throw failure("nested too deeply") }
        defer { depth -= 1 }
        index += 1
        let isNegative = take("^")
        var intersected: [ScalarSet.Item] = []
        var items: [ScalarSet.Item] = []
        var isFirst = true
        while isFirst || next != "]" {
            guard let scalar = next else { throw failure("expected ]") }
            if take("&&") {
                intersected.append(.union(items))
                items = []
            } else if scalar == "[" {
                items.append(try characterClass())
            } else {
                items.append(try rangeOrItem())
            }
            isFirst = false
        }
        index += 1
        intersected.append(.union(items))
        let item = intersected.count == 1 ? intersected[0] : ScalarSet.Item.intersection(intersected)
        return isNegative ? .not(item) : item
    }

    private mutating func rangeOrItem() throws(Failure) -> ScalarSet.Item {
        let first = try classItem()
        guard case .range(let range) = first, range.count == 1, next == "-", index + 1 < scalars.count,
            scalars[index + 1] != "]"
        else { return first }
        index += 1
        guard case .range(let last) = try classItem(), last.count == 1, last.lowerBound >= range.lowerBound else {
            throw failure("a range that is none")
        }
        return .range(range.lowerBound...last.lowerBound)
    }

    private mutating func classItem() throws(Failure) -> ScalarSet.Item {
        guard let scalar = next else { throw failure("expected ]") }
        if scalar == "\\" { return try escape() }
        index += 1
        return .range(scalar.value...scalar.value)
    }

    private mutating func escape() throws(Failure) -> ScalarSet.Item {
        index += 1
        guard let scalar = next else { throw failure("a lone backslash") }
        index += 1
        func one(_ value: UInt32) -> ScalarSet.Item { .range(value...value) }
        let decimal = ScalarSet.Item.categories(GeneralCategories.named("Nd") ?? 0)
        switch scalar {
        case "n": return one(0x0A)
        case "r": return one(0x0D)
        case "t": return one(0x09)
        case "f": return one(0x0C)
        case "v": return one(0x0B)
        case "a": return one(0x07)
        case "e": return one(0x1B)
        case "s": return .whiteSpace
        case "S": return .not(.whiteSpace)
        case "d": return decimal
        case "D": return .not(decimal)
        case "w": return .word
        case "W": return .not(.word)
        case "p", "P":
            let item = try property()
            return scalar == "p" ? item : .not(item)
        case "x", "u": return one(try hexadecimal(after: scalar))
        default:
            guard !("a"..."z").contains(scalar), !("A"..."Z").contains(scalar), !("0"..."9").contains(scalar) else {
                throw failure("the escape \\\(scalar), which is not implemented,")
            }
            return one(scalar.value)
        }
    }

    private mutating func property() throws(Failure) -> ScalarSet.Item {
        guard take("{"), let close = scalars[index...].firstIndex(of: "}") else { throw failure("expected {") }
        var name = String(String.UnicodeScalarView(scalars[index..<close]))
        index = close + 1
        let isNegative = name.hasPrefix("^")
        if isNegative { name.removeFirst() }
        guard let item = RegexProperties.named(name) else {
            throw failure("the property \(name.prefix(32)), which is not implemented,")
        }
        return isNegative ? .not(item) : item
    }

    private mutating func hexadecimal(after kind: Unicode.Scalar) throws(Failure) -> UInt32 {
        var digits: [Unicode.Scalar] = []
        if kind == "x", take("{") {
            while let scalar = next, scalar != "}", digits.count < 7 {
                digits.append(scalar)
                index += 1
            }
            guard take("}") else { throw failure("expected }") }
        } else {
            let count = kind == "x" ? 2 : 4
            digits = Array(scalars[index...].prefix(count))
            index += digits.count
        }
        let text = String(String.UnicodeScalarView(digits))
        guard let value = UInt32(text, radix: 16), Unicode.Scalar(value) != nil else {
            throw failure("expected hexadecimal digits")
        }
        return value
    }
}

/// The names in `\p{...}` that are not general categories.
enum RegexProperties {
    static func named(_ name: String) -> ScalarSet.Item? {
        if let mask = GeneralCategories.named(name) { return .categories(mask) }
        switch name {
        case "Letter", "L&": return GeneralCategories.named("L").map { .categories($0) }
        case "Han": return .union(han.map { .range($0) })
        case "Hiragana": return .union([0x3041...0x3096, 0x309D...0x309F, 0x1B001...0x1B11F].map { .range($0) })
        case "Katakana":
            return .union([0x30A1...0x30FA, 0x30FD...0x30FF, 0x31F0...0x31FF, 0xFF66...0xFF6F].map { .range($0) })
        case "Hangul":
            return .union([0x1100...0x11FF, 0x3131...0x318E, 0xA960...0xA97C, 0xAC00...0xD7A3].map { .range($0) })
        default: return nil
        }
    }

    /// Scalars of the script Han (Unicode 16, Scripts.txt).
    private static let han: [ClosedRange<UInt32>] = [
        0x2E80...0x2E99, 0x2E9B...0x2EF3, 0x2F00...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029,
        0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFA6D, 0xFA70...0xFAD9, 0x16FE2...0x16FE3,
        0x16FF0...0x16FF1, 0x20000...0x2A6DF, 0x2A700...0x2B739, 0x2B740...0x2B81D, 0x2B820...0x2CEA1,
        0x2CEB0...0x2EBE0, 0x2EBF0...0x2EE5D, 0x2F800...0x2FA1D, 0x30000...0x3134A, 0x31350...0x323AF,
    ]
}
