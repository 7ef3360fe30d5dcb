import AsyncHTTPClient
import Foundation
import ModelRegistry
import NIOCore
import NIOHTTP1

/// Talks to a gateway as any OpenAI client would.
struct GatewayClient: Sendable {
    /// Longest a whole request may take, an answer's stream included.
    static let requestDeadline = TimeAmount.seconds(600)
    /// Largest answer that is not a stream, in bytes.
    static let maximumResponseBytes = 16 << 20

    /// Without a trailing slash.
    let baseURL: String
    let apiKey: String?
    private let http: HTTPClient

    private init(baseURL: String, apiKey: String?, http: HTTPClient) {
        self.baseURL = baseURL
        self.apiKey = apiKey
        self.http = http
    }

    /// Runs `body` with a client that is shut down afterwards.
    static func with<Result>(
        baseURL: String, apiKey: String?, connections: Int = 8,
        _ body: (GatewayClient) async throws -> Result
    ) async throws -> Result {
        var configuration = HTTPClient.Configuration()
        configuration.timeout = .init(connect: .seconds(5), read: .seconds(300))
        // A gateway that is not there is said at once.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
        let http = HTTPClient(configuration: configuration)
        let trimmed = baseURL.hasSuffix("/") ? String(baseURL.dropLast()) : baseURL
        do {
            let result = try await body(GatewayClient(baseURL: trimmed, apiKey: apiKey, http: http))
            try await http.shutdown()
            return result
        } catch {
            try? await http.shutdown()
            throw error
        }
    }

    /// Status of a GET that needs no key, or nil when nobody answers.
    func status(of path: String, timeout: TimeAmount = .seconds(2)) async -> Int? {
        let response = try? await http.execute(HTTPClientRequest(url: baseURL + path), timeout: timeout)
        // The body is read so that the connection can be used again.
        _ = try? await response?.body.collect(upTo: Self.maximumResponseBytes)
        return response.map { Int($0.status.code) }
    }

    /// What `/readyz` says, whatever its status; nil when nobody answers, or something else than a gateway.
    func readiness(timeout: TimeAmount = .seconds(2)) async -> ReadinessMessage? {
        guard let answer = await answer(of: "/readyz", timeout: timeout) else { return nil }
        return try? JSONDecoder().decode(ReadinessMessage.self, from: Data(answer.body.readableBytesView))
    }

    /// Status and body of a GET that needs no key, or nil when nobody answers.
    func answer(of path: String, timeout: TimeAmount = .seconds(2)) async -> (status: Int, body: ByteBuffer)? {
        guard let response = try? await http.execute(HTTPClientRequest(url: baseURL + path), timeout: timeout),
            let body = try? await response.body.collect(upTo: Self.maximumResponseBytes)
        else { return nil }
        return (Int(response.status.code), body)
    }

    func get<Response: Decodable>(_ path: String) async throws -> Response {
        try await decode(request(.GET, path))
    }

    func post<Response: Decodable>(_ path: String, json: some Encodable) async throws -> Response {
        var request = request(.POST, path)
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(json)))
        return try await decode(request)
    }

    func delete<Response: Decodable>(_ path: String) async throws -> Response {
        try await decode(request(.DELETE, path))
    }

    /// Uploads a file through `/v1/files` and returns its id.
    func upload(filename: String, content: ByteBuffer) async throws -> String {
        let boundary = "fathom-\(UUID().uuidString)"
        // A quote or line end in a name would end the header early.
        let safeName = String(filename.map { "\"\r\n\\".contains($0) ? "_" : $0 })
        var body = ByteBuffer(
            string: "--\(boundary)\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n"
                + "--\(boundary)\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\(safeName)\"\r\n"
                + "Content-Type: \(Self.contentType(of: filename))\r\n\r\n")
        body.writeImmutableBuffer(content)
        body.writeString("\r\n--\(boundary)--\r\n")
        var request = request(.POST, "/v1/files")
        request.headers.add(name: "Content-Type", value: "multipart/form-data; boundary=\(boundary)")
        request.body = .bytes(body)
        let file: ObjectID = try await decode(request)
        return file.id
    }

    /// Streams a chat completion; `onChunk` sees every chunk in order.
    ///
    /// - Throws: ``CommandError`` `requestFailed` for an error status, an error event or a stream without its end.
    func streamChat(_ chat: ChatRequest, onChunk: (ChatChunk) throws -> Void) async throws {
        var request = request(.POST, "/v1/chat/completions")
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "Accept", value: "text/event-stream")
        request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(chat)))
        let response = try await execute(request)
        var parser = ServerSentEventParser()
        let decoder = JSONDecoder()
        for try await part in response.body {
            for event in try parser.consume(part.readableBytesView) {
                if event.data == "[DONE]" { return }
                guard let chunk = try? decoder.decode(ChatChunk.self, from: Data(event.data.utf8)) else {
                    throw CommandError(.requestFailed, "the gateway sent an event that is no chat chunk")
                }
                if let error = chunk.error { throw CommandError(.requestFailed, error.message) }
                try onChunk(chunk)
            }
        }
        throw CommandError(.requestFailed, "the gateway's answer ended in the middle")
    }

    private func request(_ method: HTTPMethod, _ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: baseURL + path)
        request.method = method
        if let apiKey { request.headers.add(name: "Authorization", value: "Bearer \(apiKey)") }
        return request
    }

    private func execute(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
        let response: HTTPClientResponse
        do {
            response = try await http.execute(request, timeout: Self.requestDeadline)
        } catch let error as CancellationError {
            throw error
        } catch {
            throw CommandError(
                .requestFailed, "no answer from \(baseURL): \(NetworkErrorText.describe(error))", cause: error)
        }
        guard (200..<300).contains(response.status.code) else {
            let body = try? await response.body.collect(upTo: Self.maximumResponseBytes)
            let message = body.flatMap {
                try? JSONDecoder().decode(APIErrorBody.self, from: Data($0.readableBytesView)).error.message
            }
            throw CommandError(
                .requestFailed,
                "HTTP \(response.status.code): \(message ?? "no message")" + hint(Int(response.status.code)),
                cause: HTTPFailure(
                    status: Int(response.status.code),
                    retryAfter: response.headers.first(name: "Retry-After").flatMap { Int($0) }))
        }
        return response
    }

    private func decode<Response: Decodable>(_ request: HTTPClientRequest) async throws -> Response {
        let response = try await execute(request)
        let body = try await response.body.collect(upTo: Self.maximumResponseBytes)
        do {
            return try JSONDecoder().decode(Response.self, from: Data(body.readableBytesView))
        } catch {
            throw CommandError(
                .requestFailed,
                "\(baseURL) answers, but not as a gateway does: \(ErrorText.describe(error)); is it one?", cause: error)
        }
    }

    /// What can be done about a refusal.
    private func hint(_ status: Int) -> String {
        guard status == 401 else { return "" }
        return apiKey == nil
            ? " (no key was sent; name one with --key or $FATHOM_API_KEY)"
            : " (`fathom key create` makes a key for the cluster of a home)"
    }

    static func contentType(of filename: String) -> String {
        switch URL(fileURLWithPath: filename).pathExtension.lowercased() {
        case "md", "markdown": "text/markdown"
        case "html", "htm": "text/html"
        default: "text/plain"
        }
    }
}
