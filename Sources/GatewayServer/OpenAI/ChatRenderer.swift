import Foundation
import WireProtocols

/// Chat completions in OpenAI's form.
package struct ChatRenderer: GenerationRenderer {
    private struct Choice {
        var text = ""
        var reasoning = ""
        var toolCalls: [Fathom_Shard_V1_ToolCall] = []
        var logprobs: [Fathom_Shard_V1_TokenLogprob] = []
        var finished: Fathom_Shard_V1_Finished?
        var annotations: [Annotation] = []
    }

    private let envelope: ResponseEnvelope
    private let evidence: [Evidence]
    private var choices: [Choice]
    /// The sources go out once, with the first chunk.
    private var hasSentSources = false
    package private(set) var usage = Usage()

    /// - Parameters:
    ///   - evidence: what was put into the prompt; nil when the request did not ask for a search.
    package init(envelope: ResponseEnvelope, evidence: [Evidence]?) {
        self.envelope = envelope
        self.evidence = evidence ?? []
        choices = Array(repeating: Choice(), count: envelope.choicesPerPrompt)
    }

    package mutating func chunks(for event: ChoiceEvent) -> [[UInt8]] {
        let index = event.index
        switch event.event.kind {
        case .started:
            guard isStreamed else { return [] }
            let sendsSources = !hasSentSources && !evidence.isEmpty
            hasSentSources = true
            return [
                chunk(index, sources: sendsSources) { delta in
                    delta.member("role", "assistant")
                    delta.member("content", "")
                }
            ]
        case .delta(let delta):
            if !evidence.isEmpty || !isStreamed { choices[index].text += delta.text }
            guard isStreamed else {
                choices[index].reasoning += delta.reasoning
                choices[index].toolCalls += delta.toolCalls
                choices[index].logprobs += delta.logprobs
                return []
            }
            return chunks(index, for: delta)
        case .finished(let finished):
            usage.add(finished, choice: index)
            choices[index].finished = finished
            choices[index].annotations = Citations.annotations(answer: choices[index].text, evidence: evidence)
            guard isStreamed else { return [] }
            var chunks: [[UInt8]] = []
            let annotations = choices[index].annotations
            if !annotations.isEmpty {
                chunks.append(
                    chunk(index) { delta in
                        delta.list("annotations", { for item in annotations { item.write(to: &$0) } })
                    })
            }
            chunks.append(chunk(index, finished: finished) { _ in })
            return chunks
        case nil:
            return []
        }
    }

    /// One chunk for each kind of part, in order; the first carries the log-probabilities. Text that only begins to come,
    /// such as half a character or what may become a tag, gives no chunk.
    private func chunks(_ index: Int, for delta: Fathom_Shard_V1_Delta) -> [[UInt8]] {
        var parts: [(inout JSONWriter) -> Void] = []
        if !delta.reasoning.isEmpty { parts.append { $0.member("reasoning_content", delta.reasoning) } }
        let isLogprobOnly = envelope.wantsLogprobs && parts.isEmpty && delta.toolCalls.isEmpty
        if !delta.text.isEmpty || isLogprobOnly { parts.append { $0.member("content", delta.text) } }
        if !delta.toolCalls.isEmpty { parts.append { Self.write(delta.toolCalls, isStreamed: true, to: &$0) } }
        return parts.enumerated().map { position, part in
            chunk(index, logprobs: position == 0 ? delta.logprobs : [], delta: part)
        }
    }

    private static func write(_ calls: [Fathom_Shard_V1_ToolCall], isStreamed: Bool, to message: inout JSONWriter) {
        message.list(
            "tool_calls",
            { list in
                for call in calls {
                    list.object { object in
                        if isStreamed { object.member("index", Int(call.index)) }
                        object.member("id", call.id)
                        object.member("type", "function")
                        object.member("function") { function in
                            function.member("name", call.name)
                            function.member("arguments", call.arguments)
                        }
                    }
                }
            })
    }

    /// Set for streams, which need not keep what they have sent.
    package var isStreamed = false

    private func chunk(
        _ index: Int, logprobs: [Fathom_Shard_V1_TokenLogprob] = [], finished: Fathom_Shard_V1_Finished? = nil,
        sources: Bool = false, delta: (inout JSONWriter) -> Void
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            envelope.write(to: &root, object: "chat.completion.chunk")
            root.list(
                "choices",
                { choices in
                    choices.object { choice in
                        choice.member("index", index)
                        choice.member("delta", delta)
                        write(logprobs: logprobs, to: &choice)
                        write(finished: finished, to: &choice)
                    }
                })
            if envelope.includesUsage { root.member("usage", JSONValue.null) }
            if sources { Evidence.write(evidence, to: &root) }
        }
        return writer.bytes
    }

    package func usageChunk() -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            envelope.write(to: &root, object: "chat.completion.chunk")
            root.list("choices", { _ in })
            usage.write(to: &root)
        }
        return writer.bytes
    }

    package func response() -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            envelope.write(to: &root, object: "chat.completion")
            root.list(
                "choices",
                { array in
                    for (index, choice) in choices.enumerated() {
                        array.object { object in
                            object.member("index", index)
                            object.member("message") { message in
                                message.member("role", "assistant")
                                if choice.text.isEmpty && !choice.toolCalls.isEmpty {
                                    message.member("content", JSONValue.null)
                                } else {
                                    message.member("content", choice.text)
                                }
                                if !choice.reasoning.isEmpty {
                                    message.member("reasoning_content", choice.reasoning)
                                }
                                if !choice.toolCalls.isEmpty {
                                    Self.write(choice.toolCalls, isStreamed: false, to: &message)
                                }
                                message.member("refusal", JSONValue.null)
                                message.list(
                                    "annotations",
                                    {
                                        for item in choice.annotations { item.write(to: &$0) }
                                    })
                            }
                            write(logprobs: choice.logprobs, to: &object)
                            write(finished: choice.finished, to: &object)
                        }
                    }
                })
            usage.write(to: &root)
            if !evidence.isEmpty { Evidence.write(evidence, to: &root) }
        }
        return writer.bytes
    }

    private func write(finished: Fathom_Shard_V1_Finished?, to choice: inout JSONWriter) {
        choice.name("finish_reason")
        guard let finished else { return choice.null() }
        choice.string(finished.reason.finishReason)
        if !finished.stopReason.isEmpty { choice.member("stop_reason", finished.stopReason) }
    }

    private func write(logprobs: [Fathom_Shard_V1_TokenLogprob], to choice: inout JSONWriter) {
        choice.name("logprobs")
        guard envelope.wantsLogprobs, !logprobs.isEmpty else { return choice.null() }
        choice.object { object in
            object.list(
                "content",
                { content in
                    for token in logprobs {
                        content.object { entry in
                            let text = TokenText.text(token.token, id: token.tokenID, asID: envelope.returnsTokenIDs)
                            entry.member("token", text)
                            entry.name("logprob")
                            entry.float(token.logprob)
                            entry.list("bytes", { for byte in token.token { $0.integer(Int(byte)) } })
                            entry.list(
                                "top_logprobs",
                                { tops in
                                    for top in token.top {
                                        tops.object { alternative in
                                            let text = TokenText.text(
                                                top.token, id: top.tokenID, asID: envelope.returnsTokenIDs)
                                            alternative.member("token", text)
                                            alternative.name("logprob")
                                            alternative.float(top.logprob)
                                            alternative.list(
                                                "bytes",
                                                {
                                                    for byte in top.token { $0.integer(Int(byte)) }
                                                })
                                        }
                                    }
                                })
                        }
                    }
                })
            object.member("refusal", JSONValue.null)
        }
    }
}
