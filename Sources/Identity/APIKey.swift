import Crypto
import Foundation

/// A secret of the form `fk-` and 43 characters of unpadded URL-safe base64, which are 32 random bytes.
///
/// The plain form exists only in the hands of its owner and for the length of one request; files hold `sha256`.
package struct APIKey: Sendable {
    /// What every key starts with, so that scanners and people recognise one.
    package static let prefix = "fk-"
    /// Length of the whole key, in characters.
    package static let length = 46

    /// The whole key. Never log it, never store it.
    package let plainText: String

    /// Makes a new key from the system's cryptographic random source.
    package static func generate() -> APIKey {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(32)
        for _ in 0..<4 {
            withUnsafeBytes(of: generator.next() as UInt64) { bytes.append(contentsOf: $0) }
        }
        let encoded = Data(bytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        return APIKey(plainText: prefix + encoded)
    }

    /// Accepts a string that has the form of a key; nil otherwise. Says nothing about whether the key is known.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == Self.length, text.hasPrefix(Self.prefix) else { return nil }
        let isWellFormed = text.utf8.dropFirst(Self.prefix.utf8.count).allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        guard isWellFormed else { return nil }
        self.plainText = String(text)
    }

    private init(plainText: String) {
        self.plainText = plainText
    }

    /// SHA-256 of the whole key, 32 bytes.
    package var digest: [UInt8] {
        Array(SHA256.hash(data: Array(plainText.utf8)))
    }

    /// SHA-256 of the whole key, 64 hex digits: the only form that is stored.
    package var sha256: String {
        Hex.encode(digest)
    }
}

/// Lower-case hexadecimal.
package enum Hex {
    /// Two digits for each byte.
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes, or nil when `text` has an odd length or another character than a hex digit.
    package static func decode(_ text: String) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
