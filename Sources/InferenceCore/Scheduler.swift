/// Decides what each step computes: continuous batching, chunked prefill, preemption by recompute, fair queueing.
///
/// A pure value: no clock, no I/O, no randomness; the same calls give the same decisions. The owner calls `schedule`
/// until it returns nil, runs the batches through all stages in that order, and gives each result to `apply`.
///
/// Policy:
/// - Decodes come first in the token budget of a micro-batch, then chunks of admitted prompts, then new admissions.
/// - With several stages the decodes are spread over as many micro-batches as there are stages. A sequence is in at most
///   one of them, because its next token depends on the last.
/// - A sequence is admitted when the blocks of all its tokens are free and unclaimed. Its generation may outgrow the
///   cache; then the youngest sequence gives its blocks back and is computed again later. The oldest is never preempted,
///   so something always finishes.
/// - Waiting sequences are chosen by ``FairQueue``.
/// - A sequence begins with the cached KV of its prefix. The blocks of a step count as known from the moment it is
///   scheduled: every stage runs steps in order, and within a step it writes a layer's KV before anything reads it. So
///   requests that arrive together share a prefix too.
/// - A sequence whose step fails ends alone; a lost stage lets all wait, with their tokens.
/// - While a batch is small, decodes carry guesses (``PromptLookup``) that the last stage checks.
package struct Scheduler: Sendable {
    package let configuration: SchedulerConfiguration
    /// The block pool, for reading.
    package private(set) var blocks: BlockManager
    /// Sequences that hold blocks, oldest first.
    package private(set) var running: [Sequence] = []
    /// Times a sequence gave its blocks back to an older one.
    package private(set) var preemptionCount = 0
    /// Tokens of admitted sequences that could have come from the prefix cache, and those that did.
    package private(set) var prefixQueryTokens = 0
    package private(set) var prefixHitTokens = 0
    /// Tokens guessed, and those of them that were right.
    package private(set) var draftedTokens = 0
    package private(set) var acceptedTokens = 0

    private var queue = FairQueue()
    private var inFlight: [StepInFlight] = []
    private var released: [SequenceID] = []
    private var nextStepID: UInt64 = 1

    /// What the scheduler expects back.
    private struct StepInFlight: Sendable {
        struct Entry: Sendable {
            var id: SequenceID
            var samples: Bool
            var draft: ArraySlice<TokenID>
            var promptLogprobCount: Int
        }
        var stepID: UInt64
        var entries: [Entry]
    }

    /// Creates an idle scheduler; all bounds must be at least 1.
    package init(configuration: SchedulerConfiguration) {
        precondition(
            configuration.maxBatchedTokens > 0 && configuration.maxRunningSequences > 0
                && configuration.maxWaitingSequences > 0 && configuration.stageCount > 0,
            "scheduler bounds must be positive: \(configuration)")
        self.configuration = configuration
        blocks = BlockManager(blockCount: configuration.kvBlockCount, blockSize: configuration.kvBlockSize)
    }

    /// Sequences that wait for admission, the preempted ones among them.
    package var waitingCount: Int { queue.count }
    /// Micro-batches handed out whose results are not back.
    package var stepsInFlightCount: Int { inFlight.count }
    /// Whether there is nothing to do and nothing expected.
    package var isIdle: Bool { running.isEmpty && queue.count == 0 && inFlight.isEmpty }

    // MARK: - Arrivals and departures

    /// Accepts a sequence into the waiting queue.
    ///
    /// - Parameters:
    ///   - id: greater than any id given before.
    ///   - tenant: whose share of the computation it uses.
    /// - Throws: `invalidRequest` (empty prompt, token id or parameter out of range), `contextLengthExceeded`,
    ///   `queueFull`.
    package mutating func add(
        _ id: SequenceID, tenant: String, promptTokenIDs: [TokenID], sampling: SamplingParameters
    ) throws(InferenceError) {
        try configuration.validate(promptTokenIDs: promptTokenIDs, sampling: sampling)
        guard queue.count < configuration.maxWaitingSequences else {
            throw InferenceError(code: .queueFull, message: "\(queue.count) sequences are waiting; try again later")
        }
        queue.insert(Sequence(id: id, tenant: tenant, promptTokenIDs: promptTokenIDs, sampling: sampling))
    }

    /// Forgets a sequence; unknown ids are ignored. Blocks are free at once, or when the step in flight is back.
    package mutating func cancel(_ id: SequenceID) {
        guard let index = indexOfRunning(id) else {
            // A preempted sequence has sampler state on the last stage although it waits.
            if let waiting = queue.remove(id), waiting.lastStepID > 0 { released.append(id) }
            return
        }
        if running[index].stepInFlight != nil {
            running[index].isCancelled = true
        } else {
            remove(at: index)
        }
    }

    /// Lets every sequence wait again, because the stages lost what they had (a lost link, a new epoch): tokens are kept and
    /// will be computed again, steps in flight count for nothing.
    package mutating func requeueAll() {
        inFlight.removeAll()
        for index in running.indices.reversed() {
            running[index].stepInFlight = nil
            if running[index].isCancelled { remove(at: index) } else { letWait(at: index) }
        }
        blocks.forgetContents()
        released.removeAll()
    }

    /// The newest step failed on the first stage, so no other stage knows of it: its sequences fail, and those that share
    /// blocks it was to fill.
    ///
    /// - Returns: the sequences that ended, without those already cancelled.
    package mutating func abandon(_ batch: StepBatch) -> [SequenceID] {
        guard let step = inFlight.last, step.stepID == batch.stepID else { return [] }
        inFlight.removeLast()
        released = batch.released + released
        var updates: [SequenceUpdate] = []
        for entry in step.entries { fail(entry.id, .refused, spoiledFrom: nil, &updates) }
        return updates.map(\.sequenceID)
    }

    /// Forgets everything, steps in flight included.
    ///
    /// - Returns: the sequences that ran or waited, oldest first, without those already cancelled.
    package mutating func failAll() -> [SequenceID] {
        let failed = running.filter { !$0.isCancelled }.map(\.id) + queue.removeAll().map(\.id)
        for index in running.indices { blocks.free(&running[index].blockTable) }
        blocks.forgetContents()
        running.removeAll()
        inFlight.removeAll()
        released.removeAll()
        return failed.sorted()
    }

    // MARK: - Schedule

    /// Chooses the next micro-batch, or nil when as many are in flight as there are stages or nothing can be done now.
    ///
    /// - Parameter maxPrefillTokens: most prompt tokens of the batch while any sequence decodes, so that running streams
    ///   do not stall for an arriving prompt; at least 1.
    package mutating func schedule(maxPrefillTokens: Int = .max) -> StepBatch? {
        guard inFlight.count < configuration.stageCount else { return nil }
        var batch = StepBatch(stepID: nextStepID, sequences: [])
        var budget = configuration.maxBatchedTokens
        let decodingCount = running.count { $0.state == .running }
        scheduleDecodes(of: decodingCount, into: &batch, budget: &budget)
        if decodingCount > 0 { budget = min(budget, max(1, maxPrefillTokens)) }
        schedulePrefills(into: &batch, budget: &budget)
        admit(into: &batch, budget: &budget)
        guard !batch.sequences.isEmpty else { return nil }

        nextStepID += 1
        batch.released = released
        released.removeAll(keepingCapacity: true)
        inFlight.append(
            StepInFlight(
                stepID: batch.stepID,
                entries: batch.sequences.map {
                    StepInFlight.Entry(
                        id: $0.sequenceID, samples: $0.sample, draft: $0.draftTokenIDs,
                        promptLogprobCount: $0.promptLogprobCount)
                }))
        return batch
    }

    private mutating func scheduleDecodes(of decodingCount: Int, into batch: inout StepBatch, budget: inout Int) {
        var candidates: [(lastStepID: UInt64, id: SequenceID)] = []
        for sequence in running where sequence.state == .running && sequence.stepInFlight == nil {
            candidates.append((sequence.lastStepID, sequence.id))
        }
        // An equal share for each stage's micro-batch; whoever has waited longest comes first.
        let share = (decodingCount + configuration.stageCount - 1) / configuration.stageCount
        var room = min(share, budget)
        if candidates.count > room { candidates.sort { ($0.lastStepID, $0.id) < ($1.lastStepID, $1.id) } }
        // The step must have room for every decode before any guess.
        var draftRoom = min(configuration.maxDraftTokens, budget) - min(room, candidates.count)
        for candidate in candidates where room > 0 && reserve(candidate.id, tokenCount: 1) {
            let draft = draft(for: candidate.id, maxCount: draftRoom)
            appendStep(of: candidate.id, tokenCount: 1, draft: draft, to: &batch)
            room -= 1
            draftRoom -= draft.count
            budget -= 1 + draft.count
        }
    }

    /// Guesses for a sequence about to decode, with blocks for them; none when blocks are short: nobody is preempted for
    /// a guess.
    private mutating func draft(for id: SequenceID, maxCount: Int) -> [TokenID] {
        guard maxCount > 0, let index = indexOfRunning(id) else { return [] }
        let sequence = running[index]
        // One token is sampled beyond the guesses, and all must fit what the sequence may still generate.
        let left = min(
            sequence.sampling.maxTokens - sequence.generatedCount, configuration.contextLimit - sequence.tokens.count)
        let draft = PromptLookup.draft(
            after: sequence.tokens, maxCount: min(maxCount, sequence.draftLength.limit, left - 1))
        let end = sequence.tokens.count + draft.count
        guard !draft.isEmpty, blocks.append(to: &running[index].blockTable, toCover: end) else { return [] }
        return draft
    }

    private mutating func schedulePrefills(into batch: inout StepBatch, budget: inout Int) {
        var candidates: [(servedTokens: Int, id: SequenceID)] = []
        for sequence in running where sequence.state == .prefilling && sequence.stepInFlight == nil {
            candidates.append((queue.servedTokens(tenant: sequence.tenant), sequence.id))
        }
        candidates.sort { ($0.servedTokens, $0.id) < ($1.servedTokens, $1.id) }
        for candidate in candidates where budget > 0 {
            guard let index = indexOfRunning(candidate.id) else { continue }
            let tokenCount = min(budget, running[index].uncomputedCount)
            guard reserve(candidate.id, tokenCount: tokenCount) else { continue }
            appendStep(of: candidate.id, tokenCount: tokenCount, to: &batch)
            budget -= tokenCount
        }
    }

    private mutating func admit(into batch: inout StepBatch, budget: inout Int) {
        while budget > 0, running.count < configuration.maxRunningSequences, let next = queue.next {
            // Room for decodes to grow into, so that admission does not cause a preemption at once.
            let headroom = blocks.blockCount / 100
            let claimed = running.reduce(0) { sum, sequence in
                sum + max(0, blocks.blockCount(forTokens: sequence.tokens.count) - sequence.blockTable.count)
            }
            let prefix = reusablePrefix(of: next)
            let needed =
                blocks.blockCount(forTokens: next.tokens.count) - prefix.blocks.count
                + blocks.unheldCount(among: prefix.blocks)
            guard running.isEmpty || blocks.freeBlockCount - claimed - headroom >= needed else { return }
            guard var sequence = queue.remove(next.id) else { return }
            blocks.share(prefix.blocks)
            sequence.reuse(prefix, blockSize: blocks.blockSize)
            prefixQueryTokens += sequence.tokens.count
            prefixHitTokens += sequence.reusedCount
            sequence.state = .prefilling
            queue.began(tenant: sequence.tenant)
            running.insert(sequence, at: running.lastIndex { $0.id < sequence.id }.map { $0 + 1 } ?? 0)

            let tokenCount = min(budget, sequence.uncomputedCount)
            guard reserve(sequence.id, tokenCount: tokenCount) else { return }
            appendStep(of: sequence.id, tokenCount: tokenCount, to: &batch)
            budget -= tokenCount
        }
    }

    /// What of a waiting sequence is in the cache. At least one token is left to compute: its logits are wanted.
    private func reusablePrefix(of sequence: Sequence) -> BlockManager.Prefix {
        guard configuration.reusesPrefixes, sequence.canReusePrefix else { return BlockManager.Prefix() }
        return blocks.prefix(
            of: sequence.tokens, namespace: sequence.tenant, maxTokens: sequence.tokens.count - 1)
    }

    /// Adds a sequence's next tokens and guesses to a batch; their blocks are reserved.
    private mutating func appendStep(
        of id: SequenceID, tokenCount: Int, draft: [TokenID] = [], to batch: inout StepBatch
    ) {
        guard let index = indexOfRunning(id) else { return }
        queue.charge(tenant: running[index].tenant, tokens: tokenCount)
        draftedTokens += draft.count
        batch.sequences.append(running[index].beginStep(batch.stepID, tokenCount: tokenCount, draft: draft))
        publishFullBlocks(at: index)
    }

    /// Makes the blocks that a sequence has filled, or fills in the step just begun, known to the prefix cache.
    private mutating func publishFullBlocks(at index: Int) {
        guard configuration.reusesPrefixes else { return }
        let size = blocks.blockSize
        while (running[index].publishedBlockCount + 1) * size <= running[index].computedCount {
            let sequence = running[index]
            let start = sequence.publishedBlockCount * size
            running[index].publishedContentID = blocks.publish(
                sequence.blockTable[sequence.publishedBlockCount], after: sequence.publishedContentID,
                namespace: sequence.tenant, tokenIDs: sequence.tokens[start..<start + size])
            running[index].publishedBlockCount += 1
        }
    }

    // MARK: - Blocks

    /// Gets the blocks for a sequence's next tokens, from younger sequences if it must.
    ///
    /// - Returns: false when it has to sit this step out, or had to give its own blocks back.
    private mutating func reserve(_ id: SequenceID, tokenCount: Int) -> Bool {
        while let index = indexOfRunning(id) {
            let end = running[index].computedCount + tokenCount
            if blocks.append(to: &running[index].blockTable, toCover: end) { return true }
            guard let victim = running.lastIndex(where: { $0.stepInFlight == nil && $0.id >= id }) else { return false }
            // A younger sequence that is in flight can be preempted when it is back; until then this one waits.
            if victim == index, running.last?.id != id { return false }
            preempt(at: victim)
        }
        return false
    }

    /// Takes a sequence's blocks away and lets it wait; all its tokens will be computed again.
    private mutating func preempt(at index: Int) {
        letWait(at: index)
        preemptionCount += 1
    }

    private mutating func letWait(at index: Int) {
        var sequence = running.remove(at: index)
        blocks.free(&sequence.blockTable)
        sequence.state = .waiting
        sequence.computedCount = 0
        sequence.publishedBlockCount = 0
        sequence.publishedContentID = 0
        sequence.needsSampling = true
        sequence.promptLogprobs.removeAll()
        queue.insert(sequence)
        queue.ended(tenant: sequence.tenant)
    }

    private mutating func remove(at index: Int) {
        blocks.free(&running[index].blockTable)
        queue.ended(tenant: running[index].tenant)
        released.append(running[index].id)
        running.remove(at: index)
    }

    private func indexOfRunning(_ id: SequenceID) -> Int? {
        var low = 0
        var high = running.count
        while low < high {
            let middle = (low + high) / 2
            if running[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < running.count && running[low].id == id ? low : nil
    }

    // MARK: - Results

    /// Takes the results of the oldest step in flight.
    ///
    /// - Returns: what changed: failures first, then the rest in the batch's order. Nothing for cancelled sequences and for
    ///   chunks in the middle of a prompt. A sequence with a `finishReason` or a `failure` is forgotten.
    /// - Throws: `internalError` when the results do not answer that step: the stages are out of step with the head and
    ///   the epoch must be failed.
    package mutating func apply(stepID: UInt64, results: [SequenceResult]) throws(InferenceError) -> [SequenceUpdate] {
        guard let step = inFlight.first, step.stepID == stepID else {
            throw InferenceError(
                code: .internalError,
                message: "results of step \(stepID) came; expected \(inFlight.first.map { "\($0.stepID)" } ?? "none")")
        }
        try check(results, answer: step)
        inFlight.removeFirst()
        var updates: [SequenceUpdate] = []
        // First, so that nobody goes on from what a failed sequence left in shared blocks.
        for result in results {
            guard let failure = result.failure else { continue }
            if case .notFinite(let position) = failure {
                fail(result.sequenceID, failure, spoiledFrom: position, &updates)
            } else {
                fail(result.sequenceID, failure, spoiledFrom: nil, &updates)
            }
        }
        for result in results where result.failure == nil {
            if let update = apply(result) { updates.append(update) }
        }
        return updates
    }

    private func check(_ results: [SequenceResult], answer step: StepInFlight) throws(InferenceError) {
        guard results.count == step.entries.count else {
            throw mismatch(step, "has \(results.count) results; expected \(step.entries.count)")
        }
        for (result, entry) in zip(results, step.entries) {
            guard result.sequenceID == entry.id else {
                throw mismatch(step, "answers \(result.sequenceID); expected \(entry.id)")
            }
            if result.failure != nil { continue }
            guard result.sampled.isEmpty != entry.samples else {
                throw mismatch(step, entry.samples ? "lacks a token" : "has a token nobody asked for")
            }
            let accepted = result.sampled.dropLast().map(\.tokenID)
            guard accepted.elementsEqual(entry.draft.prefix(accepted.count)) else {
                throw mismatch(step, "accepts tokens that were not guessed")
            }
            guard result.sampled.allSatisfy({ Int($0.tokenID) < configuration.vocabularySize }) else {
                throw mismatch(step, "has a token id outside the vocabulary of \(configuration.vocabularySize)")
            }
            guard result.promptLogprobs.count == entry.promptLogprobCount else {
                throw mismatch(
                    step,
                    "has \(result.promptLogprobs.count) prompt log-probabilities; "
                        + "expected \(entry.promptLogprobCount)")
            }
        }
    }

    private func mismatch(_ step: StepInFlight, _ what: String) -> InferenceError {
        InferenceError(code: .internalError, message: "the answer to step \(step.stepID) \(what)")
    }

    /// Ends a sequence whose step is back and failed.
    ///
    /// The prefix cache knows the blocks that the step was to fill since it was scheduled: they are taken out of it, and
    /// sequences that have begun to use them fail too, for they have the same tokens and would go on from nothing.
    ///
    /// - Parameter position: what is in the cache before it is good; nil: what was there before the step.
    private mutating func fail(
        _ id: SequenceID, _ failure: SequenceFailure, spoiledFrom position: Int?, _ updates: inout [SequenceUpdate]
    ) {
        guard let index = indexOfRunning(id) else { return }
        running[index].stepInFlight = nil
        let sequence = running[index]
        let good = max(position ?? 0, sequence.computedBeforeStep)
        let spoiled = sequence.blockTable.dropFirst(good / blocks.blockSize)
        blocks.forgetContents(of: spoiled)
        if !sequence.isCancelled { updates.append(SequenceUpdate(sequenceID: id, failure: failure)) }
        let isShared = spoiled.contains { blocks.referenceCount(of: $0) > 1 }
        remove(at: index)
        if isShared { failSharers(of: Set(spoiled), failure, &updates) }
    }

    private mutating func failSharers(
        of spoiled: Set<Int32>, _ failure: SequenceFailure, _ updates: inout [SequenceUpdate]
    ) {
        for index in running.indices.reversed() {
            let sequence = running[index]
            guard let first = sequence.blockTable.firstIndex(where: spoiled.contains) else { continue }
            blocks.forgetContents(of: sequence.blockTable[first...])
            if !sequence.isCancelled { updates.append(SequenceUpdate(sequenceID: sequence.id, failure: failure)) }
            if sequence.stepInFlight == nil { remove(at: index) } else { running[index].isCancelled = true }
        }
    }

    private mutating func apply(_ result: SequenceResult) -> SequenceUpdate? {
        guard let index = indexOfRunning(result.sequenceID) else { return nil }
        running[index].stepInFlight = nil
        if running[index].isCancelled {
            remove(at: index)
            return nil
        }
        acceptedTokens += max(0, result.sampled.count - 1)
        let update = running[index].endStep(result, configuration: configuration)
        if update?.finishReason != nil { remove(at: index) }
        return update
    }
}
