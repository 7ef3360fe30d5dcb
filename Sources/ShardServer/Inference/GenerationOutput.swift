import ChatTemplate
import Engine
import Foundation
import InferenceCore
import Tokenization
import WireProtocols

/// Turns the engine's events for one request into the messages of the rpc: text from tokens, stop strings, counts.
///
/// A value that is driven by one task; knows neither sockets nor threads.
package struct GenerationOutput {
    private let model: ServedModel
    private let sampling: SamplingParameters
    private let promptTokenIDs: [TokenID]
    /// Cuts the answer to a chat; nil for other prompts.
    private var parser: AnswerParser?
    private let markers: Set<String>
    private var toolCallCount = 0
    private var reasoningTokens: UInt32 = 0
    private let echo: Bool
    private let endOfGeneration: Set<TokenID>
    private let start: ContinuousClock.Instant
    private var detokenizer: StreamingDetokenizer
    private var matcher: StopMatcher
    private var completionTokens: UInt32 = 0
    private var cachedTokens: UInt32 = 0
    private var timeToFirstToken: Duration?
    /// Set once `finished` was made; the caller stops then.
    package private(set) var isFinished = false

    package init(
        model: ServedModel, sampling: SamplingParameters, stops: [String], prompt: PreparedPrompt, echo: Bool,
        endOfGeneration: Set<TokenID>, start: ContinuousClock.Instant
    ) {
        self.model = model
        self.sampling = sampling
        promptTokenIDs = prompt.tokenIDs
        parser = prompt.parser
        markers = prompt.parser == nil ? [] : model.chatFormat.markers
        self.echo = echo
        self.endOfGeneration = sampling.ignoreEOS ? [] : endOfGeneration
        self.start = start
        detokenizer = StreamingDetokenizer(tokenizer: model.tokenizer, skipSpecial: true)
        matcher = StopMatcher(stops: stops)
    }

    /// The messages an event gives, in order.
    ///
    /// - Throws: the error of a failed generation.
    package mutating func messages(
        for event: EngineEvent, now: ContinuousClock.Instant
    ) throws(InferenceError) -> [Fathom_Shard_V1_GenerateEvent] {
        switch event {
        case .started(let promptLogprobs, let cachedTokens):
            self.cachedTokens = UInt32(cachedTokens)
            return [Self.event(.started(started(promptLogprobs)))]
        case .token(let token, let logprob):
            if timeToFirstToken == nil { timeToFirstToken = start.duration(to: now) }
            return append(token, logprob, now: now)
        case .finished(let reason):
            return finish(reason, now: now)
        case .failed(let error):
            throw error
        }
    }

    private func started(_ promptLogprobs: [TokenLogprob]?) -> Fathom_Shard_V1_Started {
        var started = Fathom_Shard_V1_Started()
        started.promptTokens = UInt32(promptTokenIDs.count)
        if echo {
            started.promptTokenIds = promptTokenIDs
            started.promptTokenBytes = promptTokenIDs.map { Data(model.bytes(of: $0)) }
        }
        if let promptLogprobs {
            // The first token follows nothing, so it has no probability.
            started.promptLogprobs =
                [Fathom_Shard_V1_TokenLogprob()] + promptLogprobs.map { $0.proto(bytes: model.bytes) }
        }
        started.model = model.name
        started.modelDigest = model.digest
        started.seed = sampling.seed ?? 0
        return started
    }

    private mutating func append(
        _ token: TokenID, _ logprob: TokenLogprob?, now: ContinuousClock.Instant
    ) -> [Fathom_Shard_V1_GenerateEvent] {
        completionTokens += 1
        if parser?.isReasoning ?? false { reasoningTokens += 1 }
        // The text of a token that ends the generation is not part of the answer.
        let ends = endOfGeneration.contains(token) || sampling.stopTokenIDs.contains(token)
        let (text, stop) = matcher.append(ends ? "" : self.text(of: token))
        var deltas = deltas(of: parser?.append(text) ?? [.content(text)])
        if stop != nil, parser != nil { deltas += self.deltas(of: parser?.finish() ?? []) }
        if deltas.isEmpty { deltas = [Fathom_Shard_V1_Delta()] }
        deltas[0].tokenIds = [token]
        if let logprob { deltas[0].logprobs = [logprob.proto(bytes: model.bytes)] }
        var events = deltas.map { Self.event(.delta($0)) }
        if let stop {
            events.append(Self.event(.finished(finished(.stop, stopReason: stop, now: now))))
        } else if parser?.isComplete ?? false {
            events.append(Self.event(.finished(finished(.stop, stopReason: "", now: now))))
        }
        return events
    }

    /// The text that a token completes. Special tokens give none, but for those that divide the parts of an answer.
    private mutating func text(of token: TokenID) -> String {
        guard !markers.isEmpty, let special = model.tokenizer.specialText(of: token), markers.contains(special) else {
            return detokenizer.append(token)
        }
        return detokenizer.finish() + special
    }

    /// Pieces as messages, in order: a message's reasoning comes before its text, and its text before its calls.
    private mutating func deltas(of pieces: [AnswerPiece]) -> [Fathom_Shard_V1_Delta] {
        var deltas: [Fathom_Shard_V1_Delta] = []
        for piece in pieces {
            var delta = deltas.popLast() ?? Fathom_Shard_V1_Delta()
            let isOutOfOrder =
                switch piece {
                case .reasoning: !delta.text.isEmpty || !delta.toolCalls.isEmpty
                case .content: !delta.toolCalls.isEmpty
                case .toolCall: false
                }
            if isOutOfOrder {
                deltas.append(delta)
                delta = Fathom_Shard_V1_Delta()
            }
            switch piece {
            case .reasoning(let text): delta.reasoning += text
            case .content(let text): delta.text += text
            case .toolCall(let call): delta.toolCalls.append(message(for: call))
            }
            deltas.append(delta)
        }
        return deltas
    }

    private mutating func message(for call: ToolCall) -> Fathom_Shard_V1_ToolCall {
        var message = Fathom_Shard_V1_ToolCall()
        message.index = UInt32(toolCallCount)
        toolCallCount += 1
        let characters = Array("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        // Mistral's templates take ids of nine letters and digits only.
        let isShort = model.chatFormat.toolCalls == .mistral
        let id = (0..<(isShort ? 9 : 24)).map { _ in characters[Int.random(in: characters.indices)] }
        message.id = (isShort ? "" : "call_") + String(id)
        message.name = call.name
        message.arguments = call.arguments
        return message
    }

    private mutating func finish(
        _ reason: FinishReason, now: ContinuousClock.Instant
    ) -> [Fathom_Shard_V1_GenerateEvent] {
        // The last half character may complete a stop string, as unlikely as that is.
        let (tail, stop) = matcher.append(detokenizer.finish())
        let text = tail + (stop == nil ? matcher.finish() : "")
        var pieces: [AnswerPiece] = text.isEmpty ? [] : [.content(text)]
        if parser != nil { pieces = (parser?.append(text) ?? []) + (parser?.finish() ?? []) }
        var events = deltas(of: pieces).map { Self.event(.delta($0)) }
        let last: Fathom_Shard_V1_Finished
        switch reason {
        case _ where stop != nil: last = finished(.stop, stopReason: stop ?? "", now: now)
        case .length: last = finished(.length, stopReason: "", now: now)
        case .stop(let token):
            let isStopToken = sampling.stopTokenIDs.contains(token) && !endOfGeneration.contains(token)
            last = finished(.stop, stopReason: isStopToken ? "token_id:\(token)" : "", now: now)
        }
        events.append(Self.event(.finished(last)))
        return events
    }

    private mutating func finished(
        _ reason: Fathom_Shard_V1_Finished.Reason, stopReason: String, now: ContinuousClock.Instant
    ) -> Fathom_Shard_V1_Finished {
        isFinished = true
        var finished = Fathom_Shard_V1_Finished()
        finished.reasoningTokens = reasoningTokens
        finished.reason = reason == .stop && (parser?.hasCalls ?? false) ? .toolCalls : reason
        finished.promptTokens = UInt32(promptTokenIDs.count)
        finished.completionTokens = completionTokens
        finished.cachedTokens = cachedTokens
        let total = start.duration(to: now)
        finished.timeToFirstTokenMicroseconds = UInt64(max(0, (timeToFirstToken ?? total) / .microseconds(1)))
        finished.totalMicroseconds = UInt64(max(0, total / .microseconds(1)))
        finished.stopReason = stopReason
        return finished
    }

    private static func event(_ kind: Fathom_Shard_V1_GenerateEvent.OneOf_Kind) -> Fathom_Shard_V1_GenerateEvent {
        var event = Fathom_Shard_V1_GenerateEvent()
        event.kind = kind
        return event
    }
}
