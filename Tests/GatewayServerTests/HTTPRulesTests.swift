import Foundation
import GatewayServer
import Testing
import WireProtocols

/// The HTTP surface held to its RFCs, rule by rule, on raw sockets.
struct HTTPRulesTests {
    /// One request and what must come back.
    private struct Rule {
        var section: String
        /// `KEY` stands for the line with a valid key; line ends are CR LF.
        var request: String
        var status: Int
        /// Whether the connection must end with the answer; else it must serve another request.
        var closes: Bool
        var code: String?
        var isHead = false

        init(
            _ section: String, _ request: String, _ status: Int, closes: Bool = false, code: String? = nil,
            isHead: Bool = false
        ) {
            self.section = section
            self.request = request
            self.status = status
            self.closes = closes
            self.code = code
            self.isHead = isHead
        }
    }

    private static let body = "{\"model\":\"tiny-instruct\",\"prompt\":\"x\",\"max_tokens\":3}"
    private static let chunked = "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\r\n"
    private static let post = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nKEY\r\n"
    private static let length = "Content-Length: \(body.utf8.count)\r\n"

    private static let rules: [Rule] = [
        // RFC 9112, 3: request lines.
        Rule("3.2.1 origin-form", "GET /v1/models HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 200),
        Rule("3.2.2 absolute-form", "GET http://x:80/v1/models HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 200),
        Rule("3.2.4 asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204),
        Rule("3.2.4 asterisk-form is for OPTIONS", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400, code: "malformed_request"),
        Rule("3 target without a slash", "GET v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 400, closes: true),
        Rule(
            "3 unknown method", "BREW /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 501, closes: true,
            code: "not_implemented"),
        Rule("3.1 methods have a case", "get /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 501, closes: true),
        Rule(
            "9110 9.3.6 CONNECT", "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501, closes: true, code: "not_implemented"
        ),
        Rule("2.3 version 2", "GET /livez HTTP/2.0\r\nHost: x\r\n\r\n", 505, closes: true),
        Rule("2.3 version 3", "GET /livez HTTP/3.0\r\nHost: x\r\n\r\n", 505, closes: true),
        Rule(
            "3 target too long", "GET /\(String(repeating: "a", count: 9_000)) HTTP/1.1\r\nHost: x\r\n\r\n", 414,
            closes: true, code: "uri_too_long"),
        Rule(
            "6585 5 header too large",
            "GET /livez HTTP/1.1\r\nHost: x\r\nX: \(String(repeating: "a", count: 40_000))\r\n\r\n",
            431, closes: true, code: "header_too_large"),
        Rule(
            "6585 5 too many fields",
            "GET /livez HTTP/1.1\r\nHost: x\r\n\(String(repeating: "X: y\r\n", count: 300))\r\n", 431, closes: true),

        Rule("2.2 an empty line before the request", "\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        Rule("2.3 the protocol's name has a case", "GET /livez http/1.1\r\nHost: x\r\n\r\n", 400, closes: true),
        Rule("3.2 a space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400, closes: true),
        Rule("5.5 a zero byte in a value", "GET /livez HTTP/1.1\r\nHost: x\r\nX: a\u{0}b\r\n\r\n", 400, closes: true),
        Rule("5.5 bytes beyond ASCII in a value", "GET /livez HTTP/1.1\r\nHost: x\r\nX: é\r\n\r\n", 200),

        // RFC 9112, 3.2: Host.
        Rule("3.2 no Host", "GET /livez HTTP/1.1\r\n\r\n", 400, closes: true, code: "malformed_request"),
        Rule("3.2 two Hosts", "GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, closes: true),
        Rule("3.2 bad Host", "GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", 400, closes: true),
        Rule("3.2 bad port", "GET /livez HTTP/1.1\r\nHost: x:y\r\n\r\n", 400, closes: true),
        Rule("3.2 empty Host", "GET /livez HTTP/1.1\r\nHost:\r\n\r\n", 200),
        Rule("3.2 Host with IPv6", "GET /livez HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200),

        // RFC 9112, 5: fields.
        Rule("5.1 space before the colon", "GET /livez HTTP/1.1\r\nHost : x\r\n\r\n", 400, closes: true),
        Rule("5.1 a field without a name", "GET /livez HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400, closes: true),
        Rule("5.1 spaces around a value", "GET /v1/models HTTP/1.1\r\nHost:   x  \r\nKEY\r\n\r\n", 200),

        // RFC 9112, 6: bodies.
        Rule("6.2 length", post + length + "\r\n" + body, 200),
        Rule("6.1 chunks", post + "Transfer-Encoding: chunked\r\n\r\n" + chunked, 200),
        Rule("6.1 names of codings have no case", post + "Transfer-Encoding: Chunked\r\n\r\n" + chunked, 200),
        Rule(
            "7.1.1 extensions and trailers",
            post
                + "Transfer-Encoding: chunked\r\n\r\n\(String(body.utf8.count, radix: 16));a=b\r\n\(body)\r\n0\r\nT: u\r\n\r\n",
            200),
        Rule("6.1 unknown coding", post + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunked, 501, closes: true),
        Rule("6.3 chunked not last", post + "Transfer-Encoding: chunked, gzip\r\n\r\n" + chunked, 400, closes: true),
        Rule(
            "6.1 length and chunks", post + length + "Transfer-Encoding: chunked\r\n\r\n" + chunked, 400, closes: true),
        Rule("6.3 two lengths", post + length + "Content-Length: 4\r\n\r\n" + body, 400, closes: true),
        Rule("6.3 length twice", post + length + length + "\r\n" + body, 400, closes: true),
        Rule("6.3 length with a sign", post + "Content-Length: +4\r\n\r\nbody", 400, closes: true),
        Rule("6.3 length beyond numbers", post + "Content-Length: 99999999999999999999\r\n\r\n", 400, closes: true),
        Rule(
            "6.1 chunks from HTTP/1.0",
            "POST /v1/completions HTTP/1.0\r\nKEY\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, 400, closes: true),
        Rule("7.1 a size that is none", post + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, closes: true),
        Rule(
            "7.1 a size beyond numbers", post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n", 400,
            closes: true),
        Rule(
            "6.1 identity is no transfer coding", post + "Transfer-Encoding: identity\r\n\r\n" + body, 501, closes: true
        ),
        Rule(
            "6.1 a coding that only looks like one", post + length + "Transfer-Encoding: xchunked\r\n\r\n" + body, 400,
            closes: true),
        Rule("5.1 a space before the colon of a length", post + "Content-Length : 4\r\n\r\nbody", 400, closes: true),
        Rule(
            "6 a body where none is looked for", "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200
        ),
        Rule(
            "6 a body of a request without meaning for it",
            "GET /v1/models HTTP/1.1\r\nHost: x\r\nKEY\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200),
        Rule("6.3 no body", post + "\r\n", 400, code: "invalid_json"),

        // RFC 9112, 9.3, 9.6: connections.
        Rule("9.6 close", "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200, closes: true),
        Rule(
            "9.6 close in a list", "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n", 200, closes: true),
        Rule("9.3 HTTP/1.0", "GET /livez HTTP/1.0\r\n\r\n", 200, closes: true),
        Rule(
            "9110 7.8 an upgrade that is not taken",
            "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200, closes: true),

        // RFC 9110.
        Rule("9.3.2 HEAD", "HEAD /v1/models HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 200, isHead: true),
        Rule("9.3.2 HEAD of what does not exist", "HEAD /none HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 404, isHead: true),
        Rule("9.3.2 HEAD without a key", "HEAD /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 401, isHead: true),
        Rule("9.3.7 OPTIONS", "OPTIONS /v1/files HTTP/1.1\r\nHost: x\r\n\r\n", 204),
        Rule(
            "9.3.7 OPTIONS of what does not exist", "OPTIONS /none HTTP/1.1\r\nHost: x\r\n\r\n", 404,
            code: "unknown_url"),
        Rule("10.1.1 another expectation", post + length + "Expect: tea\r\n\r\n" + body, 417),
        Rule(
            "12.4.1 Accept may be disregarded",
            "GET /v1/models HTTP/1.1\r\nHost: x\r\nKEY\r\nAccept: text/html\r\n\r\n", 200),
        Rule("15.5.2 no key", "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 401, code: "missing_api_key"),
        Rule("15.5.5 no such path", "GET /none HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 404, code: "unknown_url"),
        Rule(
            "15.5.6 wrong method", "GET /v1/completions HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 405,
            code: "method_not_allowed"),
        Rule("15.5.6 TRACE", "TRACE /v1/models HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 405),
        Rule(
            "15.5.16 content coding", post + length + "Content-Encoding: gzip\r\n\r\n" + body, 415,
            code: "unsupported_content_encoding"),
        Rule("8.4.1 identity", post + length + "Content-Encoding: identity\r\n\r\n" + body, 200),
        Rule("8.3 a charset", post + length + "Content-Type: application/json; charset=utf-8\r\n\r\n" + body, 200),

        // RFC 3986, 6.2.2: escapes.
        Rule("6.2.2.2 escaped letters", "GET /v1/%6dodels HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 200),
        Rule("slashes", "GET //v1//models/ HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 200),
        Rule("an escaped slash is none", "GET /v1%2Fmodels HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 404),
        Rule(
            "a broken escape", "GET /v1/models/%zz HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 400, code: "malformed_request"),
        Rule("an escaped zero", "GET /v1/models/%00 HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 400),
        Rule("escaped bytes that are no text", "GET /v1/models/%ff HTTP/1.1\r\nHost: x\r\nKEY\r\n\r\n", 400),
    ]

    @Test("every rule of the list is kept, and the connection is in step or closed as it says", .timeLimit(.minutes(2)))
    func table() async throws {
        try await withGateway { gateway in
            for rule in Self.rules {
                let what = Comment(rawValue: rule.section)
                let connection = try await RawConnection(port: gateway.port)
                let key = "Authorization: Bearer \(gateway.key)"
                try await connection.send(rule.request.replacing("KEY", with: key))
                let response: RawConnection.Response
                do {
                    response = try await connection.response(isHead: rule.isHead)
                } catch {
                    Issue.record(error, what)
                    continue
                }
                #expect(response.status == rule.status, what)
                #expect(response.closes == rule.closes, what)
                #expect(response.headers["x-request-id"]?.isEmpty == false, what)
                #expect(response.headers["date"]?.hasSuffix("GMT") == true, what)
                #expect(response.headers["server"] == "fathom", what)
                if response.status >= 400 && !rule.isHead {
                    #expect(response.headers["content-type"] == "application/json", what)
                    #expect(response.errorCode != nil, what)
                }
                if let code = rule.code { #expect(response.errorCode == code, what) }
                if rule.closes {
                    #expect(try await connection.rest() == [], what)
                } else {
                    try await connection.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                    #expect(try await connection.response().text.contains("alive"), what)
                }
            }
        }
    }

    @Test("an answer has 405's Allow, 415's Accept-Encoding and 401's WWW-Authenticate", .timeLimit(.minutes(1)))
    func fields() async throws {
        try await withGateway { gateway in
            for (method, path, allow) in [
                ("GET", "/v1/chat/completions", "OPTIONS, POST"), ("PUT", "/v1/files", "GET, HEAD, OPTIONS, POST"),
                ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
                ("PATCH", "/v1/files/file-1", "DELETE, GET, HEAD, OPTIONS"),
                ("POST", "/v1/models/org/name", "GET, HEAD, OPTIONS"), ("HEAD", "/v1/completions", "OPTIONS, POST"),
            ] {
                let reply = try await gateway.send(method, path, body: [])
                #expect(reply.status == 405, "\(method) \(path)")
                #expect(reply.headers["allow"] == allow, "\(method) \(path)")
            }
            let packed = try await gateway.post("/v1/completions", ["prompt": "x"], headers: ["Content-Encoding": "br"])
            #expect(packed.headers["accept-encoding"] == "identity")
            #expect(try await gateway.get("/v1/models", key: "").headers["www-authenticate"] == "Bearer")
        }
    }

    @Test("HEAD says what GET would, without its body", .timeLimit(.minutes(1)))
    func head() async throws {
        try await withGateway { gateway in
            let file = try await FileTests.upload(gateway, Array(repeating: 65, count: 300_000))
            let id = try #require(file["id"]?.string)
            for path in ["/livez", "/metrics", "/v1/models", "/v1/files", "/v1/files/\(id)", "/v1/files/\(id)/content"]
            {
                let connection = try await RawConnection(port: gateway.port)
                for (method, isHead) in [("GET", false), ("HEAD", true), ("GET", false)] {
                    try await connection.send(
                        "\(method) \(path) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(gateway.key)\r\n\r\n")
                    let response = try await connection.response(isHead: isHead)
                    #expect(response.status == 200, "\(method) \(path)")
                    #expect(response.headers["transfer-encoding"] == nil)
                    if path != "/metrics" && !isHead {
                        #expect(response.headers["content-length"] == "\(response.body.count)")
                    }
                    if path == "/v1/files/\(id)/content" { #expect(response.headers["content-length"] == "300000") }
                }
            }
        }
    }

    @Test("HTTP/1.0 gets no chunks: a stream ends with its connection, and keep-alive is kept", .timeLimit(.minutes(1)))
    func http10() async throws {
        try await withGateway { gateway in
            let key = "Authorization: Bearer \(gateway.key)"
            let body = "{\"model\":\"tiny-instruct\",\"prompt\":\"x\",\"stream\":true}"
            let connection = try await RawConnection(port: gateway.port)
            try await connection.send(
                "GET /v1/models HTTP/1.0\r\n\(key)\r\nConnection: keep-alive\r\n\r\n")
            let models = try await connection.response()
            #expect(models.version == "HTTP/1.0")
            #expect(models.headers["connection"] == "keep-alive")
            try await connection.send(
                "POST /v1/completions HTTP/1.0\r\n\(key)\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            )
            let stream = try await connection.response()
            #expect(stream.status == 200)
            #expect(stream.headers["transfer-encoding"] == nil)
            #expect(stream.closes)
            #expect(stream.text.hasPrefix("data: "))
            #expect(stream.text.hasSuffix("data: [DONE]\n\n"))
        }
    }

    @Test("a client that waits for 100 gets it at once, or the refusal instead", .timeLimit(.minutes(1)))
    func expectation() async throws {
        try await withGateway(configure: { $0.maximumBodySize = 10_000 }) { gateway in
            func head(_ path: String, length: Int, key: String) -> String {
                "POST \(path) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(key)\r\nExpect: 100-continue\r\n"
                    + "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: \(length)\r\n\r\n"
            }
            let connection = try await RawConnection(port: gateway.port)
            try await connection.send(head("/v1/completions", length: Self.body.utf8.count, key: gateway.key))
            #expect(try await connection.response().status == 100)
            try await connection.send(Self.body)
            #expect(try await connection.response().status == 200)
            let form = FileTests.form([1, 2, 3])
            try await connection.send(head("/v1/files", length: form.count, key: gateway.key))
            #expect(try await connection.response().status == 100)
            try await connection.socket.send(form)
            let uploaded = try await connection.response()
            #expect(uploaded.status == 200)
            #expect(!uploaded.closes)
            for (path, length, key, status) in [
                ("/v1/completions", 20_000, gateway.key, 413), ("/v1/files", 1 << 40, gateway.key, 413),
                ("/v1/files", 1_000, "fk-wrong", 401), ("/none", 1_000, gateway.key, 404),
            ] {
                let connection = try await RawConnection(port: gateway.port)
                try await connection.send(head(path, length: length, key: key))
                let response = try await connection.response()
                #expect(response.status == status)
                // The body may come or not: nothing else can be read on this connection.
                #expect(response.closes)
                #expect(try await connection.rest() == [])
            }
        }
    }

    @Test("requests in one packet are answered in order", .timeLimit(.minutes(1)))
    func pipelining() async throws {
        try await withGateway { gateway in
            let key = "Authorization: Bearer \(gateway.key)"
            let connection = try await RawConnection(port: gateway.port)
            try await connection.send(
                "GET /v1/models HTTP/1.1\r\nHost: x\r\n\(key)\r\n\r\n"
                    + (Self.post + Self.length + "\r\n" + Self.body).replacing("KEY", with: key)
                    + "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n" + "GET /none HTTP/1.1\r\nHost: x\r\n\(key)\r\n\r\n"
                    + "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            #expect(try await connection.response().text.contains("tiny-instruct"))
            #expect(try await connection.response().text.contains("Hello world."))
            #expect(try await connection.response(isHead: true).status == 200)
            #expect(try await connection.response().status == 404)
            let last = try await connection.response()
            #expect(last.text.contains("alive"))
            #expect(last.closes)
            // What follows a request that says it is the last is not served.
            #expect(try await connection.rest() == [])

            let broken = try await RawConnection(port: gateway.port)
            try await broken.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\n\r\n")
            #expect(try await broken.response().status == 200)
            #expect(try await broken.response().errorCode == "malformed_request")
            #expect(try await broken.rest() == [])
        }
    }

    @Test(
        "a refused body keeps a small connection and ends a large one, and the answer arrives", .timeLimit(.minutes(1)))
    func unreadBodies() async throws {
        try await withGateway { gateway in
            for (size, closes) in [(1_000, false), (20_000_000, true)] {
                let connection = try await RawConnection(port: gateway.port)
                try await connection.send(
                    "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(size)\r\n\r\n")
                // All of it, before anything is read.
                try await connection.socket.send([UInt8](repeating: 0x20, count: size))
                let response = try await connection.response()
                #expect(response.status == 401)
                #expect(response.closes == closes)
                guard !closes else { continue }
                try await connection.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                #expect(try await connection.response().status == 200)
            }
        }
    }

    @Test("a fold in a header is one value or refused, never two fields", .timeLimit(.minutes(1)))
    func folds() async throws {
        try await withGateway { gateway in
            let connection = try await RawConnection(port: gateway.port)
            try await connection.send(
                "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\n Authorization: Bearer \(gateway.key)\r\n\r\n"
            )
            #expect([400, 401].contains(try await connection.response().status))
        }
    }

    @Test("paths name models as they are called, with spaces and slashes", .timeLimit(.minutes(1)))
    func modelNames() async throws {
        try await withGateway { gateway in
            gateway.head.setDescription { description in
                description.models = ["a b", "org/name", "100%"].map { name in
                    var model = FakeHead.model
                    model.name = name
                    return model
                }
            }
            try await eventually("the models are known") {
                try await gateway.get("/v1/models").text.contains("org/name")
            }
            for (path, name) in [
                ("a%20b", "a b"), ("org/name", "org/name"), ("org%2Fname", "org/name"), ("org%2fn%61me/", "org/name"),
                ("100%25", "100%"),
            ] {
                let reply = try await gateway.get("/v1/models/\(path)")
                #expect(reply.status == 200, "\(path)")
                #expect(try reply.json["id"]?.string == name)
            }
            #expect(try await gateway.get("/v1/models/org/other").status == 404)
        }
    }

    @Test(
        "targets are normalized without making a separator of an escaped slash",
        arguments: [
            ("/v1/models?a=%zz", "/v1/models?a=%zz"), ("//a///b//", "/a/b"), ("/", "/"), ("/%61%2f%2F%7e", "/a%2F%2F~"),
            ("/%e6%89%8b", "/%E6%89%8B"), ("/a/%2e%2e/b", "/a/../b"), ("*", nil), ("", nil), ("a", nil), ("/%", nil),
            ("/%4", nil), ("/%zz", nil), ("/%00", nil), ("/%ff", nil), ("/a#b", nil), ("/a b", nil), ("?a", nil),
            ("/?a", "/?a"), ("/a/?b//", "/a?b//"), ("/v1/models", "/v1/models"),
            ("/é", "/é"),
        ] as [(String, String?)])
    func targets(_ target: String, _ expected: String?) {
        #expect(RequestTarget.normalized(target) == expected)
    }

    @Test("escapes of a path's piece are decoded once")
    func decoding() {
        #expect(RequestTarget.decoded("a%20b%2Fc%25%2041") == "a b/c% 41")
        #expect(RequestTarget.decoded("plain") == "plain")
    }
}
