import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceSupport
import Synchronization
import Wire
import WireProtocols

/// A request for generated text, ready to run.
struct GenerationJob<Renderer: GenerationRenderer>: Sendable {
    /// One for each choice of each prompt.
    var requests: [Fathom_Shard_V1_GenerateRequest]
    /// Makes the renderer once the evidence is known.
    var makeRenderer: @Sendable (_ evidence: [Evidence]?, _ isStreamed: Bool) -> Renderer
    var parameters: GenerationParameters
    /// The member that holds the prompt, to be named when it is too long.
    var promptParameter: String
    /// Under which the answer is kept and looked for; nil when it must not be.
    var cacheKey: CacheKey?
    /// Searches, and returns what was found with the requests that contain it; nil when nothing is searched.
    var retrieve: (@Sendable () async throws -> ([Evidence], [Fathom_Shard_V1_GenerateRequest]))?
}

/// Runs generations: cache, upstream calls, cancellation, streams, counts. Both completion endpoints are thin over it.
struct GenerationService: Sendable {
    let inference: InferenceClient
    let cache: ResponseCache
    let metrics: GatewayMetrics
    let logger: Logger
    let deadline: Duration
    /// Longest silence of a stream, also before its first event; zero: no bound.
    let pingInterval: Duration

    /// Longest that a client may take after the deadline to read what was written.
    private static let drainTime = TimeAmount.seconds(10)

    /// Answers a job.
    ///
    /// - Throws: `APIError` or `RPCError` of everything that fails before the first event.
    func respond<Renderer>(to job: GenerationJob<Renderer>, context: GatewayContext) async throws -> Response {
        let start = ContinuousClock.now
        let model = job.requests.first?.model
        context.record.update { $0.model = model }
        let modelMetrics = metrics.model(model)
        if let key = job.cacheKey, let cached = cache.value(for: key) {
            modelMetrics.cacheHits.increment()
            return try await render(
                .cached(cached.events), job: job, evidence: cached.evidence, cacheState: "hit", start: start,
                context: context)
        }
        if job.cacheKey != nil { modelMetrics.cacheMisses.increment() }
        var requests = job.requests
        var evidence: [Evidence]?
        if let retrieve = job.retrieve {
            let (found, augmented) = try await retrieve()
            evidence = found
            requests = augmented
        }
        let session = GenerationSession(
            requests, inference: inference,
            options: CallOptions(timeout: deadline, metadata: context.scope.metadata))
        // Weak: a finished session must not live as long as its connection.
        context.channel.whenClientIsGone { [weak session] in session?.cancel(throwing: APIError.clientClosed) }
        // Errors that come before the first event still become a proper status, unless a stream has been silent for so long
        // that its status is sent to keep the connection open.
        var first: ChoiceEvent?
        let mayBeLate = job.parameters.streams && pingInterval > .zero
        let isLate = mayBeLate ? await !session.waitForNext(pingInterval) : false
        if !isLate {
            do {
                first = try await session.next()
            } catch let error as RPCError where error.code == .outOfRange {
                throw APIError(error).about(job.promptParameter)
            }
            guard first != nil else { throw RPCError(.unavailable, "the generation ended before it began") }
        }
        return try await render(
            .live(session, first: first), job: job, evidence: evidence,
            cacheState: job.cacheKey == nil ? "bypass" : "miss", start: start, context: context)
    }

    private func render<Renderer>(
        _ source: GenerationSource, job: GenerationJob<Renderer>, evidence: [Evidence]?, cacheState: String,
        start: ContinuousClock.Instant, context: GatewayContext
    ) async throws -> Response {
        context.record.update { $0.cache = cacheState }
        let recorder = Recorder(
            limit: cacheState == "miss" ? cache.maximumEntryCost : 0,
            metrics: cacheState == "hit" ? nil : metrics.model(job.requests.first?.model), start: start)
        let renderer = job.makeRenderer(evidence, job.parameters.streams)
        guard job.parameters.streams else {
            let response = try await whole(source, renderer, recorder, job.promptParameter, context)
            store(recorder, job.cacheKey, evidence)
            return response.with(cacheState)
        }
        let body = ResponseBody { writer in
            metrics.activeStreams.add(1)
            defer { metrics.activeStreams.add(-1) }
            // A client that reads nothing would hold the connection for ever.
            let channel = context.channel
            let timer = channel.eventLoop.scheduleTask(in: TimeAmount(deadline) + Self.drainTime) {
                channel.close(promise: nil)
            }
            defer { timer.cancel() }
            if source.isLate { try await writer.write(ByteBuffer(string: ServerSentEvents.ping)) }
            let isWhole = try await stream(
                source, renderer, recorder, job.parameters, promptParameter: job.promptParameter, to: &writer, context)
            if isWhole { store(recorder, job.cacheKey, evidence) }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: ServerSentEvents.headers, body: body).with(cacheState)
    }

    private func whole<Renderer: GenerationRenderer>(
        _ source: GenerationSource, _ renderer: Renderer, _ recorder: Recorder, _ promptParameter: String,
        _ context: GatewayContext
    ) async throws -> Response {
        var renderer = renderer
        do {
            try await source.forEach { event in
                recorder.record(event)
                _ = renderer.chunks(for: event)
            }
        } catch let failure as GenerationSource.UpstreamFailure {
            guard let error = failure.cause as? RPCError, error.code == .outOfRange else { throw failure.cause }
            throw APIError(error).about(promptParameter)
        }
        context.record.update { [usage = renderer.usage] in $0.usage = usage }
        return .json(renderer.response())
    }

    /// Writes a stream; false when it ended with an error event.
    ///
    /// - Throws: what writing throws: the client is gone.
    private func stream<Renderer: GenerationRenderer>(
        _ source: GenerationSource, _ renderer: Renderer, _ recorder: Recorder, _ parameters: GenerationParameters,
        promptParameter: String, to writer: inout any ResponseBodyWriter, _ context: GatewayContext
    ) async throws -> Bool {
        var renderer = renderer
        var isWhole = true
        defer { context.record.update { [usage = renderer.usage] in $0.usage = usage } }
        do {
            try await source.forEach { event in
                recorder.record(event)
                var buffer = ByteBuffer()
                for chunk in renderer.chunks(for: event) { ServerSentEvents.append(chunk, to: &buffer) }
                if buffer.readableBytes > 0 { try await writer.write(buffer) }
            }
        } catch let failure as GenerationSource.UpstreamFailure {
            isWhole = false
            let error = APIError(any: failure.cause).about(promptParameter)
            context.record.update { $0.streamError = error.code ?? "\(error.status)" }
            if error.status >= 500 {
                logger.error(
                    "Stream failed",
                    metadata: ["request.id": "\(context.requestID)", "error.code": "\(error.code ?? "")"])
            }
            var json = JSONWriter()
            json.write(error.json)
            var buffer = ByteBuffer()
            ServerSentEvents.append(json.bytes, to: &buffer)
            try await writer.write(buffer)
        }
        var buffer = ByteBuffer()
        if isWhole && parameters.includesUsage { ServerSentEvents.append(renderer.usageChunk(), to: &buffer) }
        buffer.writeString(ServerSentEvents.done)
        try await writer.write(buffer)
        return isWhole
    }

    private func store(_ recorder: Recorder, _ key: CacheKey?, _ evidence: [Evidence]?) {
        guard let key, let events = recorder.events else { return }
        cache.insert(CachedGeneration(events: events, evidence: evidence), for: key)
    }
}

extension Response {
    /// The same with the header that says where the answer came from.
    fileprivate func with(_ cacheState: String) -> Response {
        var response = self
        response.headers[.fathomCache] = cacheState
        return response
    }
}

/// Sees every event pass: times them, and keeps them for the cache while they are few enough.
///
/// Used by one task at a time; a class, because the route hands it to the body that outlives it.
private final class Recorder: Sendable {
    private struct State {
        var events: [ChoiceEvent]?
        var cost = 0
        var lastDelta: [Int: ContinuousClock.Instant] = [:]
        var hasFirstToken = false
    }

    private let limit: Int
    private let metrics: GatewayMetrics.Model?
    private let start: ContinuousClock.Instant
    private let state: Mutex<State>

    /// - Parameters:
    ///   - limit: bytes of events kept; 0 keeps none.
    ///   - metrics: nil when times mean nothing, as for an answer from the cache.
    init(limit: Int, metrics: GatewayMetrics.Model?, start: ContinuousClock.Instant) {
        self.limit = limit
        self.metrics = metrics
        self.start = start
        state = Mutex(State(events: limit > 0 ? [] : nil))
    }

    /// What was kept; nil when it was too much.
    var events: [ChoiceEvent]? { state.withLock { $0.events } }

    func record(_ event: ChoiceEvent) {
        state.withLock { state in
            if state.events != nil {
                state.cost += CachedGeneration.cost(event.event)
                if state.cost > limit { state.events = nil } else { state.events?.append(event) }
            }
            guard let metrics, case .delta = event.event.kind else { return }
            let now = ContinuousClock.now
            if !state.hasFirstToken {
                state.hasFirstToken = true
                metrics.timeToFirstToken.record((now - start).inSeconds)
            }
            if let last = state.lastDelta[event.index] { metrics.interToken.record((now - last).inSeconds) }
            state.lastDelta[event.index] = now
        }
    }
}
