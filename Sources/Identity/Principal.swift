/// Who is asking: made once, by the gateway, from an API key, and carried through every hop.
package struct Principal: Sendable, Hashable {
    /// Who is isolated and who pays.
    package var tenant: String
    /// The key that proved it; safe to log.
    package var keyID: String

    package init(tenant: String, keyID: String) {
        self.tenant = tenant
        self.keyID = keyID
    }
}

/// The rule for tenant names: they become metadata values, file names and metric-free log fields.
package enum TenantName {
    /// Longest name accepted, in characters.
    package static let maximumLength = 64

    /// Whether `name` is 1...64 characters of `A-Z a-z 0-9 . _ -`, not starting with a dot.
    package static func isValid(_ name: String) -> Bool {
        guard (1...maximumLength).contains(name.utf8.count), name.utf8.first != UInt8(ascii: ".") else { return false }
        return name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}
