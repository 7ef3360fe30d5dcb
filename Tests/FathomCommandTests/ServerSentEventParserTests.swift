import FathomCommand
import Testing

struct ServerSentEventParserTests {
    private func parse(_ text: String, chunk: Int = .max) throws -> [ServerSentEvent] {
        var parser = ServerSentEventParser()
        let bytes = Array(text.utf8)
        var events: [ServerSentEvent] = []
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, chunk > bytes.count ? bytes.count : start + chunk)
            events += try parser.consume(bytes[start..<end])
            start = end
        }
        return events
    }

    @Test(
        "streams are cut into events",
        arguments: [
            ("data: a\n\n", [ServerSentEvent(data: "a")]),
            ("data:a\r\n\r\ndata: b\r\rdata:  c\n\n", [.init(data: "a"), .init(data: "b"), .init(data: " c")]),
            ("data: a\ndata: b\n\n", [.init(data: "a\nb")]),
            ("data\n\n", [.init(data: "")]),
            ("event: error\ndata: {}\n\ndata: x\n\n", [.init(name: "error", data: "{}"), .init(data: "x")]),
            (": comment\nid: 7\nretry: 5\nunknown: 1\n\n", []),
            ("\u{feff}data: a\n\n", [.init(data: "a")]),
            ("data: never ended\n", []),
            ("event: only\n\ndata: a\n\n", [.init(data: "a")]),
            ("data: a:b: c\n\n", [.init(data: "a:b: c")]),
        ])
    func events(_ text: String, _ expected: [ServerSentEvent]) throws {
        #expect(try parse(text) == expected)
    }

    @Test("where the bytes are cut makes no difference", arguments: [1, 2, 3, 5])
    func cuts(_ chunk: Int) throws {
        let text = "event: message\r\ndata: Zürich – 深い\r\ndata: 🙂\r\n\r\ndata: [DONE]\r\r\n"
        #expect(try parse(text, chunk: chunk) == [.init(data: "Zürich – 深い\n🙂"), .init(data: "[DONE]")])
    }

    @Test("a line without an end is refused at the limit")
    func tooLong() throws {
        var parser = ServerSentEventParser()
        let block = [UInt8](repeating: UInt8(ascii: "x"), count: ServerSentEventParser.maximumBytes)
        _ = try parser.consume(block)
        #expect(throws: ServerSentEventParser.TooLong.self) { try parser.consume([UInt8(ascii: "x")]) }
    }
}
