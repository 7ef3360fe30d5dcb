import Engine
import InferenceCore
import ShardServer
import Testing
import WireProtocols

@Suite struct GenerationOutputTests {
    private let start = ContinuousClock.now

    private func output(
        _ sampling: SamplingParameters = .init(), stops: [String] = [], strings: [String] = [], echo: Bool = false
    ) -> GenerationOutput {
        GenerationOutput(
            model: ByteTokenizer(strings: strings).model, sampling: sampling, stops: stops,
            prompt: PreparedPrompt(tokenIDs: [104, 105]), echo: echo, endOfGeneration: [ByteTokenizer.end], start: start
        )
    }

    private func run(
        _ output: GenerationOutput, _ tokens: [TokenID], _ reason: FinishReason
    ) throws -> (text: String, ids: [TokenID], finished: Fathom_Shard_V1_Finished?) {
        var output = output
        var text = ""
        var ids: [TokenID] = []
        let events =
            [EngineEvent.started(promptLogprobs: nil, cachedTokens: 1)] + tokens.map { .token($0, nil) }
            + [.finished(reason)]
        for event in events {
            for message in try output.messages(for: event, now: start + .milliseconds(5)) {
                switch message.kind {
                case .delta(let delta):
                    text += delta.text
                    ids += delta.tokenIds
                case .finished(let finished): return (text, ids, finished)
                default: break
                }
            }
        }
        return (text, ids, nil)
    }

    @Test("a stop string across token boundaries ends the text before it and counts every sampled token")
    func stopAcrossTokens() throws {
        // "ab" "c<" "en" "d>" then more that must not count.
        let strings = ["ab", "c<", "en", "d>", "x"]
        let result = try run(output(stops: ["<end>"], strings: strings), [257, 258, 259, 260, 261], .length)
        #expect(result.text == "abc")
        #expect(result.finished?.reason == .stop)
        #expect(result.finished?.stopReason == "<end>")
        #expect(result.finished?.completionTokens == 4)
        #expect(result.finished?.promptTokens == 2)
    }

    @Test("an end-of-generation token counts but gives no text")
    func endToken() throws {
        let result = try run(output(), [104, 105, ByteTokenizer.end], .stop(ByteTokenizer.end))
        #expect(result.text == "hi")
        #expect(result.ids == [104, 105, ByteTokenizer.end])
        #expect(result.finished?.completionTokens == 3)
        #expect(result.finished?.reason == .stop)
        #expect(result.finished?.stopReason == "")
    }

    @Test("a stop token is named and its text withheld")
    func stopToken() throws {
        let result = try run(output(.init(stopTokenIDs: [33])), [104, 33], .stop(33))
        #expect(result.text == "h")
        #expect(result.finished?.stopReason == "token_id:33")
    }

    @Test("half a character at the end becomes one replacement character, a held stop prefix is given back")
    func tail() throws {
        #expect(try run(output(), [0xC3], .length).text == "\u{FFFD}")
        let held = try run(output(stops: ["hist"]), [104, 105], .length)
        #expect(held.text == "hi")
        #expect(held.finished?.reason == .length)
    }

    @Test("echo gives the prompt's ids, bytes and log-probabilities, the first one empty")
    func echo() throws {
        var output = output(echo: true)
        let logprob = TokenLogprob(tokenID: 105, logprob: -0.5, top: [TopLogprob(tokenID: 106, logprob: -0.25)])
        let messages = try output.messages(for: .started(promptLogprobs: [logprob], cachedTokens: 0), now: start)
        guard case .started(let started)? = messages.first?.kind else {
            Issue.record("no started message")
            return
        }
        #expect(started.promptTokens == 2)
        #expect(started.promptTokenIds == [104, 105])
        #expect(started.promptTokenBytes.map { [UInt8]($0) } == [[104], [105]])
        #expect(started.promptLogprobs.count == 2)
        #expect(started.promptLogprobs[0].token.isEmpty)
        #expect(Array(started.promptLogprobs[1].token) == [105])
        #expect(Array(started.promptLogprobs[1].top[0].token) == [106])
    }

    @Test("a failed generation throws its error")
    func failure() {
        var output = output()
        #expect(throws: InferenceError.self) {
            try output.messages(for: .failed(InferenceError(code: .shardUnavailable, message: "x")), now: start)
        }
    }
}
