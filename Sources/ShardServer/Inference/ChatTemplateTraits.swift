import ChatTemplate

/// What a chat template makes of earlier tool calls, found by trying: templates differ, and do not say.
struct ChatTemplateTraits: Sendable {
    /// Whether arguments must be given as an object; else as the text of one.
    let wantsArgumentObjects: Bool
    /// Whether a message that has calls and no text must have an empty text; else none.
    let wantsEmptyContent: Bool

    private static let probe = "fathom_probe"

    init(_ template: ChatTemplate) {
        // Two messages take a template some hundred steps; one that wants more is not worth the time at loading.
        var limits = ChatTemplateLimits()
        limits.maxSteps = 100_000
        let template = template.with(limits)
        func render(_ arguments: JinjaValue, _ content: JinjaValue) -> String? {
            let call: JinjaValue = [
                "id": "call00001", "type": "function", "function": ["name": "probe", "arguments": arguments],
            ]
            let messages: [JinjaValue] = [
                ["role": "user", "content": "Hi"], ["role": "assistant", "content": content, "tool_calls": [call]],
            ]
            return try? template.render(
                messages: messages, addGenerationPrompt: false, variables: ["bos_token": "", "eos_token": ""],
                secondsSince1970: 0)
        }
        /// Arguments that were encoded twice have their quotes escaped.
        func shows(_ text: String?) -> Bool {
            text.map {
                $0.contains("\"\(Self.probe)\":") || $0.contains("'\(Self.probe)':") || $0.contains("\(Self.probe)=")
            }
                ?? false
        }
        let object: JinjaValue = [Self.probe: "x"]
        let text: JinjaValue = .string("{\"\(Self.probe)\": \"x\"}")
        let takesObject = shows(render(object, .none)) || shows(render(object, ""))
        let takesText = shows(render(text, .none)) || shows(render(text, ""))
        wantsArgumentObjects = takesObject || !takesText
        let arguments = wantsArgumentObjects ? object : text
        let (withNone, withEmpty) = (render(arguments, .none), render(arguments, ""))
        // A template may fail without text, leave the calls out, or write "None".
        wantsEmptyContent =
            withEmpty != nil
            && (withNone == nil || (shows(withEmpty) && !shows(withNone))
                || ((withNone?.contains("None") ?? false) && !(withEmpty?.contains("None") ?? false)))
    }
}
