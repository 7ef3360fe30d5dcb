import Foundation
import GatewayServer

/// A connection on which requests are written as bytes and answers read by their own framing, so that a test sees where an
/// answer ends and whether the connection is in step afterwards.
final class RawConnection {
    /// One answer.
    struct Response {
        var version: String
        var status: Int
        var headers: [String: String]
        var body: [UInt8]

        var text: String { String(decoding: body, as: UTF8.self) }
        /// `error.code`, or nil when the body is no error of OpenAI's shape.
        var errorCode: String? {
            guard let error = (try? JSONParser.parse(body))?["error"], error["message"]?.string?.isEmpty == false,
                error["type"]?.string?.isEmpty == false
            else { return nil }
            return error["code"]?.string
        }
        var closes: Bool { headers["connection"] == "close" }
    }

    let socket: TestSocket
    private var buffer: [UInt8] = []
    private var isAtEnd = false

    init(port: Int, timeout: Int = 20) async throws {
        socket = try await TestSocket(port: port, timeout: timeout)
    }

    func send(_ text: String) async throws {
        try await socket.send(text)
    }

    /// Reads one answer, informational or final.
    ///
    /// - Parameters:
    ///   - isHead: whether it answers HEAD, and so has no body.
    func response(isHead: Bool = false) async throws -> Response {
        let head = try await read(through: Array("\r\n\r\n".utf8))
        let lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n").filter { !$0.isEmpty }
        guard let words = lines.first?.split(separator: " "), words.count >= 2, let status = Int(words[1]) else {
            throw TestSocket.Failure(what: "no status line")
        }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let pair = line.split(separator: ":", maxSplits: 1)
            guard pair.count == 2 else { throw TestSocket.Failure(what: "a header line without a colon") }
            let name = pair[0].lowercased()
            let value = pair[1].trimmingCharacters(in: .whitespaces)
            headers[name] = headers[name].map { "\($0), \(value)" } ?? value
        }
        var response = Response(version: String(words[0]), status: status, headers: headers, body: [])
        guard !isHead, status >= 200, status != 204, status != 304 else { return response }
        if headers["transfer-encoding"] == "chunked" {
            while true {
                let line = String(decoding: try await read(through: [0x0D, 0x0A]).dropLast(2), as: UTF8.self)
                guard let size = Int(line, radix: 16) else { throw TestSocket.Failure(what: "a chunk without a size") }
                let chunk = try await read(count: size + 2)
                guard size > 0 else { return response }
                response.body += chunk.dropLast(2)
            }
        } else if let length = headers["content-length"] {
            guard let count = Int(length) else { throw TestSocket.Failure(what: "a length that is no number") }
            response.body = try await read(count: count)
        } else {
            response.body = try await rest()
        }
        return response
    }

    /// What comes until the server closes.
    func rest() async throws -> [UInt8] {
        while !isAtEnd { try await fill() }
        defer { buffer = [] }
        return buffer
    }

    private func read(through end: [UInt8]) async throws -> [UInt8] {
        while true {
            if let range = buffer.firstRange(of: end) {
                let result = Array(buffer[..<range.upperBound])
                buffer.removeFirst(range.upperBound)
                return result
            }
            guard !isAtEnd else { throw TestSocket.Failure(what: "the connection ended early") }
            try await fill()
        }
    }

    private func read(count: Int) async throws -> [UInt8] {
        while buffer.count < count {
            guard !isAtEnd else { throw TestSocket.Failure(what: "the connection ended early") }
            try await fill()
        }
        let result = Array(buffer[..<count])
        buffer.removeFirst(count)
        return result
    }

    private func fill() async throws {
        let bytes = try await socket.receive()
        if bytes.isEmpty { isAtEnd = true }
        buffer += bytes
    }
}
