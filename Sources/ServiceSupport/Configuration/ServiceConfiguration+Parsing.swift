extension ServiceConfiguration {
    /// "500ms", "20s", "5m", "1h" or bare seconds, fractions allowed; nil for anything else.
    package static func duration(parsing text: String) -> Duration? {
        let units: [(suffix: String, seconds: Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("", 1)]
        for unit in units where text.hasSuffix(unit.suffix) {
            let number = text.dropLast(unit.suffix.count)
            // Double() reads "inf", "nan" and hexadecimal too; none of them is a duration.
            guard !number.isEmpty, number.utf8.allSatisfy({ (48...57).contains($0) || $0 == UInt8(ascii: ".") }),
                let value = Double(number), value * unit.seconds < 1e9
            else { return nil }
            return .seconds(value * unit.seconds)
        }
        return nil
    }

    /// The known key that a person most likely meant, by edit distance; nil when none is near.
    package static func nearestKey(to key: String, in known: Set<String>) -> String? {
        let normal = key.lowercased().replacing("_", with: "-").replacing(".", with: "-")
        let distances = known.sorted().map { (key: $0, distance: editDistance(normal, $0)) }
        guard let best = distances.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= max(2, best.key.count / 3) ? best.key : nil
    }

    /// Levenshtein distance in UTF-8 bytes; keys are short, so the quadratic table is small.
    private static func editDistance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8.prefix(100))
        let right = Array(right.utf8.prefix(100))
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let substituted = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
            }
        }
        return row[right.count]
    }
}
