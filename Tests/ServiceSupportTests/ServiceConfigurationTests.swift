import Foundation
import Logging
import ServiceSupport
import Testing

struct ServiceConfigurationTests {
    /// Loads settings of an imaginary service "test" from the given sources.
    private func load(
        _ arguments: [String] = [], flags: ServiceFlags = [:], environment: [String: String] = [:],
        yaml: String? = nil
    ) throws -> ServiceConfiguration {
        let declared: ServiceFlags = [
            "threads": nil as Int?, "ratio": nil as String?, "peers": nil as String?, "next": nil as String?,
        ]
        guard let yaml else {
            return try ServiceConfiguration(
                service: "test", options: .parsing(arguments), flags: declared.merging(flags), environment: environment)
        }
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID()).yaml")
        try Data(yaml.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        return try ServiceConfiguration(
            service: "test", options: .parsing(arguments + ["--config", file.path]), flags: declared.merging(flags),
            environment: environment)
    }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "(no error)"
        } catch {
            return "\(error)"
        }
    }

    @Test("flags win over the environment, the environment over the file, the file over the default")
    func precedence() throws {
        let variable = ["FATHOM_TEST_THREADS": "3"]
        let file = "threads: 2\n"
        let all = try load(flags: ["threads": 4], environment: variable, yaml: file)
        #expect(try all.int("threads", default: 1) == 4)
        #expect(try load(environment: variable, yaml: file).int("threads", default: 1) == 3)
        #expect(try load(yaml: file).int("threads", default: 1) == 2)
        #expect(try load().int("threads", default: 1) == 1)
    }

    @Test("the common settings have their defaults and come from every source")
    func common() throws {
        let defaults = try load().common
        #expect(defaults.host == "127.0.0.1")
        #expect(defaults.port == 0)
        #expect(defaults.instance == "test")
        #expect(defaults.monitor == nil)
        #expect(defaults.tls == nil)
        #expect(defaults.drainTimeout == .seconds(20))
        let given = try load(
            ["--port", "7000", "--instance", "test-1"], environment: ["FATHOM_TEST_LOG_LEVEL": "debug"],
            yaml: "host: 0.0.0.0\nport: 1\ndrain-timeout: 1500ms\n"
        ).common
        #expect(given.port == 7000)
        #expect(given.instance == "test-1")
        #expect(given.logLevel == .debug)
        #expect(given.host == "0.0.0.0")
        #expect(given.drainTimeout == .milliseconds(1500))
    }

    @Test("an unknown key is refused with the key that was probably meant")
    func unknownKey() {
        let text = message { _ = try load(yaml: "# comment\nthread: 2\n") }
        #expect(text.contains("unknown key \"thread\""))
        #expect(text.contains("did you mean \"threads\"?"))
        #expect(message { _ = try load(yaml: "log_level: info") }.contains("did you mean \"log-level\"?"))
        #expect(!message { _ = try load(yaml: "zzzzzzzzzzzzz: info") }.contains("did you mean"))
        #expect(message { _ = try load(yaml: "tls:\n  key: a") }.contains("unknown key \"tls.key\""))
    }

    @Test("a bad value names its key, its source, what was got and what is expected")
    func badValues() throws {
        let environment = ["FATHOM_TEST_THREADS": "many"]
        #expect(
            message { _ = try load(environment: environment).int("threads", default: 1, in: 1...64) }
                == "FATHOM_TEST_THREADS: got \"many\", expected a whole number in 1...64")
        #expect(
            message { _ = try load(flags: ["threads": 65]).int("threads", default: 1, in: 1...64) }
                == "--threads: got \"65\", expected a whole number in 1...64")
        let inFile = message { _ = try load(yaml: "threads: [1, 2]").int("threads", default: 1) }
        #expect(inFile.hasSuffix("threads: got a list or a group, expected one value"))
        #expect(message { _ = try load(["--port", "70000"]) }.contains("in 0...65535"))
        #expect(message { _ = try load(["--log-level", "loud"]) }.contains("one of trace, debug, info"))
        #expect(message { _ = try load(["--instance", "a b"]) }.contains("--instance: got \"a b\""))
        #expect(message { _ = try load(["--monitor", "nowhere"]) }.contains("--monitor: got \"nowhere\""))
        #expect(message { _ = try load(["--tls-key", "k.pem"]) }.contains("--tls-certificate is needed"))
        #expect(
            message { _ = try load(flags: ["ratio": "nan"]).double("ratio", default: 1, in: 0...2) }
                .contains("a number in 0.0...2.0"))
        #expect(
            message { _ = try load().requiredString("next", hint: "the next stage") }
                == "--next (or FATHOM_TEST_NEXT) is needed: the next stage")
    }

    @Test("an empty value means the default, from whatever source")
    func emptyMeansUnset() throws {
        #expect(try load(environment: ["FATHOM_TEST_NEXT": ""]).string("next") == nil)
        #expect(try load(yaml: "next:\n").string("next") == nil)
        #expect(try load(flags: ["threads": ""], yaml: "threads: 9").int("threads", default: 5) == 5)
    }

    @Test("a list is a sequence in the file, a repeated flag, and comma-separated elsewhere")
    func lists() throws {
        #expect(try load(yaml: "peers: [a, b ]").strings("peers") == ["a", "b"])
        #expect(try load(yaml: "peers: a, b").strings("peers") == ["a", "b"])
        #expect(try load(environment: ["FATHOM_TEST_PEERS": "a,,b"]).strings("peers") == ["a", "b"])
        #expect(try load(flags: ["peers": "x"], yaml: "peers: [a, b]").strings("peers") == ["x"])
        #expect(
            try load(flags: ["peers": ["a,b", "c"] as [String]], yaml: "peers: x").strings("peers") == ["a,b", "c"])
        #expect(try load(flags: ["peers": [] as [String]], yaml: "peers: x").strings("peers") == ["x"])
        #expect(try load().strings("peers") == [])
    }

    @Test("a file of comments is fine, a file that is no mapping is not, a missing file is named")
    func files() throws {
        #expect(try load(yaml: "# all\n  # comments\n\n").common.port == 0)
        #expect(try load(yaml: "").common.port == 0)
        #expect(message { _ = try load(yaml: "- a\n- b\n") }.contains("not a YAML mapping"))
        #expect(message { _ = try load(yaml: "port: [\n") }.contains("not a YAML mapping"))
        #expect(message { _ = try load(["--config", "/nonexistent/x.yaml"]) }.contains("/nonexistent/x.yaml"))
    }

    @Test(
        "durations read with units",
        arguments: [
            ("500ms", Duration.milliseconds(500)), ("20s", .seconds(20)), ("5m", .seconds(300)), ("1h", .seconds(3600)),
            ("7", .seconds(7)), ("1.5s", .milliseconds(1500)),
        ])
    func durations(text: String, expected: Duration) {
        #expect(ServiceConfiguration.duration(parsing: text) == expected)
    }

    @Test(
        "what is no duration is refused",
        arguments: ["", "s", "-1s", "1 s", "inf", "nan", "0x10", "1d", "1e3", "9999999999h"])
    func notDurations(text: String) {
        #expect(ServiceConfiguration.duration(parsing: text) == nil)
    }

    @Test(
        "switches read in the usual spellings",
        arguments: [("yes", true), ("ON", true), ("1", true), ("false", false), ("no", false)])
    func switches(text: String, expected: Bool) throws {
        #expect(try load(yaml: "next: \(text)").bool("next", default: !expected) == expected)
    }
}
