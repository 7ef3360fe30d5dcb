import Foundation
import GatewayServer
import Testing
import WireProtocols

struct EmbeddingTests {
    @Test("inputs of every form are embedded in order, as floats and as base64")
    func forms() async throws {
        try await withGateway(configure: { $0.embeddingTokens = .allowed }) { gateway in
            let inputs: [(JSONValue, Int, Int)] = [
                ("text", 1, 2), (["a", "b", "c"], 3, 6), ([1, 2, 3, 4], 1, 4), ([[1, 2], [3]], 2, 3),
            ]
            for (input, count, tokens) in inputs {
                let reply = try await gateway.post("/v1/embeddings", ["model": "all-minilm-l6-v2", "input": input])
                #expect(reply.status == 200)
                let json = try reply.json
                #expect(json["data"]?.array?.compactMap { $0["index"]?.integer } == Array(0..<count))
                #expect(json["data"]?[0]?["embedding"] == [0.0, 0.5, -1.0])
                #expect(json["usage"]?["prompt_tokens"]?.integer == tokens)
                #expect(json["usage"]?["total_tokens"]?.integer == tokens)
            }
            let reply = try await gateway.post(
                "/v1/embeddings", ["model": "all-minilm-l6-v2", "input": "x", "encoding_format": "base64"])
            let text = try #require(try reply.json["data"]?[0]?["embedding"]?.string)
            let data = try #require(Data(base64Encoded: text))
            let values = data.withUnsafeBytes { bytes in
                stride(from: 0, to: bytes.count, by: 4).map { offset -> Float in
                    let bits = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                    return Float(bitPattern: UInt32(littleEndian: bits))
                }
            }
            #expect(values == [0, 0.5, -1])
        }
    }

    @Test("more inputs than one upstream call takes are embedded in several")
    func batches() async throws {
        try await withGateway { gateway in
            let inputs = (0..<600).map { JSONValue.string("text \($0)") }
            let reply = try await gateway.post(
                "/v1/embeddings", ["model": "all-minilm-l6-v2", "input": .array(inputs)])
            #expect(try reply.json["data"]?.array?.count == 600)
            #expect(try reply.json["usage"]?["prompt_tokens"] == 1_200)
        }
    }

    @Test("token ids are refused unless they are allowed, and the message names the client's switch")
    func tokens() async throws {
        try await withGateway { gateway in
            for input in [[791, 8415, 7731], [[791, 8415, 7731]], [[1996]], [[100_256]]] as [JSONValue] {
                let reply = try await gateway.post("/v1/embeddings", ["model": "all-minilm-l6-v2", "input": input])
                #expect(reply.status == 400)
                #expect(try reply.json["error"]?["param"] == "input")
                #expect(reply.text.contains("check_embedding_ctx_length=False"))
                #expect(reply.text.contains("embedding-token-ids"))
            }
            #expect(gateway.store.embeds.isEmpty)
        }
    }

    @Test("an input longer than the model reads is 400 with the limit, what came, and which input it is")
    func tooLong() async throws {
        try await withGateway(configure: { $0.embeddingTokens = .allowed }) { gateway in
            let long = JSONValue.string(String(repeating: "word ", count: 300))
            var many = Array(repeating: JSONValue.string("short"), count: 600)
            many[500] = long
            let cases: [(JSONValue, String, String)] = [
                (long, "input", "302"), (["short", long], "input[1]", "302"), (.array(many), "input[500]", "302"),
                (.array([.array(Array(repeating: 2_054, count: 5_000))]), "input", "5002"),
            ]
            for (input, parameter, count) in cases {
                let reply = try await gateway.post("/v1/embeddings", ["model": "all-minilm-l6-v2", "input": input])
                #expect(reply.status == 400)
                let error = try #require(try reply.json["error"])
                #expect(error["code"] == "context_length_exceeded")
                #expect(error["param"]?.string == parameter)
                let message = try #require(error["message"]?.string)
                #expect(message.hasPrefix("This model's maximum context length is 256 tokens. However, "))
                #expect(message.contains("context_length_exceeded") && message.contains(" \(count) tokens"))
            }
            #expect(gateway.store.embeds.allSatisfy { !$0.poolLongInputs })
        }
    }

    @Test("the model's own size as dimensions is what happens anyway")
    func dimensions() async throws {
        try await withGateway { gateway in
            for (size, status) in [(3, 200), (3.0, 200), (2, 400), (1_536, 400)] as [(JSONValue, Int)] {
                let reply = try await gateway.post(
                    "/v1/embeddings", ["model": "all-minilm-l6-v2", "input": "x", "dimensions": size])
                #expect(reply.status == status, "\(size.text)")
                if status == 400 {
                    #expect(try reply.json["error"]?["param"] == "dimensions")
                    #expect(reply.text.contains("one size: 3"))
                }
            }
        }
    }

    @Test("bad requests are 400 and name the parameter")
    func bad() async throws {
        try await withGateway { gateway in
            let cases: [(String, JSONValue)] = [
                ("input", .null), ("input", ""), ("input", []), ("input", ["a", 1]), ("input", [["a"]]),
                ("dimensions", 64), ("encoding_format", "hex"), ("model", .null),
            ]
            for (name, value) in cases {
                var body = JSONObject()
                body["model"] = "all-minilm-l6-v2"
                body["input"] = "x"
                body[name] = value
                let reply = try await gateway.post("/v1/embeddings", .object(body))
                #expect(reply.status == 400, "\(name): \(value.text)")
                #expect(try reply.json["error"]?["param"]?.string == name)
            }
        }
    }
}
