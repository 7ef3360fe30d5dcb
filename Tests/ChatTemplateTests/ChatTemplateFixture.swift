import ChatTemplate
import Foundation
import Testing

/// Templates with what Jinja2 makes of them (Tests/Fixtures/chattemplate/generate.py).
struct ChatTemplateFixture {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let template: String
        let variables: [String: JinjaValue]
        /// nil when rendering fails.
        let expected: String?
        /// What the template raised, nil when it failed otherwise.
        let raised: String?

        var testDescription: String { name }
    }

    let now: Double
    let cases: [Case]
    let errors: [Case]

    static func load() throws -> ChatTemplateFixture {
        let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let url = directory.appendingPathComponent("Fixtures/chattemplate/cases.json")
        let root = try JinjaValue(json: String(decoding: try Data(contentsOf: url), as: UTF8.self))
        guard case .object(let object) = root, case .int(let now) = object["now"],
            case .array(let cases) = object["cases"], case .array(let errors) = object["errors"]
        else { throw CocoaError(.coderInvalidValue) }
        return ChatTemplateFixture(
            now: Double(now), cases: try cases.map(Self.testCase), errors: try errors.map(Self.testCase))
    }

    private static func testCase(_ value: JinjaValue) throws -> Case {
        guard case .object(let object) = value, case .string(let name) = object["name"],
            case .string(let template) = object["template"], case .object(let variables) = object["variables"]
        else { throw CocoaError(.coderInvalidValue) }
        func string(_ key: String) -> String? { if case .string(let text) = object[key] { text } else { nil } }
        return Case(
            name: name, template: template,
            variables: Dictionary(uniqueKeysWithValues: variables.keys.map { ($0, variables[$0] ?? .none) }),
            expected: string("expected"), raised: string("raised"))
    }
}
