import Foundation
import ServiceSupport
import Testing

struct ReadyFileTests {
    @Test("the file holds one line of JSON with address, pid and what the service adds")
    func content() throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).json")
        defer { try? FileManager.default.removeItem(at: file) }
        try ReadyFile.write(to: file.path, host: "127.0.0.1", port: 7300, extra: ["http_port": 7301])
        let text = try String(contentsOf: file, encoding: .utf8)
        #expect(text.count { $0 == "\n" } == 1)
        let fields = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(fields["host"] as? String == "127.0.0.1")
        #expect(fields["port"] as? Int == 7300)
        #expect(fields["http_port"] as? Int == 7301)
        #expect(fields["pid"] as? Int == Int(ProcessInfo.processInfo.processIdentifier))
    }

    @Test("a directory that does not exist is an error")
    func missingDirectory() {
        #expect(throws: (any Error).self) {
            try ReadyFile.write(to: "/nonexistent/ready.json", host: "h", port: 1)
        }
    }
}
