import Identity
import Testing

struct APIKeyTests {
    @Test("a new key has the documented form and is never the same twice")
    func generation() {
        let keys = (0..<100).map { _ in APIKey.generate().plainText }
        #expect(Set(keys).count == 100)
        for key in keys {
            #expect(key.hasPrefix("fk-"))
            #expect(key.utf8.count == APIKey.length)
            #expect(APIKey(key)?.plainText == key)
        }
    }

    @Test(
        "text of another form is no key",
        arguments: [
            "", "fk-", "sk-" + String(repeating: "a", count: 43), "fk-" + String(repeating: "a", count: 42),
            "fk-" + String(repeating: "a", count: 44), "fk-" + String(repeating: "+", count: 43),
        ])
    func malformed(_ text: String) {
        #expect(APIKey(text) == nil)
    }

    @Test("the digest is SHA-256 of the whole key")
    func digest() throws {
        let key = try #require(APIKey("fk-" + String(repeating: "A", count: 43)))
        // printf 'fk-AAA…' | sha256sum
        #expect(key.sha256 == "6f49996c97088422bc32167f0cb7a4ae17159c6ccba09869a2841de8b755af5a")
        #expect(Hex.decode(key.sha256) == key.digest)
    }

    @Test("hex refuses odd lengths and other characters")
    func hex() {
        #expect(Hex.decode("abc") == nil)
        #expect(Hex.decode("zz") == nil)
        #expect(Hex.decode("00fFA1") == [0, 255, 161])
        #expect(Hex.encode([0, 255, 161]) == "00ffa1")
    }

    @Test(
        "tenant names keep to their rule",
        arguments: [
            ("acme", true), ("a.b_c-D9", true), ("", false), (".hidden", false), ("a/b", false), ("a b", false),
            ("ünïcode", false), (String(repeating: "a", count: 64), true), (String(repeating: "a", count: 65), false),
        ])
    func tenantNames(_ name: String, _ valid: Bool) {
        #expect(TenantName.isValid(name) == valid)
    }
}
