import Foundation
import Synchronization
import Wire
import WireProtocols

/// A head whose answers are scripted: real loopback Wire, no model.
final class FakeHead: Sendable {
    typealias Script =
        @Sendable (Fathom_Shard_V1_GenerateRequest, RPCWriter<Fathom_Shard_V1_GenerateEvent>) async throws -> Void

    struct Seen: Sendable {
        var requests: [Fathom_Shard_V1_GenerateRequest] = []
        var tenants: [String] = []
        var deadlines: [ContinuousClock.Instant?] = []
    }

    static let modelName = "tiny-instruct"
    static let digest = String(repeating: "ab", count: 32)

    private struct State {
        var seen = Seen()
        var script: Script
        var description: Fathom_Shard_V1_DescribeResponse
        var describeFailure: RPCError?
    }

    private let state: Mutex<State>
    /// Yields the request id of every call that ended by cancellation.
    let cancellations: AsyncStream<String>
    private let cancelled: AsyncStream<String>.Continuation

    /// A model like its one, to be given another name.
    static var model: Fathom_Shard_V1_ModelDescription {
        var model = Fathom_Shard_V1_ModelDescription()
        model.name = modelName
        model.digest = digest
        model.maxContextTokens = 2_048
        model.millisecondsSinceLastToken = 10
        model.created = 1_700_000_000
        model.state = .ready
        return model
    }

    init(script: @escaping Script = FakeHead.words(["Hello", " world", "."])) {
        var description = Fathom_Shard_V1_DescribeResponse()
        description.model = Self.modelName
        description.modelDigest = Self.digest
        description.maxContextTokens = 2_048
        description.serving = true
        description.millisecondsSinceLastToken = 10
        description.created = 1_700_000_000
        state = Mutex(State(script: script, description: description))
        (cancellations, cancelled) = AsyncStream.makeStream()
    }

    var seen: Seen { state.withLock { $0.seen } }

    func setScript(_ script: @escaping Script) {
        state.withLock { $0.script = script }
    }

    func setDescription(_ change: (inout Fathom_Shard_V1_DescribeResponse) -> Void) {
        state.withLock { change(&$0.description) }
    }

    func setDescribeFailure(_ error: RPCError?) {
        state.withLock { $0.describeFailure = error }
    }

    func add(to router: inout RPCRouter) {
        router.unary(InferenceService.describe) { _, _ in
            try self.state.withLock { state in
                if let failure = state.describeFailure { throw failure }
                return Self.withModel(state.description)
            }
        }
        router.serverStreaming(InferenceService.generate) { request, writer, context in
            let script = self.state.withLock { state in
                state.seen.requests.append(request)
                state.seen.tenants.append(context.metadata[MetadataKey.tenant] ?? "")
                state.seen.deadlines.append(context.deadline)
                return state.script
            }
            do {
                try await script(request, writer)
            } catch {
                if Task.isCancelled { self.cancelled.yield(request.requestID) }
                throw error
            }
        }
    }

    /// The description with its one model, unless it lists models itself.
    private static func withModel(
        _ description: Fathom_Shard_V1_DescribeResponse
    ) -> Fathom_Shard_V1_DescribeResponse {
        guard description.models.isEmpty else { return description }
        var model = Fathom_Shard_V1_ModelDescription()
        model.name = description.model
        model.digest = description.modelDigest
        model.maxContextTokens = description.maxContextTokens
        model.millisecondsSinceLastToken = description.millisecondsSinceLastToken
        model.created = description.created
        model.state = .ready
        var description = description
        description.models = [model]
        return description
    }

    // MARK: Scripts

    /// Answers with these pieces, one token each; honours `max_tokens`, echo and logprobs.
    static func words(_ words: [String]) -> Script {
        { request, writer in
            try await writer.write(started(request))
            let count = min(words.count, Int(request.sampling.maxTokens))
            for (index, word) in words.prefix(count).enumerated() {
                try await writer.write(delta(word, token: UInt32(100 + index), request))
            }
            try await writer.write(finished(count, request, reason: count < words.count ? .length : .stop))
        }
    }

    /// Sends `started` and one word, then waits until it is cancelled.
    static let hangs: Script = { request, writer in
        try await writer.write(started(request))
        try await writer.write(delta("Hel", token: 1, request))
        try await Task.sleep(for: .seconds(60))
    }

    /// Sends nothing, as during a long prefill, and waits until it is cancelled.
    static let hangsSilently: Script = { _, _ in
        try await Task.sleep(for: .seconds(60))
    }

    static func fails(_ error: RPCError, after words: [String] = []) -> Script {
        { request, writer in
            if !words.isEmpty { try await writer.write(started(request)) }
            for word in words { try await writer.write(delta(word, token: 1, request)) }
            throw error
        }
    }

    static func promptTokens(_ request: Fathom_Shard_V1_GenerateRequest) -> [(id: UInt32, text: String)] {
        switch request.prompt.kind {
        case .tokens(let tokens): tokens.ids.map { ($0, "<\($0)>") }
        case .text(let text):
            text.split(separator: " ").enumerated().map { (UInt32($0.offset), ($0.offset > 0 ? " " : "") + $0.element) }
        case .chat(let chat): chat.messages.enumerated().map { (UInt32($0.offset), $0.element.content) }
        case nil: []
        }
    }

    static func started(_ request: Fathom_Shard_V1_GenerateRequest) -> Fathom_Shard_V1_GenerateEvent {
        let tokens = promptTokens(request)
        var started = Fathom_Shard_V1_Started()
        started.promptTokens = UInt32(tokens.count)
        started.model = request.model
        started.modelDigest = digest
        if request.echo {
            started.promptTokenIds = tokens.map(\.id)
            started.promptTokenBytes = tokens.map { Data($0.text.utf8) }
        }
        if request.sampling.promptLogprobs >= 0 {
            started.promptLogprobs = tokens.enumerated().map { index, token in
                index == 0
                    ? Fathom_Shard_V1_TokenLogprob()
                    : logprob(token.text, token: token.id, count: Int(request.sampling.promptLogprobs))
            }
        }
        var event = Fathom_Shard_V1_GenerateEvent()
        event.started = started
        return event
    }

    static func delta(
        _ text: String, token: UInt32, _ request: Fathom_Shard_V1_GenerateRequest
    ) -> Fathom_Shard_V1_GenerateEvent {
        var delta = Fathom_Shard_V1_Delta()
        delta.text = text
        delta.tokenIds = [token]
        if request.sampling.logprobs >= 0 {
            delta.logprobs = [logprob(text, token: token, count: Int(request.sampling.logprobs))]
        }
        var event = Fathom_Shard_V1_GenerateEvent()
        event.delta = delta
        return event
    }

    static func logprob(_ text: String, token: UInt32, count: Int) -> Fathom_Shard_V1_TokenLogprob {
        var result = Fathom_Shard_V1_TokenLogprob()
        result.tokenID = token
        result.token = Data(text.utf8)
        result.logprob = -0.5
        result.top = (0..<count).map { index in
            var top = Fathom_Shard_V1_TopLogprob()
            top.tokenID = index == 0 ? token : 5_000 + UInt32(index)
            top.token = index == 0 ? result.token : Data("alternative\(index)".utf8)
            top.logprob = -0.5 - Float(index)
            return top
        }
        return result
    }

    static func finished(
        _ count: Int, _ request: Fathom_Shard_V1_GenerateRequest,
        reason: Fathom_Shard_V1_Finished.Reason = .stop
    ) -> Fathom_Shard_V1_GenerateEvent {
        var finished = Fathom_Shard_V1_Finished()
        finished.reason = reason
        finished.promptTokens = UInt32(promptTokens(request).count)
        finished.completionTokens = UInt32(count)
        finished.cachedTokens = 1
        var event = Fathom_Shard_V1_GenerateEvent()
        event.finished = finished
        return event
    }
}
