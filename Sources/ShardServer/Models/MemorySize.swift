import Foundation

/// Amounts of memory in words.
package enum MemorySize {
    /// "512", "300MB" (powers of 1000), "1.5GiB" or "1.5G" (powers of 1024), case and a space before the unit do not
    /// matter; nil for anything else.
    package static func parse(_ text: String) -> Int? {
        let units: [(suffix: String, bytes: Double)] = [
            ("kib", 1_024), ("mib", 1_048_576), ("gib", 1_073_741_824), ("tib", 1_099_511_627_776), ("kb", 1e3),
            ("mb", 1e6), ("gb", 1e9), ("tb", 1e12), ("k", 1_024), ("m", 1_048_576), ("g", 1_073_741_824),
            ("t", 1_099_511_627_776), ("b", 1), ("", 1),
        ]
        let text = text.lowercased()
        guard let unit = units.first(where: { text.hasSuffix($0.suffix) }) else { return nil }
        let number = text.dropLast(unit.suffix.count).trimmingCharacters(in: .whitespaces)
        // Double() reads "inf", "nan" and hexadecimal too; none of them is an amount.
        guard !number.isEmpty, number.utf8.allSatisfy({ (48...57).contains($0) || $0 == UInt8(ascii: ".") }),
            let value = Double(number), value * unit.bytes < 1e18
        else { return nil }
        return Int(value * unit.bytes)
    }

    /// "412.5 MiB".
    package static func text(_ byteCount: Int) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(byteCount)
        var unit = 0
        while value >= 1_024, unit < units.count - 1 {
            value /= 1_024
            unit += 1
        }
        return unit == 0 ? "\(byteCount) B" : String(format: "%.1f", value) + " " + units[unit]
    }
}
