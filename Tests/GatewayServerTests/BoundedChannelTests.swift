import GatewayServer
import Testing

struct BoundedChannelTests {
    @Test("elements of many producers arrive once, each producer's in order, though the channel is small")
    func order() async throws {
        let channel = BoundedChannel<(producer: Int, value: Int)>(capacity: 3)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for producer in 0..<8 {
                group.addTask { for value in 0..<100 { try await channel.send((producer, value)) } }
            }
            group.addTask {
                var next = [Int](repeating: 0, count: 8)
                for _ in 0..<800 {
                    let element = try #require(try await channel.next())
                    #expect(element.value == next[element.producer])
                    next[element.producer] += 1
                }
            }
            try await group.waitForAll()
        }
        channel.finish()
        #expect(try await channel.next() == nil)
    }

    @Test("a finished channel gives what is in it, then its error, then the end")
    func finish() async throws {
        let channel = BoundedChannel<Int>(capacity: 4)
        try await channel.send(1)
        channel.finish(throwing: APIError.internalError)
        #expect(try await channel.next() == 1)
        await #expect(throws: APIError.internalError) { try await channel.next() }
        #expect(try await channel.next() == nil)
        await #expect(throws: CancellationError.self) { try await channel.send(2) }
    }

    @Test("cancelling wakes producers and the consumer, and drops what is in the channel")
    func cancel() async throws {
        let channel = BoundedChannel<Int>(capacity: 1)
        try await channel.send(1)
        let producer = Task { try await channel.send(2) }
        channel.cancel(throwing: APIError.clientClosed)
        await #expect(throws: CancellationError.self) { try await producer.value }
        await #expect(throws: APIError.clientClosed) { try await channel.next() }
    }

    @Test("a consumer whose task is cancelled stops waiting")
    func consumerCancelled() async throws {
        let channel = BoundedChannel<Int>(capacity: 1)
        let consumer = Task { try await channel.next() }
        consumer.cancel()
        await #expect(throws: CancellationError.self) { try await consumer.value }
        await #expect(throws: CancellationError.self) { try await channel.send(1) }
    }
}
