import InferenceCore
import Testing

@Suite struct SchedulerTests {
    @Test("random programs keep every invariant and every output", arguments: [1, 2, 3], [6, 16, 40] as [Int])
    func randomPrograms(stages: Int, blocks: Int) throws {
        var preemptions = 0
        var prefixHits = 0
        var acceptedGuesses = 0
        var failures = 0
        var losses = 0
        for seed in 0..<12 {
            let configuration = SchedulerSimulation.configuration(
                stages: stages, blocks: blocks, budget: seed % 3 == 0 ? 3 : 12)
            var simulation = SchedulerSimulation(configuration: configuration, seed: UInt64(seed * 31 + stages))
            for _ in 0..<1_500 { try simulation.move() }
            try simulation.drain()
            simulation.checkOutputs()
            preemptions += simulation.scheduler.preemptionCount
            prefixHits += simulation.scheduler.prefixHitTokens
            acceptedGuesses += simulation.scheduler.acceptedTokens
            failures += simulation.failureCount
            losses += simulation.lossCount
        }
        #expect(prefixHits > 0 && acceptedGuesses > 0, "nothing was shared or guessed")
        #expect(failures > 0 && losses > 0, "nothing failed and no link was lost")
        // The small caches are there to cause preemptions; without any the test would say nothing about them.
        if blocks <= 16 { #expect(preemptions > 0) }
    }

    private func scheduler(
        stages: Int = 1, blocks: Int = 64, budget: Int = 8, running: Int = 8, waiting: Int = 16
    ) -> Scheduler {
        Scheduler(
            configuration: SchedulerSimulation.configuration(
                stages: stages, blocks: blocks, budget: budget, running: running, waiting: waiting))
    }

    private func add(
        _ scheduler: inout Scheduler, _ id: UInt64, tenant: String = "a", prompt: Int = 4, maxTokens: Int = 8
    ) throws {
        let sampling = SamplingParameters(maxTokens: maxTokens, temperature: 0, ignoreEOS: true)
        try scheduler.add(
            SequenceID(rawValue: id), tenant: tenant, promptTokenIDs: Array(repeating: 7, count: prompt),
            sampling: sampling)
    }

    private func answer(_ batch: StepBatch) -> [SequenceResult] {
        batch.sequences.map {
            SequenceResult(sequenceID: $0.sequenceID, sampled: $0.sample ? [SampledToken(tokenID: 9)] : [])
        }
    }

    private func batch(_ scheduler: inout Scheduler) throws -> StepBatch {
        let batch = scheduler.schedule()
        return try #require(batch)
    }

    private func run(_ scheduler: inout Scheduler) throws -> StepBatch {
        let batch = try self.batch(&scheduler)
        _ = try scheduler.apply(stepID: batch.stepID, results: answer(batch))
        return batch
    }

    @Test("decodes come before prefill chunks in the budget")
    func decodesFirst() throws {
        var scheduler = scheduler(budget: 8)
        try add(&scheduler, 1)
        _ = try run(&scheduler)
        try add(&scheduler, 2, prompt: 20)
        let batch = try run(&scheduler)
        #expect(batch.sequences.map(\.sequenceID.rawValue) == [1, 2])
        #expect(batch.sequences.map(\.tokenIDs.count) == [1, 7])
        #expect(batch.sequences.map(\.sample) == [true, false])
    }

    @Test("a prompt of three chunks samples after the last only and carries its parameters once")
    func chunks() throws {
        var scheduler = scheduler(budget: 8)
        try add(&scheduler, 1, prompt: 20)
        let steps = try (0..<3).map { _ in try run(&scheduler).sequences[0] }
        #expect(steps.map(\.startPosition) == [0, 8, 16])
        #expect(steps.map(\.tokenIDs.count) == [8, 8, 4])
        #expect(steps.map(\.sample) == [false, false, true])
        #expect(steps.map { $0.sampling != nil } == [true, false, false])
        let decode = try run(&scheduler).sequences[0]
        #expect(decode.startPosition == 20 && decode.tokenIDs == [9] && decode.sample)
    }

    @Test("two stages keep two micro-batches in flight and split the decodes between them")
    func microBatches() throws {
        var scheduler = scheduler(stages: 2, budget: 64)
        for id in 1...4 { try add(&scheduler, UInt64(id)) }
        _ = try run(&scheduler)
        let first = try batch(&scheduler)
        let second = try batch(&scheduler)
        #expect(first.sequences.map(\.sequenceID.rawValue) == [1, 2])
        #expect(second.sequences.map(\.sequenceID.rawValue) == [3, 4])
        let third = scheduler.schedule()
        #expect(third == nil)
        #expect(scheduler.stepsInFlightCount == 2)
    }

    @Test("one sequence on three stages has one micro-batch in flight")
    func singleSequence() throws {
        var scheduler = scheduler(stages: 3)
        try add(&scheduler, 1)
        _ = try batch(&scheduler)
        let second = scheduler.schedule()
        #expect(second == nil)
    }

    @Test("cancelling frees blocks at once, or when the step in flight is back")
    func cancellation() throws {
        var scheduler = scheduler()
        try add(&scheduler, 1)
        try add(&scheduler, 2)
        _ = try run(&scheduler)
        let before = scheduler.blocks.usedBlockCount
        scheduler.cancel(SequenceID(rawValue: 1))
        #expect(scheduler.blocks.usedBlockCount < before)

        let batch = try self.batch(&scheduler)
        #expect(batch.released == [SequenceID(rawValue: 1)])
        #expect(batch.sequences.map(\.sequenceID.rawValue) == [2])
        scheduler.cancel(SequenceID(rawValue: 2))
        #expect(scheduler.blocks.usedBlockCount > 0)
        let updates = try scheduler.apply(stepID: batch.stepID, results: answer(batch))
        #expect(updates.isEmpty)
        #expect(scheduler.blocks.usedBlockCount == 0)
        #expect(scheduler.isIdle)
    }

    @Test("the queue is bounded and refuses with queueFull")
    func bounds() throws {
        var scheduler = scheduler(waiting: 2)
        try add(&scheduler, 1)
        try add(&scheduler, 2)
        let error = #expect(throws: InferenceError.self) { try add(&scheduler, 3) }
        #expect(error?.code == .queueFull)
    }

    @Test("a tenant with one request is served before a tenant with ten more")
    func fairness() throws {
        var scheduler = scheduler(budget: 64, running: 2)
        for id in 1...10 { try add(&scheduler, UInt64(id), tenant: "greedy", maxTokens: 4) }
        _ = try run(&scheduler)
        try add(&scheduler, 11, tenant: "modest", maxTokens: 4)
        var order: [UInt64] = []
        while !scheduler.isIdle {
            for step in try run(&scheduler).sequences where step.startPosition == 0 {
                order.append(step.sequenceID.rawValue)
            }
        }
        #expect(order.first == 11)
        #expect(order.dropFirst() == [3, 4, 5, 6, 7, 8, 9, 10])
    }

    @Test("failing everything returns running and waiting sequences and leaves nothing")
    func failAll() throws {
        var scheduler = scheduler(running: 1)
        try add(&scheduler, 1)
        try add(&scheduler, 2)
        let batch = try self.batch(&scheduler)
        let failed = scheduler.failAll().map(\.rawValue)
        #expect(failed == [1, 2])
        #expect(scheduler.isIdle && scheduler.blocks.usedBlockCount == 0)
        #expect(throws: InferenceError.self) { try scheduler.apply(stepID: batch.stepID, results: answer(batch)) }
    }

    @Test("a lost link lets everything wait again, with its tokens, and steps in flight count for nothing")
    func requeue() throws {
        var scheduler = scheduler(stages: 2, running: 2)
        try add(&scheduler, 1)
        try add(&scheduler, 2)
        try add(&scheduler, 3)
        _ = try run(&scheduler)
        let lost = try batch(&scheduler)
        scheduler.cancel(SequenceID(rawValue: 2))
        scheduler.requeueAll()
        #expect(scheduler.running.isEmpty && scheduler.waitingCount == 2 && scheduler.stepsInFlightCount == 0)
        #expect(scheduler.blocks.usedBlockCount == 0 && scheduler.blocks.cachedBlockCount == 0)
        #expect(throws: InferenceError.self) { try scheduler.apply(stepID: lost.stepID, results: answer(lost)) }
        let again = try batch(&scheduler)
        #expect(again.stepID > lost.stepID)
        let first = try #require(again.sequences.first)
        #expect(first.sequenceID.rawValue == 1 && first.startPosition == 0)
        #expect(first.tokenIDs == [7, 7, 7, 7, 9] && first.sampling != nil && first.generatedCount == 1)
    }

    @Test("a sequence that fails takes what it wrote out of the prefix cache, with those who had begun to use it")
    func failure() throws {
        var scheduler = scheduler(stages: 3, budget: 8)
        try add(&scheduler, 1, prompt: 9)
        let first = try batch(&scheduler)
        try add(&scheduler, 2, prompt: 9)
        try add(&scheduler, 3, tenant: "b", prompt: 4)
        let second = try batch(&scheduler)
        #expect(second.sequences.first { $0.sequenceID.rawValue == 2 }?.startPosition == 8, "it shares two blocks")
        let failure = SequenceFailure.notFinite(position: 2)
        let failed = [SequenceResult(sequenceID: SequenceID(rawValue: 1), failure: failure)]
        let updates = try scheduler.apply(stepID: first.stepID, results: failed)
        #expect(updates.map(\.sequenceID.rawValue) == [1, 2] && updates.allSatisfy { $0.failure == failure })
        let others = try scheduler.apply(stepID: second.stepID, results: answer(second))
        #expect(others.map(\.sequenceID.rawValue) == [3] && others[0].sampled.count == 1)
        #expect(scheduler.running.map(\.id.rawValue) == [3])
        try add(&scheduler, 4, prompt: 9)
        let third = try batch(&scheduler)
        #expect(third.sequences.first { $0.sequenceID.rawValue == 4 }?.startPosition == 0, "nothing is left of it")
        #expect(third.released.map(\.rawValue).sorted() == [1, 2])
    }

    @Test("who shares only what a failed sequence computed well goes on")
    func failureBehindWhatIsShared() throws {
        var scheduler = scheduler(stages: 2)
        try add(&scheduler, 1, prompt: 8)
        let first = try batch(&scheduler)
        try add(&scheduler, 2, prompt: 6)
        let second = try batch(&scheduler)
        #expect(second.sequences[0].startPosition == 4, "it shares a block")
        let failed = [
            SequenceResult(sequenceID: SequenceID(rawValue: 1), failure: .notFinite(position: 7))
        ]
        #expect(try scheduler.apply(stepID: first.stepID, results: failed).map(\.sequenceID.rawValue) == [1])
        #expect(try scheduler.apply(stepID: second.stepID, results: answer(second))[0].sampled.count == 1)
        #expect(scheduler.running.map(\.id.rawValue) == [2] && scheduler.blocks.cachedBlockCount == 1)
    }

    @Test("answers that do not fit the step are refused")
    func wrongAnswers() throws {
        var scheduler = scheduler()
        try add(&scheduler, 1)
        let batch = try self.batch(&scheduler)
        let id = SequenceID(rawValue: 1)
        let one = SampledToken(tokenID: 1)
        let wrong: [[SequenceResult]] = [
            [],
            [SequenceResult(sequenceID: SequenceID(rawValue: 2), sampled: [one])],
            [SequenceResult(sequenceID: id)],
            [SequenceResult(sequenceID: id, sampled: [SampledToken(tokenID: 500)])],
            [SequenceResult(sequenceID: id, sampled: [one, one])],
            [SequenceResult(sequenceID: id, sampled: [one], promptLogprobs: [TokenLogprob(tokenID: 1, logprob: 0)])],
        ]
        for results in wrong {
            #expect(throws: InferenceError.self) { try scheduler.apply(stepID: batch.stepID, results: results) }
        }
        #expect(throws: InferenceError.self) { try scheduler.apply(stepID: 99, results: answer(batch)) }
        let updates = try scheduler.apply(stepID: batch.stepID, results: answer(batch))
        #expect(updates.count == 1)
    }

    @Test("requests that cannot run are refused with the right code")
    func validation() {
        let configuration = SchedulerSimulation.configuration(stages: 1, blocks: 4)
        func code(
            _ prompt: Int, _ sampling: SamplingParameters = .init(), token: TokenID = 1
        ) -> InferenceError.Code? {
            do {
                try configuration.validate(promptTokenIDs: Array(repeating: token, count: prompt), sampling: sampling)
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code(15) == nil)
        #expect(code(16) == .contextLengthExceeded)
        #expect(code(16, SamplingParameters(maxTokens: 0)) == nil)
        #expect(code(0) == .invalidRequest)
        #expect(code(1, token: 500) == .invalidRequest)
        for sampling in [
            SamplingParameters(temperature: -1), SamplingParameters(temperature: .nan), SamplingParameters(topP: -0.1),
            SamplingParameters(maxTokens: -1), SamplingParameters(logprobs: 21), SamplingParameters(minP: 2),
            SamplingParameters(repetitionPenalty: 0), SamplingParameters(logitBias: [500: 1]),
            SamplingParameters(logitBias: [5: 101]), SamplingParameters(forbiddenTokenIDs: Set(0..<500)),
        ] {
            #expect(code(1, sampling) == .invalidRequest)
        }
    }
}
