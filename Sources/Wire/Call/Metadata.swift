/// Key-value pairs that travel with a call (in OPEN) or with its end (in STATUS), in order.
///
/// Keys are 1...128 characters of `a-z 0-9 _ - .`; values hold no control characters. Both together are limited, see
/// ``maximumSize``. A key ending in "-bin" holds base64, as in gRPC; this layer does not look inside.
package struct Metadata: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// One pair.
    package struct Entry: Sendable, Equatable {
        package var key: String
        package var value: String

        package init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    /// Largest sum of key and value bytes, plus 32 for each entry, that a peer accepts.
    package static let maximumSize = 16 << 10
    /// What an entry costs beyond its bytes.
    static let entryOverhead = 32

    /// All pairs, in the order they were added.
    package var entries: [Entry]

    package init() {
        entries = []
    }

    package init(entries: [Entry]) {
        self.entries = entries
    }

    package init(dictionaryLiteral elements: (String, String)...) {
        entries = elements.map { Entry(key: $0.0, value: $0.1) }
    }

    /// The first value of `key`. Setting replaces all values of the key, nil removes them.
    package subscript(_ key: String) -> String? {
        get { entries.first { $0.key == key }?.value }
        set {
            entries.removeAll { $0.key == key }
            if let newValue { entries.append(Entry(key: key, value: newValue)) }
        }
    }

    /// Checks keys, values and size.
    ///
    /// - Returns: nil when the metadata may be sent, otherwise what is wrong with it. Values are not quoted.
    package func problem() -> String? {
        for entry in entries {
            guard Self.isValidKey(entry.key) else {
                return "metadata key must be 1...128 characters of a-z 0-9 _ - ., got \(entry.key.utf8.count) bytes"
            }
            guard entry.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                return "metadata value of \(entry.key) holds a control character"
            }
        }
        let size = size
        guard size <= Self.maximumSize else {
            return "metadata of \(size) bytes is larger than the limit of \(Self.maximumSize)"
        }
        return nil
    }

    /// What counts against ``maximumSize``.
    var size: Int {
        entries.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + Self.entryOverhead }
    }

    private static func isValidKey(_ key: String) -> Bool {
        (1...128).contains(key.utf8.count)
            && key.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
                    UInt8(ascii: "-"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}
