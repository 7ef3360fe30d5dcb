import Foundation
import NIOCore
import SwiftProtobuf
import Synchronization
import Testing
import Wire

@Suite(.timeLimit(.minutes(1)))
struct CallTests {
    private static func router() -> RPCRouter {
        var router = RPCRouter()
        router.unary(TestService.echo) { request, context in
            text("\(request.value) \(context.metadata["who"] ?? "nobody")")
        }
        router.serverStreaming(TestService.count) { request, writer, _ in
            for index in 0..<Int(request.value) { try await writer.write(number(index)) }
        }
        router.bidirectional(TestService.chat) { requests, writer, _ in
            for try await request in requests {
                try await writer.write(text(request.message.value.uppercased()), attachment: request.attachment)
            }
        }
        router.raw(TestService.raw) { stream in
            { event in
                switch event {
                case .message(let message, let attachment):
                    try? stream.send(message: message, attachment: attachment)
                case .halfClosed: stream.finish()
                case .closed: break
                }
            }
        }
        return router
    }

    @Test("a unary call carries request, metadata and response")
    func unary() async throws {
        try await withClient(Self.router()) { client in
            let response = try await client.unary(
                TestService.echo, text("hello"), options: CallOptions(metadata: ["who": "me"]))
            #expect(response.value == "hello me")
            #expect(client.isConnected)
        }
    }

    @Test("an empty message is a message")
    func emptyMessage() async throws {
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in request }
        try await withClient(router) { client in
            let response = try await client.unary(TestService.echo, text(""))
            #expect(response.value.isEmpty)
        }
    }

    @Test("attachments travel with unary messages, small and large", arguments: [1, 4096, 16_384, 16_385, 3 << 20])
    func unaryAttachment(byteCount: Int) async throws {
        var router = RPCRouter()
        router.unaryWithAttachments(TestService.echo) { request, _ in request }
        try await withClient(router) { client in
            let bytes = ByteBuffer(bytes: (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let response = try await client.unaryWithAttachments(
                TestService.echo, RPCMessage(message: text("x"), attachment: bytes))
            #expect(response.message.value == "x")
            #expect(response.attachment == bytes)
        }
    }

    @Test("large messages without attachment arrive whole")
    func largeMessage() async throws {
        try await withClient(Self.router()) { client in
            let large = String(repeating: "abcdefgh", count: 300_000)
            let response = try await client.unary(TestService.echo, text(large))
            #expect(response.value == large + " nobody")
        }
    }

    @Test("server streaming delivers all responses in order and ends", arguments: [0, 1, 10, 5000])
    func serverStreaming(count: Int) async throws {
        try await withClient(Self.router()) { client in
            var received: [Int] = []
            for try await response in try await client.serverStreaming(TestService.count, number(count)) {
                received.append(Int(response.message.value))
            }
            #expect(received == Array(0..<count))
        }
    }

    @Test("bidirectional calls interleave requests and responses and end after half-close")
    func bidirectional() async throws {
        try await withClient(Self.router()) { client in
            let answers = try await client.bidirectional(TestService.chat) { writer, responses in
                var answers: [String] = []
                var iterator = responses.makeAsyncIterator()
                for word in ["a", "b", "c"] {
                    try await writer.write(text(word), attachment: ByteBuffer(string: word))
                    let answer = try #require(try await iterator.next())
                    #expect(answer.attachment == ByteBuffer(string: word))
                    answers.append(answer.message.value)
                }
                writer.finish()
                #expect(try await iterator.next() == nil)
                return answers
            }
            #expect(answers == ["A", "B", "C"])
        }
    }

    @Test("raw streams echo messages and attachments, and end with OK")
    func rawStream() async throws {
        try await withClient(Self.router()) { client in
            let received = Signal<(String, Int)>()
            let closed = Signal<RPCError?>()
            let stream = try await client.rawStream(TestService.raw) { event in
                switch event {
                case .message(let message, let attachment):
                    received.send((String(buffer: message), attachment?.readableBytes ?? 0))
                case .halfClosed: break
                case .closed(let error): closed.send(error)
                }
            }
            for size in [0, 10, 40_000, 5_000_000] {
                try stream.send(
                    message: ByteBuffer(string: "m\(size)"), attachment: ByteBuffer(repeating: 7, count: size))
                let answer = try await received.next()
                #expect(answer.0 == "m\(size)")
                #expect(answer.1 == size)
            }
            stream.halfClose()
            #expect(try await closed.next() == nil)
        }
    }

    @Test("many concurrent calls share one connection")
    func concurrentCalls() async throws {
        try await withClient(Self.router()) { client in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<200 {
                    group.addTask {
                        let response = try await client.unary(TestService.echo, text("\(index)"))
                        #expect(response.value == "\(index) nobody")
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("an RPCError of a handler travels as it is", arguments: StatusCode.all.filter { $0 != .ok })
    func errorsTravel(code: StatusCode) async throws {
        var router = RPCRouter()
        router.unary(TestService.echo) { _, _ in
            throw RPCError(code, "no luck", metadata: ["retry-after": "3"])
        }
        try await withClient(router) { client in
            let error = await rpcError { _ = try await client.unary(TestService.echo, text("")) }
            #expect(error?.code == code)
            #expect(error?.message == "no luck")
            #expect(error?.metadata["retry-after"] == "3")
        }
    }

    @Test("another error becomes INTERNAL and its text stays on the server")
    func otherErrorsAreHidden() async throws {
        struct Secret: Error, CustomStringConvertible { var description: String { "the secret prompt" } }
        var router = RPCRouter()
        router.unary(TestService.echo) { _, _ in throw Secret() }
        router.serverStreaming(TestService.count) { _, writer, _ in
            try await writer.write(number(1))
            throw CancellationError()
        }
        try await withClient(router) { client in
            let error = await rpcError { _ = try await client.unary(TestService.echo, text("")) }
            #expect(error?.code == .internalError)
            #expect(error?.message == "internal error")
            var received = 0
            let responses = try await client.serverStreaming(TestService.count, number(1))
            let streamError = await rpcError { for try await _ in responses { received += 1 } }
            #expect(received == 1)
            #expect(streamError?.code == .cancelled)
        }
    }

    @Test("an unknown method is UNIMPLEMENTED and the connection goes on")
    func unknownMethod() async throws {
        try await withClient(Self.router()) { client in
            let error = await rpcError {
                _ = try await client.unary(RPCMethod<Text, Text>("test.v1.Test/Nothing", .unary), text(""))
            }
            #expect(error?.code == .unimplemented)
            let after = try await client.unary(TestService.echo, text("a"))
            #expect(after.value == "a nobody")
        }
    }

    @Test("bytes that are no such message are INVALID_ARGUMENT for the server and INTERNAL for the client")
    func undecodableMessages() async throws {
        var router = RPCRouter()
        router.unary(TestService.echo) { request, _ in request }
        router.raw("test.v1.Test/Bad") { stream in
            try? stream.send(message: ByteBuffer(bytes: [0xFF, 0xFF]))
            stream.finish()
            return { _ in }
        }
        try await withClient(router) { client in
            let closed = Signal<RPCError?>()
            let stream = try await client.rawStream(TestService.echo.fullName) { event in
                if case .closed(let error) = event { closed.send(error) }
            }
            try stream.send(message: ByteBuffer(bytes: [0xFF, 0xFF, 0xFF]))
            stream.halfClose()
            #expect(try await closed.next()?.code == .invalidArgument)
            let error = await rpcError {
                _ = try await client.unary(RPCMethod<Text, Text>("test.v1.Test/Bad", .unary), text(""))
            }
            #expect(error?.code == .internalError)
        }
    }

    @Test("invalid metadata is refused before it is sent")
    func invalidMetadata() async throws {
        try await withClient(Self.router()) { client in
            for metadata: Metadata in [
                ["Upper": "x"], ["": "x"], ["key": "line\nbreak"], ["key": String(repeating: "x", count: 17_000)],
            ] {
                let error = await rpcError {
                    _ = try await client.unary(TestService.echo, text(""), options: CallOptions(metadata: metadata))
                }
                #expect(error?.code == .invalidArgument)
            }
        }
    }

    @Test("a message above the peer's frame limit fails alone")
    func tooLargeMessage() async throws {
        try await withClient(
            Self.router(), server: WireServerConfiguration(limits: WireLimits(maxFrameBytes: 64 << 10))
        ) { client in
            let error = await rpcError {
                _ = try await client.unary(
                    TestService.echo, text("x"), attachment: ByteBuffer(repeating: 0, count: 100_000))
            }
            #expect(error?.code == .resourceExhausted)
            let after = try await client.unary(TestService.echo, text("a"))
            #expect(after.value == "a nobody")
        }
    }
}
