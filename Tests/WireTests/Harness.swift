import Logging
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization
import Testing
import Wire

/// The messages of the test service. Well-known types keep generated code out of the tests.
typealias Text = Google_Protobuf_StringValue
typealias Number = Google_Protobuf_Int64Value

enum TestService {
    static let echo = RPCMethod<Text, Text>("test.v1.Test/Echo", .unary)
    static let count = RPCMethod<Number, Number>("test.v1.Test/Count", .serverStreaming)
    static let chat = RPCMethod<Text, Text>("test.v1.Test/Chat", .bidirectional)
    static let raw = "test.v1.Test/Raw"
}

func text(_ value: String) -> Text {
    var message = Text()
    message.value = value
    return message
}

func number(_ value: Int) -> Number {
    var message = Number()
    message.value = Int64(value)
    return message
}

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs a server of `router` on a free port while `body` runs; ends both.
func withServer<Result: Sendable>(
    _ router: RPCRouter, configuration: WireServerConfiguration = .init(),
    _ body: (WireServer, Int) async throws -> Result
) async throws -> Result {
    let server = WireServer(configuration: configuration, router: router, logger: quietLogger)
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        do {
            let port = try await server.boundAddress().port
            let result = try await body(server, port)
            group.cancelAll()
            try await group.waitForAll()
            return result
        } catch {
            group.cancelAll()
            throw error
        }
    }
}

/// As `withServer`, with a client of it.
func withClient<Result: Sendable>(
    _ router: RPCRouter, server serverConfiguration: WireServerConfiguration = .init(),
    client clientConfiguration: WireClientConfiguration = .init(),
    _ body: (WireClient) async throws -> Result
) async throws -> Result {
    try await withServer(router, configuration: serverConfiguration) { _, port in
        let client = WireClient(
            target: .address(host: "127.0.0.1", port: port), configuration: clientConfiguration, logger: quietLogger)
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }
}

/// The error `body` throws; records an issue when it throws none or another kind.
func rpcError(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async -> RPCError? {
    do {
        try await body()
        Issue.record("expected an RPCError, nothing was thrown", sourceLocation: sourceLocation)
        return nil
    } catch let error as RPCError {
        return error
    } catch {
        Issue.record("expected an RPCError, got \(error)", sourceLocation: sourceLocation)
        return nil
    }
}

/// A value that tasks wait for: no sleeping in tests.
final class Signal<Value: Sendable>: Sendable {
    private let stream: AsyncStream<Value>
    private let continuation: AsyncStream<Value>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream(of: Value.self)
    }

    func send(_ value: Value) {
        continuation.yield(value)
    }

    /// The next value; one waiter at a time.
    func next() async throws -> Value {
        var iterator = stream.makeAsyncIterator()
        guard let value = await iterator.next() else { throw CancellationError() }
        return value
    }
}

/// A number that tasks count up.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { count.load(ordering: .relaxed) }

    func increment() {
        count.add(1, ordering: .relaxed)
    }
}

extension Signal where Value == Void {
    func send() {
        send(())
    }
}

/// Polls `condition` on the scheduler until it holds, for at most ten seconds.
func eventually(
    _ comment: Comment, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool
) async {
    let limit = ContinuousClock.now.advanced(by: .seconds(10))
    while !condition() {
        guard ContinuousClock.now < limit else {
            Issue.record(comment, sourceLocation: sourceLocation)
            return
        }
        await Task.yield()
    }
}
