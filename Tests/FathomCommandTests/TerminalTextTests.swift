import FathomCommand
import Foundation
import ModelRegistry
import NIOCore
import Testing

struct TerminalTextTests {
    @Test(
        "what a terminal would obey is shown instead",
        arguments: [
            ("\u{1B}]0;owned\u{07}", "\\u{1B}]0;owned\\u{7}"), ("a\u{202E}gpj.exe", "a\\u{202E}gpj.exe"),
            ("a\rb", "a\\u{D}b"), ("a\u{9B}31m", "a\\u{9B}31m"), ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
            ("a\u{2028}b", "a\\u{2028}b"), ("\u{7F}\u{0}", "\\u{7F}\\u{0}"), ("\u{FEFF}", "\\u{FEFF}"),
        ])
    func escapes(_ text: String, _ shown: String) {
        #expect(TerminalText.escaped(text) == shown)
        #expect(TerminalText.line(text).unicodeScalars.allSatisfy { !("\u{0}"..."\u{1F}").contains($0) })
    }

    @Test(
        "ordinary text stays as it is, in any language",
        arguments: ["", "naïve\tcafé\nline", "员工手册", "👨‍👩‍👧 שלום مرحبا", "نمی‌خواهم", "a\u{200F}b"])
    func keeps(_ text: String) {
        #expect(TerminalText.escaped(text) == text)
    }

    @Test("line ends of other systems become ours, and a name is one line")
    func lines() {
        #expect(TerminalText.escaped("a\r\nb\r\n") == "a\nb\n")
        #expect(TerminalText.line("a\r\nb\tc") == "a\\r\\nb\\tc")
    }

    @Test("JSON says the same with its own escapes")
    func json() throws {
        let value = ["n": "\u{202E}x\u{7F}\u{E0041}é"]
        let text = String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
        let shown = TerminalText.json(text)
        #expect(shown.contains("\\u202e") && !shown.contains("\u{202E}"))
        #expect(try JSONDecoder().decode([String: String].self, from: Data(shown.utf8)) == value)
    }
}

struct ErrorTextTests {
    private struct Shape: Decodable { var port: Int }

    @Test("errors of other modules are sentences, without names of types and cases")
    func sentences() {
        let errors: [any Error] = [
            IOError(errnoCode: ECONNREFUSED, reason: "connect"), ChannelError.connectTimeout(.seconds(5)),
            CocoaError(.fileReadNoSuchFile), POSIXError(.ENOSPC), CommandError(.fileUnavailable, "cannot write x"),
            ModelRegistryError(code: .downloadFailed, message: "no answer"),
        ]
        for error in errors {
            let text = ErrorText.describe(error)
            #expect(text.contains(" "), "\(text)")
            for word in ["Error", "errno", "Domain", "fileUnavailable", "downloadFailed", "connectTimeout("] {
                #expect(!text.contains(word), "\(text)")
            }
        }
        #expect(ErrorText.describe(POSIXError(.ENOSPC)) == "No space left on device")
        do {
            _ = try JSONDecoder().decode(Shape.self, from: Data(#"{"port": "x"}"#.utf8))
        } catch {
            #expect(ErrorText.describe(error) == "port is not what it should be")
        }
    }
}
