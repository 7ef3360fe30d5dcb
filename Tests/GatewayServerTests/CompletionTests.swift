import Foundation
import GatewayServer
import Testing
import Wire
import WireProtocols

struct CompletionTests {
    @Test("a completion has OpenAI's shape and the head's counts")
    func basic() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/completions", ["model": "tiny-instruct", "prompt": "one two three", "max_tokens": 8])
            #expect(reply.status == 200)
            let json = try reply.json
            #expect(json["object"] == "text_completion")
            #expect(json["id"]?.string?.hasPrefix("cmpl-") == true)
            #expect(json["model"] == "tiny-instruct")
            #expect(json["system_fingerprint"] == "fp_abababababab")
            #expect(json["choices"]?[0]?["text"] == "Hello world.")
            #expect(json["choices"]?[0]?["finish_reason"] == "stop")
            #expect(json["choices"]?[0]?["logprobs"] == .null)
            #expect(
                json["usage"] == [
                    "prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6,
                    "prompt_tokens_details": ["cached_tokens": 1],
                ])
            #expect(gateway.head.seen.tenants == ["acme"])
            #expect(gateway.head.seen.requests[0].principal.tenant == "acme")
            #expect(reply.headers["x-request-id"]?.isEmpty == false)
        }
    }

    @Test("a top_p of 0 is greedy")
    func zeroTopP() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post("/v1/completions", ["prompt": "x", "top_p": 0, "temperature": 1.5])
            #expect(reply.status == 200)
            #expect(gateway.head.seen.requests.last?.sampling.temperature == 0)
            #expect(gateway.head.seen.requests.last?.sampling.topP == 1)
        }
    }

    @Test("any integer is a seed, also one that 64 bits do not hold")
    func seeds() async throws {
        try await withGateway { gateway in
            var seen: Set<UInt64> = []
            let seeds = [
                "0", "-1", "9007199254740992", "9007199254740993", "9223372036854775807", "-9223372036854775808",
                "9223372036854775808", "18446744073709551616", "100000000000000000000", "-100000000000000000000",
            ]
            for seed in seeds {
                for _ in 0..<2 {
                    let body = "{\"prompt\": \"x\", \"temperature\": 1, \"n\": 3, \"seed\": \(seed)}"
                    let reply = try await gateway.send(
                        "POST", "/v1/completions", headers: ["Cache-Control": "no-store"], body: Array(body.utf8))
                    #expect(reply.status == 200, "\(seed)")
                }
                let sent = gateway.head.seen.requests.suffix(6).map(\.sampling.seed)
                #expect(Set(sent).count == 3, "\(seed): the same again gives the same seeds")
                seen.formUnion(sent)
            }
            // n = 3 of 0 and -1, and of neighbours, share some.
            #expect(seen.count > 2 * seeds.count)
            for seed in ["1.5", "\"1\"", "true", "[]", "1e400"] {
                let body = "{\"prompt\": \"x\", \"seed\": \(seed)}"
                #expect(try await gateway.send("POST", "/v1/completions", body: Array(body.utf8)).status == 400)
            }
        }
    }

    @Test("every parameter reaches the head")
    func parameters() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/completions",
                [
                    "model": "tiny-instruct", "prompt": [1, 2, 3], "max_tokens": 5, "temperature": 0.25, "top_p": 0.5,
                    "top_k": 40, "min_p": 0.1, "presence_penalty": -1, "frequency_penalty": 0.5,
                    "repetition_penalty": 1.2, "logit_bias": ["7": -100, "9": 2.5], "seed": -3, "stop": ["a", "b"],
                    "ignore_eos": true, "user": "ignored", "unknown": ["ignored": true], "n": 2, "best_of": 2,
                    "logprobs": 3,
                ])
            #expect(reply.status == 200)
            let requests = gateway.head.seen.requests.sorted { $0.sampling.seed < $1.sampling.seed }
            #expect(requests.count == 2)
            let sampling = requests[0].sampling
            #expect(requests[0].prompt.tokens.ids == [1, 2, 3])
            #expect(sampling.maxTokens == 5)
            #expect(sampling.temperature == 0.25)
            #expect(sampling.topP == 0.5)
            #expect(sampling.topK == 40)
            #expect(sampling.minP == 0.1)
            #expect(sampling.presencePenalty == -1)
            #expect(sampling.frequencyPenalty == 0.5)
            #expect(sampling.repetitionPenalty == 1.2)
            #expect(sampling.logitBias == [7: -100, 9: 2.5])
            #expect(sampling.seed == UInt64(bitPattern: -3))
            #expect(requests[1].sampling.seed == UInt64(bitPattern: -2))
            #expect(sampling.stop == ["a", "b"])
            #expect(sampling.ignoreEos)
            #expect(sampling.logprobs == 3)
            #expect(sampling.promptLogprobs == -1)
        }
    }

    @Test("prompts in a batch and n keep their indices, and each prompt counts once")
    func batches() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/completions",
                ["model": "tiny-instruct", "prompt": ["one", "one two", "one two three"], "n": 2, "max_tokens": 2])
            let json = try reply.json
            #expect(json["choices"]?.array?.compactMap { $0["index"]?.integer } == [0, 1, 2, 3, 4, 5])
            #expect(json["choices"]?.array?.allSatisfy { $0["finish_reason"] == "length" } == true)
            #expect(json["usage"]?["prompt_tokens"] == 6)
            #expect(json["usage"]?["completion_tokens"] == 12)
            #expect(json["usage"]?["prompt_tokens_details"]?["cached_tokens"] == 3)
            let nested = try await gateway.post(
                "/v1/completions", ["model": "tiny-instruct", "prompt": [[1, 2], [3]], "max_tokens": 1])
            #expect(try nested.json["choices"]?.array?.count == 2)
        }
    }

    @Test("echo with logprobs scores the prompt: the first token has none, keys are token ids when asked")
    func echo() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/completions",
                [
                    "model": "tiny-instruct", "prompt": [11, 12, 13], "max_tokens": 0, "echo": true, "logprobs": 2,
                    "return_tokens_as_token_ids": true, "temperature": 0,
                ])
            #expect(reply.status == 200)
            let choice = try #require(try reply.json["choices"]?[0])
            #expect(choice["text"] == "<11><12><13>")
            let logprobs = try #require(choice["logprobs"])
            #expect(logprobs["tokens"] == ["token_id:11", "token_id:12", "token_id:13"])
            #expect(logprobs["token_logprobs"] == [nil, -0.5, -0.5])
            #expect(logprobs["top_logprobs"]?[0] == .null)
            #expect(logprobs["top_logprobs"]?[1] == ["token_id:12": -0.5, "token_id:5001": -1.5])
            #expect(logprobs["text_offset"] == [0, 4, 8])
            #expect(try reply.json["usage"]?["completion_tokens"] == 0)
            #expect(gateway.head.seen.requests[0].sampling.promptLogprobs == 2)
        }
    }

    @Test("logprobs name tokens as text, with the one sampled always among the top")
    func logprobs() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/completions", ["model": "tiny-instruct", "prompt": "x", "logprobs": 0, "max_tokens": 2])
            let logprobs = try #require(try reply.json["choices"]?[0]?["logprobs"])
            #expect(logprobs["tokens"] == ["Hello", " world"])
            #expect(logprobs["top_logprobs"]?[0] == ["Hello": -0.5])
            #expect(logprobs["text_offset"] == [0, 5])
        }
    }

    @Test("a stream is well-formed and says the same as the whole answer")
    func stream() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.post(
                "/v1/completions",
                [
                    "model": "tiny-instruct", "prompt": "a b", "stream": true, "echo": true, "logprobs": 1,
                    "stream_options": ["include_usage": true],
                ])
            #expect(reply.status == 200)
            #expect(reply.headers["content-type"]?.hasPrefix("text/event-stream") == true)
            #expect(reply.events.last == "[DONE]")
            let chunks = try reply.chunks
            let texts = chunks.compactMap { $0["choices"]?[0]?["text"]?.string }
            #expect(texts.joined() == "a bHello world.")
            let offsets = chunks.compactMap { $0["choices"]?[0]?["logprobs"]?["text_offset"]?.array }.flatMap { $0 }
            #expect(offsets.compactMap(\.integer) == [0, 1, 3, 8, 14])
            #expect(chunks.dropLast().allSatisfy { $0["usage"] == .null })
            #expect(chunks.last?["choices"] == [])
            #expect(chunks.last?["usage"]?["total_tokens"] == 5)
            let finish = chunks.dropLast().compactMap { $0["choices"]?[0]?["finish_reason"]?.string }
            #expect(finish == ["stop"])
        }
    }
}
