import Foundation
import WireProtocols

/// Text completions in OpenAI's form.
package struct CompletionRenderer: GenerationRenderer {
    private struct Choice {
        var text = ""
        /// Unicode scalars sent before, for `text_offset`.
        var offset = 0
        var tokens: [ScoredToken] = []
        var finished: Fathom_Shard_V1_Finished?
    }

    /// A token of the prompt or the answer with its place in the text.
    private struct ScoredToken {
        /// nil for the prompt's first token, which nothing came before.
        var score: Fathom_Shard_V1_TokenLogprob?
        var id: UInt32
        var bytes: Data
        var offset: Int
    }

    private let envelope: ResponseEnvelope
    private let echo: Bool
    private var choices: [Choice]
    /// Set for streams, which need not keep what they have sent.
    package var isStreamed = false
    package private(set) var usage = Usage()

    /// - Parameters:
    ///   - choiceCount: of all prompts together.
    package init(envelope: ResponseEnvelope, echo: Bool, choiceCount: Int) {
        self.envelope = envelope
        self.echo = echo
        choices = Array(repeating: Choice(), count: choiceCount)
    }

    package mutating func chunks(for event: ChoiceEvent) -> [[UInt8]] {
        let index = event.index
        switch event.event.kind {
        case .started(let started):
            guard echo else { return [] }
            let text =
                started.promptTokenBytes.isEmpty
                ? "" : String(decoding: started.promptTokenBytes.joined(), as: UTF8.self)
            return emit(index, text: text, tokens: Self.promptTokens(started))
        case .delta(let delta):
            let tokens = delta.logprobs.map {
                ScoredToken(score: $0, id: $0.tokenID, bytes: $0.token, offset: 0)
            }
            return emit(index, text: delta.text, tokens: tokens)
        case .finished(let finished):
            usage.add(finished, choice: index % envelope.choicesPerPrompt)
            choices[index].finished = finished
            return isStreamed ? [chunk(index, text: "", tokens: [], finished: finished)] : []
        case nil:
            return []
        }
    }

    private static func promptTokens(_ started: Fathom_Shard_V1_Started) -> [ScoredToken] {
        started.promptTokenIds.indices.map { position in
            let bytes = position < started.promptTokenBytes.count ? started.promptTokenBytes[position] : Data()
            let isScored = position > 0 && position < started.promptLogprobs.count
            return ScoredToken(
                score: isScored ? started.promptLogprobs[position] : nil, id: started.promptTokenIds[position],
                bytes: bytes, offset: 0)
        }
    }

    /// Keeps or renders a piece of a choice.
    private mutating func emit(_ index: Int, text: String, tokens: [ScoredToken]) -> [[UInt8]] {
        let placed = envelope.wantsLogprobs ? place(tokens, index) : []
        guard !isStreamed else { return [chunk(index, text: text, tokens: placed, finished: nil)] }
        choices[index].text += text
        choices[index].tokens += placed
        return []
    }

    /// Gives each token its offset. A token that ends within a character counts for what it completes.
    private mutating func place(_ tokens: [ScoredToken], _ index: Int) -> [ScoredToken] {
        tokens.map { token in
            var token = token
            token.offset = choices[index].offset
            // Bytes that begin a character: all but UTF-8's continuation bytes.
            choices[index].offset += token.bytes.count { $0 & 0xC0 != 0x80 }
            return token
        }
    }

    private func chunk(
        _ index: Int, text: String, tokens: [ScoredToken], finished: Fathom_Shard_V1_Finished?
    ) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            envelope.write(to: &root, object: "text_completion")
            root.list(
                "choices",
                { array in
                    write(index, text: text, tokens: tokens, finished: finished, to: &array)
                })
            if envelope.includesUsage { root.member("usage", JSONValue.null) }
        }
        return writer.bytes
    }

    package func usageChunk() -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            envelope.write(to: &root, object: "text_completion")
            root.list("choices", { _ in })
            usage.write(to: &root)
        }
        return writer.bytes
    }

    package func response() -> [UInt8] {
        var writer = JSONWriter()
        writer.object { root in
            envelope.write(to: &root, object: "text_completion")
            root.list(
                "choices",
                { array in
                    for (index, choice) in choices.enumerated() {
                        write(
                            index, text: choice.text, tokens: choice.tokens, finished: choice.finished, to: &array)
                    }
                })
            usage.write(to: &root)
        }
        return writer.bytes
    }

    private func write(
        _ index: Int, text: String, tokens: [ScoredToken], finished: Fathom_Shard_V1_Finished?,
        to array: inout JSONWriter
    ) {
        array.object { choice in
            choice.member("index", index)
            choice.member("text", text)
            choice.name("logprobs")
            if envelope.wantsLogprobs && !(isStreamed && tokens.isEmpty) {
                write(tokens, to: &choice)
            } else {
                choice.null()
            }
            choice.name("finish_reason")
            guard let finished else { return choice.null() }
            choice.string(finished.reason.finishReason)
            if !finished.stopReason.isEmpty { choice.member("stop_reason", finished.stopReason) }
        }
    }

    private func write(_ tokens: [ScoredToken], to choice: inout JSONWriter) {
        let asID = envelope.returnsTokenIDs
        choice.object { object in
            object.list(
                "tokens",
                { list in
                    for token in tokens { list.string(TokenText.text(token.bytes, id: token.id, asID: asID)) }
                })
            object.list(
                "token_logprobs",
                { list in
                    for token in tokens {
                        if let score = token.score { list.float(score.logprob) } else { list.null() }
                    }
                })
            object.list(
                "top_logprobs",
                { list in
                    for token in tokens {
                        guard let score = token.score else {
                            list.null()
                            continue
                        }
                        write(top: score, asID: asID, to: &list)
                    }
                })
            object.list("text_offset", { list in for token in tokens { list.integer(token.offset) } })
        }
    }

    /// The likeliest tokens, and the one that is there when it is not among them.
    private func write(top score: Fathom_Shard_V1_TokenLogprob, asID: Bool, to list: inout JSONWriter) {
        list.object { object in
            var seen: Set<String> = []
            for top in score.top {
                let key = TokenText.key(top.token, id: top.tokenID, asID: asID)
                guard seen.insert(key).inserted else { continue }
                object.name(key)
                object.float(top.logprob)
            }
            let key = TokenText.key(score.token, id: score.tokenID, asID: asID)
            guard !seen.contains(key) else { return }
            object.name(key)
            object.float(score.logprob)
        }
    }
}
