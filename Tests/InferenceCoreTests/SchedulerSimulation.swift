import InferenceCore
import Testing

/// Drives a scheduler with a random program against a naive model of the cache.
///
/// The model keeps what every slot of every block holds. Its "language model" hashes the tokens found in the slots of a
/// sequence's block table, so that a block shared by mistake, a wrong position or a lost token changes the output.
/// Prompts begin alike and outputs repeat themselves, so that prefixes are shared and guesses come true.
struct SchedulerSimulation {
    struct Slot: Equatable {
        var position: Int
        var token: TokenID
    }

    struct Request {
        var tenant: String
        var prompt: [TokenID]
        var sampling: SamplingParameters
        var generated: [TokenID] = []
        var promptLogprobCount: Int?
        var isCancelled = false
        var finishReason: FinishReason?
        var hasFailed = false
    }

    /// A token whose numbers are broken: prompts of one family have it at position 9.
    static let brokenToken: TokenID = 64
    static let vocabularySize = 500
    static let endToken: TokenID = 3

    var scheduler: Scheduler
    var random: SeededRandom
    var requests: [SequenceID: Request] = [:]
    private var slots: [Slot?]
    private var inFlight: [(batch: StepBatch, results: [SequenceResult])] = []
    private var lastStepID: UInt64 = 0
    private var nextID: UInt64 = 1
    private var released: Set<SequenceID> = []
    private(set) var stepsRun = 0
    private(set) var failureCount = 0
    private(set) var lossCount = 0

    init(configuration: SchedulerConfiguration, seed: UInt64) {
        scheduler = Scheduler(configuration: configuration)
        random = SeededRandom(seed: seed)
        slots = Array(repeating: nil, count: configuration.kvBlockCount * configuration.kvBlockSize)
    }

    static func configuration(
        stages: Int, blocks: Int, blockSize: Int = 4, budget: Int = 12, running: Int = 8, waiting: Int = 16
    ) -> SchedulerConfiguration {
        SchedulerConfiguration(
            maxBatchedTokens: budget, maxRunningSequences: running, maxWaitingSequences: waiting, stageCount: stages,
            kvBlockCount: blocks, kvBlockSize: blockSize, maxContextTokens: 64, vocabularySize: vocabularySize,
            endOfGenerationTokenIDs: [endToken], maxDraftTokens: budget / 2)
    }

    /// The next token of the pretended model: mostly decided by the last token alone, so that texts run in circles.
    static func nextToken(after history: [TokenID]) -> TokenID {
        func hash(_ tokens: some Swift.Sequence<TokenID>) -> UInt64 {
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for token in tokens { hash = (hash ^ UInt64(token)) &* 0x100_0000_01B3 }
            return hash >> 20
        }
        let whole = hash(history)
        return TokenID(whole % 8 == 0 ? whole % UInt64(vocabularySize) : hash(history.suffix(1)) % 24)
    }

    /// What a request generates when it is alone; without a reason where it computes a broken token.
    func expected(_ request: Request) -> (tokens: [TokenID], reason: FinishReason?) {
        var history = request.prompt
        var generated: [TokenID] = []
        if history.contains(Self.brokenToken) { return ([], nil) }
        while generated.count < request.sampling.maxTokens, history.count < scheduler.configuration.contextLimit {
            if history.last == Self.brokenToken { return (generated, nil) }
            let token = Self.nextToken(after: history)
            history.append(token)
            generated.append(token)
            if token == Self.endToken, !request.sampling.ignoreEOS { return (generated, .stop(token)) }
            if request.sampling.stopTokenIDs.contains(token) { return (generated, .stop(token)) }
        }
        return (generated, .length)
    }

    /// One random move: arrival, cancellation, a scheduled step, a step's results, or a lost link.
    mutating func move() throws {
        if random.next() % 150 == 0 { loseLink() }
        switch random.next() % 10 {
        case 0, 1: add()
        case 2 where random.next() % 4 == 0: cancel()
        case 3, 4, 5: try applyOldest()
        default: schedule()
        }
        checkInvariants()
    }

    /// Lets everything finish; fails when the scheduler stops making progress.
    mutating func drain() throws {
        var rounds = 0
        while !scheduler.isIdle {
            schedule()
            if inFlight.isEmpty {
                Issue.record("nothing is in flight, nothing can be scheduled, and work is left")
                return
            }
            try applyOldest()
            checkInvariants()
            rounds += 1
            if rounds > 50_000 {
                Issue.record("no end after \(rounds) steps")
                return
            }
        }
    }

    mutating func add() {
        let id = SequenceID(rawValue: nextID)
        nextID += 1
        let length = Int(random.next() % 23) + 1
        let common = Int(random.next() % UInt64(length + 1))
        let family = TokenID(random.next() % 3)
        let prompt = (0..<length).map { index in
            index < common
                ? TokenID(index) * 7 + family : TokenID(random.next() % UInt64(Self.vocabularySize))
        }
        var sampling = SamplingParameters(maxTokens: Int(random.next() % 30), temperature: 0)
        sampling.ignoreEOS = random.next() % 2 == 0
        if random.next() % 4 == 0 { sampling.promptLogprobs = 1 }
        if random.next() % 4 == 0 { sampling.stopTokenIDs = [TokenID(random.next() % 20)] }
        let tenant = "tenant-\(random.next() % 3)"
        do {
            try scheduler.add(id, tenant: tenant, promptTokenIDs: prompt, sampling: sampling)
            requests[id] = Request(tenant: tenant, prompt: prompt, sampling: sampling)
        } catch {
            #expect(error.code == .queueFull)
            #expect(scheduler.waitingCount >= scheduler.configuration.maxWaitingSequences)
        }
    }

    mutating func cancel() {
        let open = requests.filter { $0.value.finishReason == nil && !$0.value.isCancelled && !$0.value.hasFailed }
            .keys.sorted()
        guard let id = open.randomElement(using: &random) else { return }
        requests[id]?.isCancelled = true
        scheduler.cancel(id)
    }

    /// The stages forget everything.
    mutating func loseLink() {
        inFlight.removeAll()
        scheduler.requeueAll()
        slots = Array(repeating: nil, count: slots.count)
        lossCount += 1
    }

    mutating func schedule() {
        guard let batch = scheduler.schedule() else { return }
        let configuration = scheduler.configuration
        #expect(batch.tokenCount <= configuration.maxBatchedTokens)
        #expect(batch.stepID > lastStepID)
        lastStepID = batch.stepID
        released.formUnion(batch.released)
        inFlight.append((batch, batch.sequences.map { run($0) }))
        stepsRun += 1
        #expect(inFlight.count <= configuration.stageCount)
        let ids = inFlight.flatMap { $0.batch.sequences.map(\.sequenceID) }
        #expect(Set(ids).count == ids.count, "a sequence is in two micro-batches")
    }

    /// Writes the step's tokens into their slots, then reads the sequence back from the slots.
    private mutating func run(_ step: SequenceStep) -> SequenceResult {
        let size = scheduler.configuration.kvBlockSize
        let id = step.sequenceID
        #expect(!released.contains(id), "\(id) runs after its release")
        func slot(_ position: Int) -> Int { Int(step.blockTable[position / size]) * size + position % size }
        for (offset, token) in step.tokenIDs.enumerated() {
            let position = step.startPosition + offset
            slots[slot(position)] = Slot(position: position, token: token)
        }
        let known = requests[id].map { $0.prompt + $0.generated } ?? []
        var history: [TokenID] = []
        for position in 0..<(step.startPosition + step.tokenIDs.count - step.draftCount) {
            let found = slots[slot(position)]
            #expect(found == Slot(position: position, token: known[position]), "\(id) lost position \(position)")
            history.append(found?.token ?? 0)
        }
        var result = SequenceResult(sequenceID: id)
        if let broken = step.tokenIDs.dropLast(step.draftCount).firstIndex(of: Self.brokenToken) {
            result.failure = .notFinite(position: step.startPosition + broken)
            return result
        }
        if step.sample {
            for guess in step.draftTokenIDs + [TokenID.max] {
                if history.last == Self.brokenToken { break }
                let token = Self.nextToken(after: history)
                result.sampled.append(SampledToken(tokenID: token))
                if token != guess { break }
                history.append(slots[slot(history.count)]?.token ?? 0)
            }
        }
        return answeringPrompt(step, result)
    }

    private func answeringPrompt(_ step: SequenceStep, _ answer: SequenceResult) -> SequenceResult {
        var result = answer
        let known = step.tokenIDs.dropFirst() + (step.nextTokenID.map { [$0] } ?? [])
        if step.promptLogprobs { result.promptLogprobs = known.map { TokenLogprob(tokenID: $0, logprob: -1) } }
        return result
    }

    mutating func applyOldest() throws {
        guard !inFlight.isEmpty else { return }
        let (batch, results) = inFlight.removeFirst()
        for update in try scheduler.apply(stepID: batch.stepID, results: results) {
            let id = update.sequenceID
            #expect(requests[id]?.isCancelled == false, "a cancelled sequence was updated")
            #expect(requests[id]?.finishReason == nil, "a finished sequence was updated")
            #expect(requests[id]?.hasFailed == false, "a failed sequence was updated")
            if update.failure != nil {
                requests[id]?.hasFailed = true
                failureCount += 1
                continue
            }
            requests[id]?.generated += update.sampled.map(\.tokenID)
            if let logprobs = update.promptLogprobs {
                #expect(requests[id]?.promptLogprobCount == nil, "prompt log-probabilities came twice")
                #expect(logprobs.map(\.tokenID) == requests[id].map { Array($0.prompt.dropFirst()) })
                requests[id]?.promptLogprobCount = logprobs.count
            }
            requests[id]?.finishReason = update.finishReason
        }
    }

    /// Blocks against a dictionary of sets.
    private func checkInvariants() {
        var owners: [SequenceID: Set<Int32>] = [:]
        for sequence in scheduler.running {
            owners[sequence.id] = Set(sequence.blockTable)
            #expect(owners[sequence.id]?.count == sequence.blockTable.count, "a block is twice in one table")
            #expect(sequence.blockTable.count * scheduler.configuration.kvBlockSize >= sequence.computedCount)
        }
        var holders: [Int32: [SequenceID]] = [:]
        for (id, table) in owners { for block in table { holders[block, default: []].append(id) } }
        #expect(scheduler.blocks.usedBlockCount == holders.count, "blocks leaked")
        for (block, ids) in holders {
            #expect(scheduler.blocks.referenceCount(of: block) == ids.count)
            #expect(Set(ids.map { requests[$0]?.tenant }).count == 1, "block \(block) is shared between tenants")
        }
        #expect(scheduler.running.count <= scheduler.configuration.maxRunningSequences)
        let ids = scheduler.running.map(\.id)
        #expect(ids == ids.sorted())
    }

    /// After `drain`: everything that was not cancelled generated what it generates alone.
    func checkOutputs() {
        for (id, request) in requests where !request.isCancelled {
            let (tokens, reason) = expected(request)
            #expect(request.hasFailed == (reason == nil), "\(id) failed without a broken token, or did not with one")
            if request.hasFailed {
                // Guesses that were right before the broken one count for nothing.
                #expect(tokens.starts(with: request.generated))
                continue
            }
            #expect(request.generated == tokens, "\(id) generated other tokens than alone")
            #expect(request.finishReason == reason)
            #expect((request.promptLogprobCount != nil) == (request.sampling.promptLogprobs != nil))
        }
        #expect(scheduler.blocks.usedBlockCount == 0)
    }
}
