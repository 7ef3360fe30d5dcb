/// The path of a request target, brought to the one form that routes are written in (RFC 3986, 6.2.2).
package enum RequestTarget {
    /// The target with escapes of unreserved characters decoded, slashes in a row made one and a last one dropped; the
    /// query stays as it is. Other escapes stay: `%2F` is no separator.
    ///
    /// - Returns: nil for a target that is no path, holds characters that none may hold, or whose escapes are broken, or
    ///   stand for a zero byte or for what is no UTF-8.
    package static func normalized(_ target: String) -> String? {
        if isNormal(target) { return target }
        let bytes = Array(target.utf8)
        guard bytes.first == slash else { return nil }
        let pathEnd = bytes.firstIndex(of: UInt8(ascii: "?")) ?? bytes.count
        var path: [UInt8] = []
        var text: [UInt8] = []
        path.reserveCapacity(bytes.count)
        var index = 0
        while index < pathEnd {
            let byte = bytes[index]
            index += 1
            switch byte {
            case slash where path.last == slash: break
            case percent:
                guard index + 2 <= pathEnd, let value = value(bytes[index], bytes[index + 1]), value != 0 else {
                    return nil
                }
                index += 2
                text.append(value)
                if isUnreserved(value) { path.append(value) } else { appendEscape(value, to: &path) }
            case 0...0x20, 0x7F, UInt8(ascii: "#"): return nil
            default:
                text.append(byte)
                path.append(byte)
            }
        }
        guard String(validating: text, as: UTF8.self) != nil else { return nil }
        if path.count > 1 && path.last == slash { path.removeLast() }
        return String(decoding: path + bytes[pathEnd...], as: UTF8.self)
    }

    /// Whether a target is as it should be at first sight, as nearly all are.
    private static func isNormal(_ target: String) -> Bool {
        var last: UInt8 = 0
        for (index, byte) in target.utf8.enumerated() {
            switch byte {
            case slash where last == slash, 0...0x20, 0x7F..., percent, UInt8(ascii: "#"): return false
            case UInt8(ascii: "?"): return index == 1 || index > 1 && last != slash
            default:
                if index == 0 && byte != slash { return false }
            }
            last = byte
        }
        return last != 0 && (last != slash || target.utf8.count == 1)
    }

    /// A piece of a normalized path with its escapes decoded.
    package static func decoded(_ text: some StringProtocol) -> String {
        let bytes = Array(text.utf8)
        guard bytes.contains(percent) else { return String(text) }
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == percent, index + 2 < bytes.count, let value = value(bytes[index + 1], bytes[index + 2]) {
                result.append(value)
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static let slash = UInt8(ascii: "/")
    private static let percent = UInt8(ascii: "%")

    private static func value(_ high: UInt8, _ low: UInt8) -> UInt8? {
        guard let high = digit(high), let low = digit(low) else { return nil }
        return high << 4 | low
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    private static func appendEscape(_ value: UInt8, to path: inout [UInt8]) {
        let digits = Array("0123456789ABCDEF".utf8)
        path += [percent, digits[Int(value >> 4)], digits[Int(value & 15)]]
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
