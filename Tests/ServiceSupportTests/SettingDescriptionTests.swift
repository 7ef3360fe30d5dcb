import Foundation
import ServiceSupport
import Testing

struct SettingDescriptionTests {
    private enum Mode: String, CaseIterable { case slow, fast }

    private let flags: ServiceFlags = [
        "count": nil as Int?, "ratio": nil as Double?, "pause": nil as String?, "mode": nil as String?,
        "path": nil as String?, "peers": nil as String?, "switch": nil as Bool?, "open": nil as Int?,
    ]

    @Test("a setting's bounds are those with which it is read, and what is needed counts as given")
    func bounds() throws {
        let settings = try ServiceConfiguration(
            describing: "test", options: .parsing([]), flags: flags, fileOnlyKeys: ["extra"], defaultPort: 1)
        #expect(try settings.int("count", default: 3, in: 1...65_536) == 3)
        #expect(try settings.double("ratio", default: 0.5, in: 0...2) == 0.5)
        #expect(
            try settings.duration("pause", default: .seconds(1), in: .milliseconds(200)...(.seconds(60))) == .seconds(1)
        )
        #expect(try settings.choice("mode", default: Mode.fast) == .fast)
        #expect(try settings.bool("switch", default: true))
        #expect(try settings.int("open") == nil)
        #expect(try settings.strings("peers") == [])
        #expect(try !settings.requiredString("path", hint: "needed").isEmpty)
        let described = Dictionary(uniqueKeysWithValues: settings.descriptions.map { ($0.key, $0) })
        #expect(described["count"] == SettingDescription(key: "count", kind: .integer, minimum: 1, maximum: 65_536))
        #expect(described["ratio"] == SettingDescription(key: "ratio", kind: .number, minimum: 0, maximum: 2))
        #expect(described["pause"] == SettingDescription(key: "pause", kind: .seconds, minimum: 0.2, maximum: 60))
        #expect(described["mode"] == SettingDescription(key: "mode", kind: .choice, choices: ["slow", "fast"]))
        #expect(described["switch"]?.kind == .boolean)
        #expect(described["open"] == SettingDescription(key: "open", kind: .integer))
        #expect(described["peers"]?.kind == .list)
        #expect(described["path"]?.kind == .text)
        #expect(described["extra"]?.kind == .text)
        // The common ones are read by every configuration.
        #expect(described["port"] == SettingDescription(key: "port", kind: .integer, minimum: 0, maximum: 65_535))
    }

    @Test("the origin of a value is named as its user wrote it")
    func origins() throws {
        func settings(_ environment: [String: String] = [:], _ flags: ServiceFlags = [:]) throws -> ServiceConfiguration
        {
            try ServiceConfiguration(
                service: "test", options: .parsing([]), flags: self.flags.merging(flags), environment: environment)
        }
        #expect(try settings().origin(of: "count") == "--count")
        #expect(try settings(["FATHOM_TEST_COUNT": "1"]).origin(of: "count") == "FATHOM_TEST_COUNT")
        #expect(try settings(["FATHOM_TEST_COUNT": "1"], ["count": 2]).origin(of: "count") == "--count")
    }
}
