/// Reads Unicode scalars out of bytes that are known to be valid UTF-8.
struct ScalarReader {
    let bytes: UnsafeBufferPointer<UInt8>
    let classes: ScalarClasses

    /// The scalar at byte `index`, which must be the first byte of one, and its length in bytes.
    @inline(__always)
    func scalar(at index: Int) -> (value: Unicode.Scalar, length: Int) {
        let lead = UInt32(bytes[index])
        if lead < 0x80 { return (Unicode.Scalar(UInt8(lead)), 1) }
        func tail(_ offset: Int) -> UInt32 { UInt32(bytes[index + offset]) & 0x3F }
        let value: UInt32
        let length: Int
        if lead < 0xE0 {
            (value, length) = ((lead & 0x1F) << 6 | tail(1), 2)
        } else if lead < 0xF0 {
            (value, length) = ((lead & 0x0F) << 12 | tail(1) << 6 | tail(2), 3)
        } else {
            (value, length) = ((lead & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4)
        }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", length)
    }

    /// The class of the scalar at byte `index`, and its length in bytes.
    @inline(__always)
    func classified(at index: Int) -> (class: ScalarClass, length: Int) {
        let (scalar, length) = scalar(at: index)
        return (classes[scalar], length)
    }

    /// Where the scalar before byte `index` starts; there must be one.
    func index(before index: Int) -> Int {
        var index = index - 1
        while bytes[index] & 0xC0 == 0x80 { index -= 1 }
        return index
    }

    /// The end of the run from `start` of scalars whose class satisfies `belongs`, looking no further than `end`.
    @inline(__always)
    func runEnd(from start: Int, to end: Int, where belongs: (ScalarClass) -> Bool) -> Int {
        var index = start
        while index < end {
            let (scalarClass, length) = classified(at: index)
            guard belongs(scalarClass) else { break }
            index += length
        }
        return index
    }
}
