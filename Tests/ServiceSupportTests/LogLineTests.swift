import Foundation
import Logging
import ServiceSupport
import Testing

struct LogLineTests {
    private let line = LogLine(service: "shard", instance: "shard-0")

    private func render(_ message: String, _ metadata: Logger.Metadata = [:]) -> String {
        line.render(
            time: Date(timeIntervalSince1970: 1_700_000_000.25), level: .warning, label: "engine", message: message,
            metadata: metadata)
    }

    @Test("a line has the time in UTC, the level, who speaks and the metadata in order")
    func form() {
        #expect(
            render("Step took long", ["sequence.id": "7", "milliseconds": "12.5"])
                == "time=2023-11-14T22:13:20.250Z level=warning service=shard instance=shard-0 scope=engine "
                + "msg=\"Step took long\" milliseconds=12.5 sequence.id=7\n")
    }

    @Test(
        "hostile text stays one line",
        arguments: [
            "a\nb", "a\r\nb", "a\u{2028}b", "a\u{1b}[31m", "a\u{0}b", "x=\"y", "\\", "a\u{85}b", "a level=error msg=b",
        ])
    func hostileText(text: String) {
        let result = render(text, ["key \(text)": "\(text)"])
        #expect(result.split(whereSeparator: \.isNewline).count == 1)
        #expect(result.hasSuffix("\n"))
        #expect(result.unicodeScalars.allSatisfy { $0.value >= 0x20 || $0 == "\n" })
        // An even number of quotes that are not escaped: every value that opens also closes.
        let unescaped = result.replacing("\\\\", with: "").replacing("\\\"", with: "")
        #expect(unescaped.count { $0 == "\"" }.isMultiple(of: 2))
    }

    @Test("a long value is cut")
    func longValue() {
        let result = LogLine.quoted(String(repeating: "x", count: 100_000))
        #expect(result.utf8.count <= LogLine.maxValueByteCount + 10)
        #expect(result.hasSuffix("…\""))
    }

    @Test("the handler merges metadata and honours the level")
    func handler() {
        let lines = Lines()
        var logger = Logger(
            label: "test",
            factory: { StructuredLogHandler(label: $0, line: line, level: .info, write: { lines.append($0) }) })
        logger[metadataKey: "request.id"] = "r1"
        logger.debug("hidden")
        logger.info("shown", metadata: ["a": "b"])
        #expect(lines.all.count == 1)
        #expect(lines.all.first?.contains("msg=shown a=b request.id=r1\n") == true)
    }

    private final class Lines: @unchecked Sendable {
        // Unchecked: guarded by the lock, which the compiler cannot see.
        private let lock = NSLock()
        private var lines: [String] = []

        var all: [String] { lock.withLock { lines } }

        func append(_ line: String) {
            lock.withLock { lines.append(line) }
        }
    }
}
