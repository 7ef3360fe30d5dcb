import Wire
import WireProtocols

/// An event of one choice of a request.
package struct ChoiceEvent: Sendable {
    /// Index over prompts and choices: prompt * n + choice.
    package var index: Int
    package var event: Fathom_Shard_V1_GenerateEvent

    package init(index: Int, event: Fathom_Shard_V1_GenerateEvent) {
        self.index = index
        self.event = event
    }
}

/// The upstream calls of one client request, merged into one sequence of events.
///
/// Ends by itself when every call has finished; ends early, and cancels every call, on `cancel`, on the first error, or
/// when it is no longer referenced.
package final class GenerationSession: Sendable {
    /// Events in flight between the head and the client before the head is slowed down.
    static let bufferedEventCount = 64
    /// Calls of one client request that run at once; the others wait for their turn.
    static let concurrentCallCount = 32

    private let channel: BoundedChannel<ChoiceEvent>
    private let task: Task<Void, Never>

    /// Starts all of `requests`; their indices name their events.
    package init(_ requests: [Fathom_Shard_V1_GenerateRequest], inference: InferenceClient, options: CallOptions) {
        let channel = BoundedChannel<ChoiceEvent>(capacity: Self.bufferedEventCount)
        self.channel = channel
        // Unstructured, because Hummingbird writes a response's body after its route has returned: no scope of ours
        // spans both. This object owns the task and cancels it when it goes.
        task = Task {
            do {
                try await Self.run(requests, inference: inference, options: options, channel: channel)
                channel.finish()
            } catch {
                channel.finish(throwing: error)
            }
        }
    }

    deinit {
        cancel(throwing: CancellationError())
    }

    /// The next event of any choice; nil when all have finished.
    ///
    /// - Throws: `RPCError` of the first call that failed, or what `cancel` was given.
    package func next() async throws -> ChoiceEvent? {
        try await channel.next()
    }

    /// Waits until `next` has something to give, at most for `duration`; false when it has not. Once at a time, and not
    /// beside `next`.
    package func waitForNext(_ duration: Duration) async -> Bool {
        await channel.waitForNext(duration)
    }

    /// Cancels every call at once; `next` throws `error`.
    package func cancel(throwing error: any Error) {
        channel.cancel(throwing: error)
        task.cancel()
    }

    private static func run(
        _ requests: [Fathom_Shard_V1_GenerateRequest], inference: InferenceClient, options: CallOptions,
        channel: BoundedChannel<ChoiceEvent>
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, request) in requests.enumerated() {
                if index >= concurrentCallCount { try await group.next() }
                group.addTask {
                    do {
                        try await forward(request, index: index, inference: inference, options: options, to: channel)
                    } catch {
                        // The consumer learns of it now, and siblings that wait for room do not hold the group up.
                        channel.finish(throwing: error)
                        throw error
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private static func forward(
        _ request: Fathom_Shard_V1_GenerateRequest, index: Int, inference: InferenceClient, options: CallOptions,
        to channel: BoundedChannel<ChoiceEvent>
    ) async throws {
        var hasFinished = false
        for try await response in try await inference.generate(request, options: options) {
            if case .finished = response.message.kind { hasFinished = true }
            try await channel.send(ChoiceEvent(index: index, event: response.message))
        }
        guard hasFinished else {
            throw RPCError(.unavailable, "the generation ended without its last event")
        }
    }
}
