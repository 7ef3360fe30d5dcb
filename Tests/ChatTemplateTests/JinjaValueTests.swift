import ChatTemplate
import Testing

@Suite("JinjaValue")
struct JinjaValueTests {
    @Test("JSON becomes values, with the order of keys")
    func json() throws {
        let value = try JinjaValue(
            json: #" {"b": [1, -2.5, 1e3, true, null], "a": "é\u00e9\ud83d\ude00\n", "b2": {}} "#)
        #expect(value == ["b": [1, -2.5, 1000.0, true, nil], "a": "éé😀\n", "b2": [:]])
        guard case .object(let object) = value else {
            Issue.record("not an object")
            return
        }
        #expect(object.keys == ["b", "a", "b2"])
        #expect(try JinjaValue(json: "1000000000000000000000000000000") == .double(1e30))
    }

    @Test(
        "invalid JSON is refused",
        arguments: [
            "", "{", "[1,]", "{\"a\" 1}", "01", "1.", "-", "tru", "\"a", "\"\\x\"", "\"\\ud800\"", "1 2", "\"\n\"",
            "1e999",
            String(repeating: "[", count: 10_000), "[1", "{\"a\":1,}", "'a'",
        ])
    func invalid(text: String) {
        #expect { try JinjaValue(json: text) } throws: { ($0 as? ChatTemplateError)?.code == .invalidJSON }
    }

    @Test("setting nil removes a key, setting a value keeps its place")
    func object() {
        var object: JinjaObject = ["a": 1, "b": 2]
        object["a"] = 3
        object["b"] = nil
        object["zz"] = nil
        #expect(object == ["a": 3])
        #expect(object.keys == ["a"])
    }
}
