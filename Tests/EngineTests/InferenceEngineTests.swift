import Dispatch
import Engine
import InferenceCore
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct InferenceEngineTests {
    /// Everything a generation gave.
    struct Outcome: Equatable {
        var tokens: [TokenID] = []
        var logprobs: [TokenLogprob] = []
        var promptLogprobs: [TokenLogprob]?
        var reason: FinishReason?
        var failure: InferenceError.Code?
    }

    static let endToken: TokenID = 5

    private func configuration(
        stages: Int = 1, relinkTimeout: Duration = .seconds(60)
    ) -> EngineConfiguration {
        EngineConfiguration(
            maxBatchedTokens: 16, maxRunningSequences: 8, maxWaitingSequences: 64, stageCount: stages,
            endOfGenerationTokenIDs: [Self.endToken], heartbeatInterval: .milliseconds(20),
            relinkTimeout: relinkTimeout)
    }

    private func prompt(_ index: Int) -> [TokenID] {
        (0..<(3 + index * 5 % 37)).map { TokenID((index * 31 + $0 * 7) % 300) }
    }

    private func request(_ index: Int) -> EngineRequest {
        var sampling = SamplingParameters(maxTokens: 10 + index % 20, temperature: index % 3 == 0 ? 0.8 : 0)
        sampling.seed = UInt64(index)
        sampling.logprobs = index % 2 == 0 ? 2 : nil
        sampling.promptLogprobs = index % 5 == 0 ? 1 : nil
        sampling.frequencyPenalty = index % 4 == 0 ? 0.5 : 0
        return EngineRequest(tenant: "tenant-\(index % 3)", promptTokenIDs: prompt(index), sampling: sampling)
    }

    private func collect(_ generation: EngineGeneration) async -> Outcome {
        var outcome = Outcome()
        for await event in generation.events {
            switch event {
            case .started(let logprobs, _): outcome.promptLogprobs = logprobs
            case .token(let token, let logprob):
                outcome.tokens.append(token)
                if let logprob { outcome.logprobs.append(logprob) }
            case .finished(let reason): outcome.reason = reason
            case .failed(let error): outcome.failure = error.code
            }
        }
        return outcome
    }

    private func outcomesAlone(count: Int, brokenTokens: Set<TokenID> = []) async throws -> [Outcome] {
        var outcomes: [Outcome] = []
        let engine = InferenceEngine(stage: FakeStage(brokenTokens: brokenTokens), configuration: configuration())
        for index in 0..<count { outcomes.append(await collect(try engine.submit(request(index)))) }
        await engine.shutdown(deadline: .now + .seconds(5))
        return outcomes
    }

    private func outcomesTogether(_ engine: InferenceEngine, count: Int) async throws -> [Outcome] {
        let generations = try (0..<count).map { try engine.submit(request($0)) }
        return await withTaskGroup(of: (Int, Outcome).self) { group in
            for (index, generation) in generations.enumerated() {
                group.addTask { (index, await self.collect(generation)) }
            }
            var outcomes = Array(repeating: Outcome(), count: count)
            for await (index, outcome) in group { outcomes[index] = outcome }
            return outcomes
        }
    }

    @Test(
        "17 concurrent requests give what each gives alone, with room to spare and with preemptions",
        arguments: [64, 34])
    func concurrent(blocks: Int) async throws {
        let alone = try await outcomesAlone(count: 17)
        let engine = InferenceEngine(stage: FakeStage(kvBlockCount: blocks), configuration: configuration())
        let together = try await outcomesTogether(engine, count: 17)
        #expect(together == alone)
        #expect(alone.allSatisfy { $0.reason != nil && !$0.tokens.isEmpty })
        #expect(alone[0].promptLogprobs?.map(\.tokenID) == Array(prompt(0).dropFirst()))
        if blocks == 34 { #expect(engine.status.preemptions > 0) }
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("two and three stages give the tokens of one", arguments: [[0..<2, 2..<6], [0..<1, 1..<4, 4..<6]])
    func stages(ranges: [Range<Int>]) async throws {
        let alone = try await outcomesAlone(count: 17)
        let link = LocalLink(stages: Array(ranges.dropFirst()))
        let engine = InferenceEngine(
            stage: FakeStage(layers: ranges[0]), link: link, configuration: configuration(stages: ranges.count))
        link.up()
        #expect(try await outcomesTogether(engine, count: 17) == alone)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a cancelled request frees its blocks and leaves the others alone")
    func cancellation() async throws {
        let expected = try await outcomesAlone(count: 2)
        let engine = InferenceEngine(stage: FakeStage(), configuration: configuration())
        var long = request(0)
        long.sampling.maxTokens = 100
        long.sampling.ignoreEOS = true
        let victim = try engine.submit(long)
        let other = try engine.submit(request(1))
        var iterator = victim.events.makeAsyncIterator()
        _ = await iterator.next()
        engine.cancel(victim.id)
        #expect(await collect(other) == expected[1])
        while await iterator.next() != nil {}
        #expect(await eventually { engine.status.kvBlocksUsed == 0 && engine.status.runningSequences == 0 })
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("dropping the events cancels the request")
    func dropped() async throws {
        // The step thread stops at position 100 until the events are dropped.
        let dropped = DispatchSemaphore(value: 0)
        let stage = FakeStage(maxContextTokens: 100_000, kvBlockCount: 512)
        stage.onForward = { batch in
            if batch.sequences.contains(where: { $0.startPosition == 100 }) {
                #expect(dropped.wait(timeout: .now() + 20) == .success)
            }
        }
        let engine = InferenceEngine(stage: stage, configuration: configuration())
        var long = request(1)
        long.sampling.maxTokens = 100_000
        long.sampling.ignoreEOS = true
        for await _ in try engine.submit(long).events { break }
        dropped.signal()
        #expect(await eventually { engine.status.kvBlocksUsed == 0 })
        #expect(engine.status.generatedTokens <= 101)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a request whose deadline is past fails with deadlinePassed")
    func deadline() async throws {
        let engine = InferenceEngine(stage: FakeStage(), configuration: configuration())
        var late = request(1)
        late.deadline = .now - .seconds(1)
        #expect(await collect(try engine.submit(late)).failure == .deadlinePassed)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("an idle engine proves itself alive through all stages")
    func heartbeat() async throws {
        let link = LocalLink(stages: [2..<6])
        let engine = InferenceEngine(
            stage: FakeStage(layers: 0..<2), link: link, configuration: configuration(stages: 2))
        #expect(engine.status.millisecondsSinceLastToken() == nil)
        link.up()
        #expect(await eventually { engine.status.lastTokenTime != nil })
        let sent = link.sentCount
        #expect(await eventually { link.sentCount > sent + 2 })
        #expect(engine.status.generatedTokens == 0, "heartbeats are not counted")
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("without a link requests fail at once; one that does not come back in time fails all", arguments: [0, 50])
    func linkLoss(milliseconds: Int) async throws {
        let alone = try await outcomesAlone(count: 6)
        let link = LocalLink(stages: [2..<6])
        let engine = InferenceEngine(
            stage: FakeStage(layers: 0..<2), link: link,
            configuration: configuration(stages: 2, relinkTimeout: .milliseconds(milliseconds)))
        #expect(await collect(try engine.submit(request(1))).failure == .shardUnavailable)

        link.up()
        #expect(try await outcomesTogether(engine, count: 6) == alone)
        link.mute()
        let stuck = try (0..<20).map { try engine.submit(request($0)) }
        #expect(await eventually { engine.status.runningSequences > 0 && engine.status.waitingSequences > 0 })
        link.down()
        for generation in stuck { #expect(await collect(generation).failure == .shardUnavailable) }
        #expect(await eventually { engine.status.kvBlocksUsed == 0 && !engine.status.isLinked })
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("requests in flight survive the loss of the link with the tokens they would have had")
    func requeued() async throws {
        let alone = try await outcomesAlone(count: 17)
        let link = LocalLink(stages: [1..<4, 4..<6])
        let stage = FakeStage(layers: 0..<1)
        let steps = Atomic(0)
        let haveCome = DispatchSemaphore(value: 0)
        stage.onForward = { _ in
            let step = steps.add(1, ordering: .relaxed).newValue
            // All have come before the link is lost: those that find none fail at once. Three steps later they have been seen.
            if step == 1 { _ = haveCome.wait(timeout: .now() + 60) }
            // A first loss while prompts are computed, later ones while tokens are generated.
            guard [5, 30, 41].contains(step) else { return }
            link.down()
            link.up()
        }
        let engine = InferenceEngine(stage: stage, link: link, configuration: configuration(stages: 3))
        link.up()
        let generations = try (0..<17).map { try engine.submit(request($0)) }
        haveCome.signal()
        var outcomes: [Outcome] = []
        for generation in generations { outcomes.append(await collect(generation)) }
        #expect(outcomes == alone)
        #expect(steps.load(ordering: .relaxed) > 41 && engine.status.requeuedSequences > 0)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a request that waits for the link fails when its deadline passes")
    func requeuedDeadline() async throws {
        let link = LocalLink(stages: [2..<6])
        let engine = InferenceEngine(
            stage: FakeStage(layers: 0..<2), link: link, configuration: configuration(stages: 2))
        link.up()
        link.mute()
        var late = request(1)
        late.deadline = .now + .milliseconds(300)
        let generation = try engine.submit(late)
        #expect(await eventually { engine.status.runningSequences > 0 })
        link.down()
        #expect(await collect(generation).failure == .deadlinePassed)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a request whose steps lose the link each time is given up, and others are served")
    func repeatedLoss() async throws {
        let alone = try await outcomesAlone(count: 2)
        let link = LocalLink(stages: [2..<6])
        let culprit: TokenID = 299
        let stage = FakeStage(layers: 0..<2)
        let losses = Atomic(0)
        stage.onForward = { batch in
            guard batch.sequences.contains(where: { $0.tokenIDs.contains(culprit) }) else { return }
            losses.add(1, ordering: .relaxed)
            link.down()
            link.up()
        }
        let engine = InferenceEngine(stage: stage, link: link, configuration: configuration(stages: 2))
        link.up()
        var bad = request(1)
        bad.promptTokenIDs = [culprit]
        #expect(await collect(try engine.submit(bad)).failure == .shardUnavailable)
        #expect(losses.load(ordering: .relaxed) == 4)
        #expect(await eventually { engine.status.isLinked })
        #expect(try await outcomesTogether(engine, count: 2) == alone)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test(
        "a request with a token whose numbers are broken fails alone: no other changes, and the link stays",
        arguments: [[0..<6], [0..<2, 2..<6], [0..<1, 1..<4, 4..<6]])
    func brokenToken(ranges: [Range<Int>]) async throws {
        let broken: TokenID = 299
        // Some of these come upon the token by themselves, and fail then.
        let alone = try await outcomesAlone(count: 17, brokenTokens: [broken])
        let failing = alone.count { $0.failure == .notFinite }
        #expect(failing < 6)
        let link = ranges.count > 1 ? LocalLink(stages: Array(ranges.dropFirst())) : nil
        let engine = InferenceEngine(
            stage: FakeStage(layers: ranges[0], brokenTokens: [broken]), link: link,
            configuration: configuration(stages: ranges.count))
        link?.up()
        // Prompts that begin like those of others, so that blocks are shared; the broken token at each place of a block.
        let poisoned = (0..<17).map { index in
            var request = request(index)
            let place = min(index % 9, request.promptTokenIDs.count)
            request.promptTokenIDs.insert(broken, at: request.promptTokenIDs.count - place)
            return request
        }
        for _ in 0..<3 {
            let generations = try poisoned.map { try engine.submit($0) }
            #expect(try await outcomesTogether(engine, count: 17) == alone)
            for generation in generations {
                let outcome = await collect(generation)
                #expect(outcome.failure == .notFinite && outcome.tokens.isEmpty)
            }
        }
        #expect(engine.status.notFiniteSequences == 3 * (17 + failing) && engine.status.requeuedSequences == 0)
        #expect(link?.epochCount ?? 1 == 1 && !engine.status.isBroken)
        #expect(await eventually { engine.status.kvBlocksUsed == 0 })
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a model that computes no numbers says so at once and loses no link")
    func brokenModel() async throws {
        let link = LocalLink(stages: [2..<6])
        let engine = InferenceEngine(
            stage: FakeStage(layers: 0..<2, brokenTokens: Set(0..<300)), link: link,
            configuration: configuration(stages: 2))
        link.up()
        #expect(await eventually { engine.status.isBroken })
        #expect(engine.status.lastTokenTime == nil && engine.status.isLinked)
        #expect(await collect(try engine.submit(request(1))).failure == .notFinite)
        #expect(link.epochCount == 1)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a heartbeat token whose numbers are broken does not make the model broken")
    func brokenHeartbeat() async throws {
        let engine = InferenceEngine(stage: FakeStage(brokenTokens: [0, 37]), configuration: configuration())
        #expect(await eventually { engine.status.lastTokenTime != nil })
        let steps = engine.status.steps
        #expect(await eventually { engine.status.steps > steps + 9 })
        #expect(!engine.status.isBroken)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("after a link is lost and restored the same requests give the same tokens")
    func restored() async throws {
        let alone = try await outcomesAlone(count: 6)
        let link = LocalLink(stages: [2..<6])
        let engine = InferenceEngine(
            stage: FakeStage(layers: 0..<2), link: link, configuration: configuration(stages: 2))
        link.up()
        #expect(try await outcomesTogether(engine, count: 6) == alone)
        link.down()
        #expect(await eventually { !engine.status.isLinked })
        link.up()
        #expect(await eventually { engine.status.isLinked })
        #expect(try await outcomesTogether(engine, count: 6) == alone)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a step nobody answers ends the epoch after the timeout")
    func watchdog() async throws {
        let link = LocalLink(stages: [2..<6])
        var configuration = configuration(stages: 2, relinkTimeout: .milliseconds(50))
        configuration.stepTimeout = .milliseconds(50)
        let engine = InferenceEngine(stage: FakeStage(layers: 0..<2), link: link, configuration: configuration)
        link.mute()
        link.up()
        #expect(await collect(try engine.submit(request(1))).failure == .shardUnavailable)
        #expect(await eventually { !link.isUp })
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("a stage that throws fails the requests in flight, and the engine goes on")
    func stageFailure() async throws {
        let alone = try await outcomesAlone(count: 2)
        let stage = FakeStage()
        let poison: TokenID = 299
        stage.onForward = { [unowned stage] batch in
            let isPoisoned = batch.sequences.contains { $0.tokenIDs.contains(poison) }
            stage.failure = isPoisoned ? InferenceError(code: .internalError, message: "by the test") : nil
        }
        let engine = InferenceEngine(stage: stage, configuration: configuration())
        var poisoned = request(1)
        poisoned.promptTokenIDs = [poison]
        #expect(await collect(try engine.submit(poisoned)).failure == .internalError)
        #expect(try await outcomesTogether(engine, count: 2) == alone)
        await engine.shutdown(deadline: .now + .seconds(5))
    }

    @Test("shutting down finishes open requests and refuses new ones")
    func shutdown() async throws {
        let expected = try await outcomesAlone(count: 2)
        let engine = InferenceEngine(stage: FakeStage(), configuration: configuration())
        let generation = try engine.submit(request(1))
        async let outcome = collect(generation)
        await engine.shutdown(deadline: .now + .seconds(5))
        #expect(await outcome == expected[1])
        let error = #expect(throws: InferenceError.self) { try engine.submit(request(1)) }
        #expect(error?.code == .draining)
    }

    /// Waits for a condition that another thread brings about; the suite's time limit is the deadline.
    private func eventually(_ condition: () -> Bool) async -> Bool {
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition() {
            if ContinuousClock.now > deadline { return false }
            await Task.yield()
        }
        return true
    }
}
