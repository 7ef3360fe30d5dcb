import Foundation
import GatewayServer
import Testing
import WireProtocols

struct BadInputTests {
    private static func chat(_ change: (inout JSONObject) -> Void) -> JSONValue {
        var body = JSONObject()
        body["model"] = "tiny-instruct"
        body["messages"] = [["role": "user", "content": "Hi"]]
        change(&body)
        return .object(body)
    }

    @Test("broken JSON is 400 with its position")
    func brokenJSON() async throws {
        try await withGateway { gateway in
            let reply = try await gateway.send(
                "POST", "/v1/chat/completions", body: Array("{\"model\": \"x\",\n \"messages\": [}".utf8))
            #expect(reply.status == 400)
            #expect(try reply.json["error"]?["message"]?.string?.contains("line 2, column 15") == true)
            for body in ["", "[]", "\"text\"", "null"] {
                let reply = try await gateway.send("POST", "/v1/completions", body: Array(body.utf8))
                #expect(reply.status == 400)
            }
        }
    }

    @Test("a wrong value is 400, names its parameter and its range or type")
    func wrongValues() async throws {
        try await withGateway { gateway in
            let cases: [(name: String, value: JSONValue, says: String)] = [
                ("temperature", -1, "from 0 to 2"), ("temperature", 2.5, "from 0 to 2"),
                ("temperature", "hot", "a number"),
                ("top_p", 1.5, "from 0 to 1"), ("top_k", -2, "from -1"),
                ("min_p", 2, "from 0 to 1"),
                ("presence_penalty", 3, "from -2 to 2"), ("frequency_penalty", -3, "from -2 to 2"),
                ("repetition_penalty", 0, "at least 1.2e-38"), ("repetition_penalty", 1e-300, "at least 1.2e-38"),
                ("n", 0, "from 1 to 8"), ("n", 9, "from 1 to 8"),
                ("n", 1.5, "an integer"), ("max_tokens", 0, "from 1"), ("max_completion_tokens", -5, "from 1"),
                ("max_tokens", 1e30, "from 1"), ("max_tokens", 1.5, "an integer"),
                ("seed", "x", "an integer"), ("stop", 5, "a string or an array"), ("stop", [""], "1 to"),
                ("stop", .array(Array(repeating: "x", count: 17)), "at most 16"), ("stream", "yes", "a boolean"),
                ("logit_bias", ["x": 1], "token ids"), ("logit_bias", ["1": 500], "-100 to 100"),
                ("top_logprobs", 3, "'logprobs'"), ("logprobs", 5, "a boolean"), ("messages", [], "at least one"),
                ("messages", "hi", "an array"), ("messages", [["role": "user"]], "messages[0].content"),
                ("messages", [["content": "x"]], "messages[0].role"),
                ("messages", [["role": "bot", "content": "x"]], "one of"),
                ("messages", [["role": "user", "content": [["type": "image_url"]]]], "'text'"),
                ("messages", [["role": "user", "content": [["type": "refusal", "refusal": "No."]]]], "'text'"),
                ("tools", [["type": "web_search"]], "file_search"),
                ("tools", [["type": "function", "function": ["name": ""]]], "letters"),
                ("tools", [["type": "function", "function": ["name": "a b\u{e9}"]]], "letters"),
                ("tools", [["type": "function", "function": ["name": "f", "parameters": [1]]]], "an object"),
                ("tools", [["type": "file_search"]], "vector_store_ids"),
                ("response_format", ["type": "json_object"], "'text'"),
                ("stream_options", ["include_usage": true], "'stream'"),
                ("model", 5, "a string"),
            ]
            for (name, value, says) in cases {
                let reply = try await gateway.post("/v1/chat/completions", Self.chat { $0[name] = value })
                #expect(reply.status == 400, "\(name): \(value.text)")
                let error = try #require(try reply.json["error"])
                #expect(error["message"]?.string?.contains(says) == true, "\(name): \(error["message"]?.string ?? "")")
                #expect(error["param"]?.string?.hasPrefix(name) == true, "\(name): \(error["param"]?.text ?? "")")
                #expect(error["type"] == "invalid_request_error")
            }
            #expect(gateway.head.seen.requests.isEmpty)
        }
    }

    @Test("completions refuse what they cannot do")
    func completions() async throws {
        try await withGateway { gateway in
            let cases: [(name: String, value: JSONValue)] = [
                ("prompt", .null), ("prompt", []), ("prompt", [[]]), ("prompt", [1, "a"]), ("prompt", [-1]),
                ("prompt", [["a"]]), ("prompt", true), ("best_of", 2), ("suffix", "x"), ("logprobs", 21),
                ("logprobs", true), ("max_tokens", 0), ("max_tokens", -1), ("echo", 1),
            ]
            for (name, value) in cases {
                var body = JSONObject()
                body["model"] = "tiny-instruct"
                body["prompt"] = "x"
                body[name] = value
                let reply = try await gateway.post("/v1/completions", .object(body))
                #expect(reply.status == 400, "\(name): \(value.text)")
                #expect(try reply.json["error"]?["param"]?.string == name)
            }
        }
    }

    @Test("a model of the other kind is 400 that says what it is and which to take")
    func wrongKindOfModel() async throws {
        try await withGateway { gateway in
            for path in ["/v1/chat/completions", "/v1/completions"] {
                let reply = try await gateway.post(
                    path, ["model": "all-minilm-l6-v2", "prompt": "x", "messages": [["role": "user", "content": "x"]]])
                #expect(reply.status == 400)
                #expect(try reply.json["error"]?["code"] == "unsupported_model")
                #expect(try reply.json["error"]?["param"] == "model")
                #expect(reply.text.contains("is an embedding model") && reply.text.contains("tiny-instruct"))
            }
            let reply = try await gateway.post("/v1/embeddings", ["model": "tiny-instruct", "input": "x"])
            #expect(reply.status == 400)
            #expect(try reply.json["error"]?["code"] == "unsupported_model")
            #expect(reply.text.contains("is a text model") && reply.text.contains("all-minilm-l6-v2"))
            #expect(gateway.head.seen.requests.isEmpty)
        }
    }

    @Test("a model's name may hold a slash")
    func slash() async throws {
        try await withGateway { gateway in
            gateway.head.setDescription { $0.model = "org/model-1" }
            try await eventually("the new name is known") {
                try await gateway.get("/v1/models").text.contains("org/model-1")
            }
            let reply = try await gateway.post("/v1/completions", ["model": "org/model-1", "prompt": "x"])
            #expect(reply.status == 200)
            #expect(try reply.json["model"] == "org/model-1")
            #expect(gateway.head.seen.requests.last?.model == "org/model-1")
        }
    }

    @Test("an unknown model is 404 and says which there are")
    func unknownModel() async throws {
        try await withGateway { gateway in
            for path in ["/v1/chat/completions", "/v1/completions"] {
                let reply = try await gateway.post(
                    path, ["model": "gpt-5", "prompt": "x", "messages": [["role": "user", "content": "x"]]])
                #expect(reply.status == 404)
                #expect(try reply.json["error"]?["code"] == "model_not_found")
                #expect(reply.text.contains("tiny-instruct"))
            }
            let reply = try await gateway.post("/v1/embeddings", ["model": "text-embedding-3-small", "input": "x"])
            #expect(reply.status == 404)
            #expect(reply.text.contains("all-minilm-l6-v2"))
            #expect(try await gateway.get("/v1/models/none").status == 404)
        }
    }

    @Test("a 10 MB prompt is 413 with a message, announced or not")
    func hugePrompt() async throws {
        try await withGateway { gateway in
            let body = Array(
                "{\"model\":\"tiny-instruct\",\"prompt\":\"\(String(repeating: "x", count: 10_000_000))\"}".utf8)
            let announced = try await gateway.send("POST", "/v1/completions", body: body)
            #expect(announced.status == 413)
            #expect(try announced.json["error"]?["message"]?.string?.contains("4194304") == true)

            let socket = try await TestSocket(port: gateway.port)
            try await socket.send(
                gateway.head("POST", "/v1/completions", headers: ["Transfer-Encoding": "chunked"], length: 0))
            try await socket.send("\(String(body.count, radix: 16))\r\n")
            try await socket.send(body)
            try await socket.send("\r\n0\r\n\r\n")
            #expect(try GatewayFixture.parse(try await socket.receiveAll()).status == 413)
            #expect(gateway.head.seen.requests.isEmpty)
        }
    }

    @Test("a listing refuses bad pages")
    func badPages() async throws {
        try await withGateway { gateway in
            for query in ["limit=0", "limit=101", "limit=x", "order=up", "before=file-1"] {
                let reply = try await gateway.get("/v1/files?\(query)")
                #expect(reply.status == 400, "\(query)")
            }
        }
    }

    @Test("bytes that are no HTTP get 400 or the end, and others are served on")
    func garbage() async throws {
        try await withGateway { gateway in
            for text in ["\u{0}\u{1}\u{2}garbage\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "PRI"] {
                let socket = try await TestSocket(port: gateway.port)
                try await socket.send(text)
                socket.shutdownWriting()
                let reply = String(decoding: try await socket.receiveAll(), as: UTF8.self)
                #expect(!reply.contains("200 OK"))
            }
            #expect(try await gateway.get("/v1/models").status == 200)
        }
    }
}
