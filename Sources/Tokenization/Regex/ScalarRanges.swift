/// Unicode scalars as ranges: ascending, none empty, none touching another. The surrogates belong to none, but may lie in
/// a range.
struct ScalarRanges: Sendable, Hashable {
    private static let end: UInt32 = 0x110000

    let ranges: [ClosedRange<UInt32>]

    private init(ascending ranges: [ClosedRange<UInt32>]) {
        var joined: [ClosedRange<UInt32>] = []
        for range in ranges {
            if let last = joined.last, range.lowerBound <= last.upperBound + 1 {
                joined[joined.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                joined.append(range)
            }
        }
        self.ranges = joined
    }

    /// The scalars that a description names.
    init(_ item: ScalarSet.Item) {
        switch item {
        case .range(let range): self.init(ascending: [range])
        case .categories(let mask):
            self.init(ascending: Self.categories.lazy.filter { $0.bit & mask != 0 }.map(\.range))
        case .whiteSpace: self = Self.whiteSpace
        case .word: self = Self.word
        case .rustWord: self = Self.rustWord
        case .not(let item): self = ScalarRanges(item).complement
        case .union(let items): self = Self.union(items)
        case .intersection(let items):
            // What none of the complements has.
            self = Self.union(items.map { .not($0) }).complement
        }
    }

    private static func union(_ items: [ScalarSet.Item]) -> ScalarRanges {
        let all = items.flatMap { item in
            if case .range(let range) = item { [range] } else { ScalarRanges(item).ranges }
        }
        return ScalarRanges(ascending: all.sorted { $0.lowerBound < $1.lowerBound })
    }

    var complement: ScalarRanges {
        var result: [ClosedRange<UInt32>] = []
        var start: UInt32 = 0
        for range in ranges {
            if start < range.lowerBound { result.append(start...range.lowerBound - 1) }
            start = range.upperBound + 1
        }
        if start < Self.end { result.append(start...Self.end - 1) }
        return ScalarRanges(ascending: result)
    }

    func contains(_ value: UInt32) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(value)
    }

    // MARK: - Case

    /// With every scalar of which another of the same letter belongs.
    var withCaseVariants: ScalarRanges {
        // Two rounds: k, K and the Kelvin sign are one letter.
        addingCaseVariants.addingCaseVariants
    }

    private var addingCaseVariants: ScalarRanges {
        var more = ranges
        for (first, second) in Self.casePairs {
            if contains(first) { more.append(second...second) }
            if contains(second) { more.append(first...first) }
        }
        return ScalarRanges(ascending: more.sorted { $0.lowerBound < $1.lowerBound })
    }

    /// Pairs of a scalar and its other case, where both are one scalar.
    private static let casePairs: [(UInt32, UInt32)] = {
        var pairs: [(UInt32, UInt32)] = []
        for value in UInt32(0)..<0x20000 {
            guard let scalar = Unicode.Scalar(value), scalar.properties.isCased else { continue }
            for text in [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping] {
                guard let variant = text.unicodeScalars.first, text.unicodeScalars.count == 1, variant != scalar,
                    variant.value < 0x20000
                else { continue }
                pairs.append((value, variant.value))
            }
        }
        return pairs
    }()

    // MARK: - Properties, made once

    /// Runs of scalars of one general category, by the version of Unicode that expressions go by.
    private static let categories: [(bit: UInt32, range: ClosedRange<UInt32>)] = {
        var runs: [(bit: UInt32, range: ClosedRange<UInt32>)] = []
        for value in 0..<end {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let bit = GeneralCategories.bit(of: scalar)
            if let last = runs.last, last.bit == bit, last.range.upperBound + 1 == value {
                runs[runs.count - 1].range = last.range.lowerBound...value
            } else {
                runs.append((bit, value...value))
            }
        }
        return runs
    }()

    private static func all(where belongs: (Unicode.Scalar) -> Bool) -> ScalarRanges {
        var ranges: [ClosedRange<UInt32>] = []
        for value in 0..<end {
            guard let scalar = Unicode.Scalar(value), belongs(scalar) else { continue }
            if let last = ranges.last, last.upperBound + 1 == value {
                ranges[ranges.count - 1] = last.lowerBound...value
            } else {
                ranges.append(value...value)
            }
        }
        return ScalarRanges(ascending: ranges)
    }

    private static let whiteSpace = all { $0.properties.isWhitespace }

    private static let alphabeticMarkOrDigit = all { scalar in
        let bit = GeneralCategories.bit(of: scalar)
        return bit & GeneralCategories.word != 0 || bit != 1 && scalar.properties.isAlphabetic
    }

    private static let word = union(
        // Oniguruma counts Latin-1's superscripts and fractions as well.
        alphabeticMarkOrDigit.ranges.map { .range($0) } + [0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE].map { .range($0...$0) })

    private static let rustWord = union(
        alphabeticMarkOrDigit.ranges.map { .range($0) } + [.range(0x200C...0x200D)])
}
