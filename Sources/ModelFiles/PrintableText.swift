extension StringProtocol {
    /// The text with U+FFFD for control characters: names out of files reach terminals and logs, where an escape sequence
    /// or a line break would be obeyed.
    package var printable: String {
        func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) }
        guard unicodeScalars.contains(where: isControl) else { return String(self) }
        var scalars = String.UnicodeScalarView()
        scalars.append(contentsOf: unicodeScalars.lazy.map { isControl($0) ? "\u{FFFD}" : $0 })
        return String(scalars)
    }
}
