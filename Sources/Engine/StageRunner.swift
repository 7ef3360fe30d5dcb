import InferenceCore

/// Runs micro-batches through one pipeline stage; on the last stage it also samples.
///
/// Not thread-safe: lives on the stage's compute thread, like the ``ModelStage`` it owns.
package final class StageRunner {
    /// What a stage leaves behind.
    package enum Output {
        /// Hidden states for the next stage, [batch tokens, modelWidth] f32; valid until the next `run`.
        case hidden(UnsafeBufferPointer<Float>)
        /// The answer of the last stage, in the batch's order.
        case results([SequenceResult])
    }

    /// A row of hidden states whose logits are wanted.
    private struct LogitRow {
        var sequenceIndex: Int
        /// The prompt token whose log-probability is wanted, or nil to sample.
        var promptTokenID: TokenID?
        /// The guess that follows this row; what is sampled here decides about it.
        var draftTokenID: TokenID?
        /// Whether the row's own token is a guess.
        var isGuess = false
    }

    package let stage: any ModelStage
    /// [maxBatchedTokens, modelWidth]
    private let hidden: UnsafeMutableBufferPointer<Float>
    private var samplers: [SequenceID: Sampler] = [:]
    private var scratch = SamplerScratch()

    /// Samplers kept; more means that the head forgets to release sequences.
    private static let maxSamplers = 65_536

    package init(stage: any ModelStage) {
        self.stage = stage
        let bytes = stage.maxBatchedTokens * stage.modelWidth * MemoryLayout<Float>.stride
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let base = memory.assumingMemoryBound(to: Float.self)
        hidden = UnsafeMutableBufferPointer(start: base, count: stage.maxBatchedTokens * stage.modelWidth)
    }

    deinit {
        hidden.baseAddress.map { UnsafeMutableRawPointer($0).deallocate() }
    }

    /// Bytes of hidden states a batch needs from the stage before.
    package func hiddenByteCount(of batch: StepBatch) -> Int {
        batch.tokenCount * stage.modelWidth * MemoryLayout<Float>.stride
    }

    /// Forgets every sequence: a new epoch.
    package func reset() {
        samplers.removeAll()
    }

    /// Runs a batch.
    ///
    /// - Parameters:
    ///   - batch: checked here against the stage's limits, because it may come from another process.
    ///   - incoming: hidden states of the stage before, f32 little-endian, `hiddenByteCount(of:)` bytes; nil on the first
    ///     stage.
    /// What concerns one sequence alone is said in its result: see `SequenceFailure`.
    ///
    /// - Throws: `invalidRequest` when the batch does not fit the stage, and what the stage throws.
    package func run(_ batch: StepBatch, incoming: UnsafeRawBufferPointer? = nil) throws -> Output {
        try validate(batch)
        for id in batch.released { samplers[id] = nil }
        let used = UnsafeMutableBufferPointer(rebasing: hidden[0..<(batch.tokenCount * stage.modelWidth)])
        if !stage.isFirst {
            guard let incoming, incoming.count == hiddenByteCount(of: batch) else {
                throw InferenceError(
                    code: .invalidRequest,
                    message: "step \(batch.stepID) came with \(incoming?.count ?? 0) bytes of hidden states; "
                        + "expected \(hiddenByteCount(of: batch))")
            }
            UnsafeMutableRawBufferPointer(used).copyMemory(from: incoming)
        }
        try stage.forward(batch, hidden: used)
        guard stage.isLast else { return .hidden(UnsafeBufferPointer(used)) }
        return .results(try sample(batch, hidden: UnsafeBufferPointer(used)))
    }

    private func validate(_ batch: StepBatch) throws(InferenceError) {
        func refuse(_ message: String) -> InferenceError {
            InferenceError(code: .invalidRequest, message: "step \(batch.stepID) \(message)")
        }
        guard batch.tokenCount <= stage.maxBatchedTokens else {
            throw refuse("has \(batch.tokenCount) tokens; expected at most \(stage.maxBatchedTokens)")
        }
        for step in batch.sequences {
            let end = step.startPosition + step.tokenIDs.count
            guard !step.tokenIDs.isEmpty, step.startPosition >= 0, end <= stage.maxContextTokens else {
                throw refuse(
                    "has positions \(step.startPosition)..<\(end); expected some below \(stage.maxContextTokens)")
            }
            guard step.blockTable.count * stage.kvBlockSize >= end else {
                throw refuse("has \(step.blockTable.count) blocks for \(end) positions of \(stage.kvBlockSize) each")
            }
            guard step.draftCount >= 0, step.draftCount < step.tokenIDs.count, step.draftCount == 0 || step.sample
            else {
                throw refuse(
                    "has \(step.draftCount) guesses among \(step.tokenIDs.count) tokens; expected fewer, and to sample")
            }
            guard step.blockTable.allSatisfy({ $0 >= 0 && Int($0) < stage.kvBlockCount }) else {
                throw refuse("names a KV cache block outside 0..<\(stage.kvBlockCount)")
            }
            guard step.tokenIDs.allSatisfy({ Int($0) < stage.vocabularySize }),
                step.nextTokenID.map({ Int($0) < stage.vocabularySize }) ?? true,
                step.historyTokenIDs.allSatisfy({ Int($0) < stage.vocabularySize })
            else { throw refuse("holds a token id outside 0..<\(stage.vocabularySize)") }
        }
    }

    // MARK: - The last stage

    private func sample(_ batch: StepBatch, hidden: UnsafeBufferPointer<Float>) throws -> [SequenceResult] {
        var results = batch.sequences.map { SequenceResult(sequenceID: $0.sequenceID) }
        var rows: [Int] = []
        var wanted: [LogitRow] = []
        var firstRow = 0
        for (index, step) in batch.sequences.enumerated() {
            let rowCount = step.tokenIDs.count
            defer { firstRow += rowCount }
            results[index].failure = failure(of: step, firstRow: firstRow, hidden: hidden)
            guard results[index].failure == nil else { continue }
            for offset in 0..<step.promptLogprobCount {
                rows.append(firstRow + offset)
                let token = offset + 1 < rowCount ? step.tokenIDs[offset + 1] : step.nextTokenID
                wanted.append(LogitRow(sequenceIndex: index, promptTokenID: token))
            }
            guard step.sample else { continue }
            let lastKnown = rowCount - 1 - step.draftCount
            for offset in lastKnown..<rowCount {
                rows.append(firstRow + offset)
                let draft = offset + 1 < rowCount ? step.tokenIDs[offset + 1] : nil
                wanted.append(LogitRow(sequenceIndex: index, draftTokenID: draft, isGuess: offset > lastKnown))
            }
        }
        guard !rows.isEmpty else { return results }
        // Rows after a wrong guess continue a text that is not.
        var isRefuted = Array(repeating: false, count: results.count)
        try stage.withLogits(rows: rows, hidden: hidden) { index, logits in
            let row = wanted[index]
            guard !isRefuted[row.sequenceIndex], results[row.sequenceIndex].failure == nil else { return }
            let step = batch.sequences[row.sequenceIndex]
            // A guess that was right but has no numbers is left to a step of its own.
            let isNumber = !row.isGuess || firstNotFinite(rows[index]..<rows[index] + 1, of: hidden) == nil
            guard isNumber, answer(step, row, logits, &results[row.sequenceIndex]) else {
                if row.isGuess {
                    isRefuted[row.sequenceIndex] = true
                } else {
                    results[row.sequenceIndex].failure = .notFinite(
                        position: step.startPosition + step.tokenIDs.count - step.draftCount)
                }
                return
            }
            if let draft = row.draftTokenID, results[row.sequenceIndex].sampled.last?.tokenID != draft {
                isRefuted[row.sequenceIndex] = true
            }
        }
        return results
    }

    /// What keeps a sequence from going on, before its logits are looked at.
    ///
    /// Every row is looked at that is not a guess, also those whose logits nobody wants: the KV cache holds a bound in place
    /// of what is no finite number, and later tokens would be computed from that.
    private func failure(
        of step: SequenceStep, firstRow: Int, hidden: UnsafeBufferPointer<Float>
    ) -> SequenceFailure? {
        guard noteHistory(of: step) else { return .refused }
        let known = firstRow..<firstRow + step.tokenIDs.count - step.draftCount
        return firstNotFinite(known, of: hidden).map { .notFinite(position: step.startPosition + $0 - firstRow) }
    }

    /// The first of these rows that is no finite number throughout.
    private func firstNotFinite(_ rows: Range<Int>, of hidden: UnsafeBufferPointer<Float>) -> Int? {
        let width = stage.modelWidth
        return rows.first { !UnsafeBufferPointer(rebasing: hidden[$0 * width..<($0 + 1) * width]).areFinite }
    }

    /// Starts or continues the sampler of a sequence.
    ///
    /// - Returns: false for one that is unknown and came without parameters, or with parameters out of range: one more
    ///   than are ever in use counts as unknown.
    private func noteHistory(of step: SequenceStep) -> Bool {
        let id = step.sequenceID
        if let parameters = step.sampling {
            guard samplers.count < Self.maxSamplers,
                (try? parameters.validate(vocabularySize: stage.vocabularySize)) != nil
            else { return false }
            samplers[id] = Sampler(parameters: parameters, generatedCount: step.generatedCount)
            samplers[id]?.observe(step.historyTokenIDs)
        }
        guard samplers[id] != nil else { return false }
        samplers[id]?.observe(step.tokenIDs)
        return true
    }

    /// - Returns: false when no logit is a finite number.
    private func answer(
        _ step: SequenceStep, _ row: LogitRow, _ logits: UnsafeMutableBufferPointer<Float>,
        _ result: inout SequenceResult
    ) -> Bool {
        if let token = row.promptTokenID {
            let topCount = samplers[step.sequenceID]?.parameters.promptLogprobs ?? 0
            let raw = UnsafeBufferPointer(logits)
            guard let logprob = Sampler.logprobs(raw, of: token, topCount: topCount) else { return false }
            result.promptLogprobs.append(logprob)
            return true
        }
        let position = step.startPosition + step.tokenIDs.count - step.draftCount + result.sampled.count
        guard let sampled = samplers[step.sequenceID]?.sample(logits, position: position, scratch: &scratch) else {
            return false
        }
        result.sampled.append(SampledToken(tokenID: sampled.tokenID, logprob: sampled.logprob))
        return true
    }
}

extension UnsafeBufferPointer<Float> {
    /// Whether every value is a finite number; one pass, eight values at a time.
    fileprivate var areFinite: Bool {
        // Zero times a finite number is zero, and stays so in a sum; anything else makes it NaN.
        var sum = SIMD8<Float>()
        var index = 0
        while index + 8 <= count {
            sum += UnsafeRawPointer(baseAddress.unsafelyUnwrapped + index).loadUnaligned(as: SIMD8<Float>.self) * 0
            index += 8
        }
        var rest = sum.sum()
        while index < count {
            rest += self[index] * 0
            index += 1
        }
        return rest == 0
    }
}
