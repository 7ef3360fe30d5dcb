/// Runs a compiled regular expression over UTF-8, with a stack of choices of its own: long texts cannot overflow the
/// thread's.
struct RegexMatcher {
    private struct Choice {
        var step: Int
        var position: Int
        /// For a run that may give scalars back (greedy) or take more (lazy): the bound; else -1.
        var bound = -1
        var isLazy = false
    }

    /// Bounds the time that a pattern with catastrophic backtracking takes per place; such a place does not match.
    private static let maxSteps = 1 << 20

    private let program: RegexProgram
    private let reader: ScalarReader
    private let range: Range<Int>
    private var choices: [Choice] = []
    private var budget = 0
    /// What all places that are still to come may take, and all expressions that look at the text.
    private(set) var remaining: Int

    init(_ program: RegexProgram, _ reader: ScalarReader, range: Range<Int>, steps: Int) {
        self.program = program
        self.reader = reader
        self.range = range
        remaining = steps
    }

    /// The end of the match that starts at byte `position`, nil when none does.
    mutating func match(at position: Int) -> Int? {
        choices.removeAll(keepingCapacity: true)
        let granted = min(Self.maxSteps, remaining)
        budget = granted
        defer { remaining -= granted - max(budget, 0) }
        return run(from: 0, at: position)
    }

    /// The first match at or after `start`.
    mutating func firstMatch(from start: Int) -> Range<Int>? {
        var position = start
        while position <= range.upperBound {
            if let end = match(at: position) { return position..<end }
            guard position < range.upperBound else { return nil }
            position += reader.scalar(at: position).length
        }
        return nil
    }

    /// Whether any way through `steps` takes at least one scalar.
    static func takesSomething(_ steps: ArraySlice<RegexProgram.Step>) -> Bool {
        // Every path: conservative, by the shortest count to each step.
        var shortest: [Int: Int] = [steps.startIndex: 0]
        for index in steps.indices {
            guard let count = shortest[index] else { continue }
            func reach(_ step: Int, _ more: Int) { shortest[step] = min(shortest[step] ?? .max, count + more) }
            switch steps[index] {
            case .run(_, let minimum, _, _): reach(index + 1, minimum)
            case .fork(let first, let second):
                reach(first, 0)
                reach(second, 0)
            case .jump(let target): reach(target, 0)
            case .look(_, let end): reach(end, 0)
            case .atomic(let end):
                reach(index + 1, 0)
                reach(end, 0)
            case .start, .end, .lineStart, .lineEnd, .wordBoundary: reach(index + 1, 0)
            case .accept: break
            }
        }
        return (shortest[steps.endIndex] ?? 1) > 0
    }

    // MARK: - The machine

    private mutating func run(from first: Int, at start: Int) -> Int? {
        let base = choices.count
        var step = first
        var position = start
        while true {
            budget -= 1
            guard budget > 0 else {
                choices.removeLast(choices.count - base)
                return nil
            }
            var isAlive = true
            switch program.steps[step] {
            case .run(let set, let minimum, let maximum, let greed):
                if let end = take(set, minimum, maximum, greed, at: position, next: step + 1) {
                    position = end
                    step += 1
                } else {
                    isAlive = false
                }
            case .fork(let first, let second):
                choices.append(Choice(step: second, position: position))
                step = first
            case .jump(let target): step = target
            case .look(let isNegative, let end):
                isAlive = (run(from: step + 1, at: position) != nil) != isNegative
                step = end
            case .atomic(let end):
                if let matched = run(from: step + 1, at: position) {
                    position = matched
                    step = end
                } else {
                    isAlive = false
                }
            case .start:
                isAlive = position == range.lowerBound
                step += 1
            case .end:
                isAlive = position == range.upperBound
                step += 1
            case .lineStart:
                isAlive = position == range.lowerBound || reader.bytes[position - 1] == UInt8(ascii: "\n")
                step += 1
            case .lineEnd:
                isAlive = position == range.upperBound || reader.bytes[position] == UInt8(ascii: "\n")
                step += 1
            case .wordBoundary(let isNegative):
                isAlive = isWordBoundary(position) != isNegative
                step += 1
            case .accept:
                choices.removeLast(choices.count - base)
                return position
            }
            if !isAlive {
                guard let choice = backtrack(to: base) else { return nil }
                (step, position) = choice
            }
        }
    }

    /// Takes as much of a run as its greed asks for, leaving behind the choice of other lengths.
    private mutating func take(
        _ set: ScalarSet, _ minimum: Int, _ maximum: Int, _ greed: RegexProgram.Greed, at start: Int, next: Int
    ) -> Int? {
        var position = start
        var count = 0
        var shortest = start
        let wanted = greed == .lazy ? minimum : maximum
        while count < wanted, position < range.upperBound {
            let (scalar, length) = reader.scalar(at: position)
            guard set.contains(scalar) else { break }
            position += length
            count += 1
            if count == minimum { shortest = position }
        }
        // A long run is one step, but not one step's work.
        budget -= count / 16
        guard count >= minimum else { return nil }
        switch greed {
        case .greedy:
            if position > shortest { choices.append(Choice(step: next, position: position, bound: shortest)) }
        case .lazy:
            if maximum > minimum {
                choices.append(Choice(step: next, position: position, bound: maximum - minimum, isLazy: true))
            }
        case .possessive: break
        }
        return position
    }

    private mutating func backtrack(to base: Int) -> (step: Int, position: Int)? {
        while choices.count > base {
            var choice = choices.removeLast()
            guard choice.bound >= 0 else { return (choice.step, choice.position) }
            if choice.isLazy {
                guard case .run(let set, _, _, _) = program.steps[choice.step - 1],
                    choice.position < range.upperBound, choice.bound > 0
                else { continue }
                let (scalar, length) = reader.scalar(at: choice.position)
                guard set.contains(scalar) else { continue }
                choice.position += length
                choice.bound -= choice.bound == .max ? 0 : 1
                choices.append(choice)
                return (choice.step, choice.position)
            }
            choice.position -= 1
            while reader.bytes[choice.position] & 0xC0 == 0x80 { choice.position -= 1 }
            if choice.position > choice.bound { choices.append(choice) }
            return (choice.step, choice.position)
        }
        return nil
    }

    private static let word = ScalarSet(.word)

    private func isWordBoundary(_ position: Int) -> Bool {
        func isWord(_ position: Int) -> Bool { Self.word.contains(reader.scalar(at: position).value) }
        var before = false
        if position > range.lowerBound {
            var previous = position - 1
            while reader.bytes[previous] & 0xC0 == 0x80 { previous -= 1 }
            before = isWord(previous)
        }
        return before != (position < range.upperBound && isWord(position))
    }
}
