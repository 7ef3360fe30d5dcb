import Dispatch
import ModelFiles
import Synchronization
import Tokenization

/// Sentence embeddings by a BERT-family encoder, such as all-MiniLM-L6-v2.
///
/// Compute runs on one dedicated queue, never on the cooperative pool, in `threads` threads. Texts that
/// wait together are computed together, interactive ones before background ones, in passes of bounded size, so that a
/// search never waits for more than one pass of indexing.
// @unchecked: `model` is touched on `queue` only; everything else is immutable or guarded by its Mutex.
package final class SentenceEncoder: @unchecked Sendable {
    /// Sequences that may wait at once.
    package static let maxQueuedSequences = 8192
    /// Tokens computed in one pass: large enough for BLAS to be fast, small enough to let a search in soon.
    static let maxPassTokens = 1024

    /// Components of an embedding.
    package let dimension: Int
    /// Tokens read at once, with start and end marks. Longer inputs: see ``LongInput``.
    package let maxTokens: Int
    /// Ids a token may have: `0..<vocabularySize`.
    package let vocabularySize: Int
    /// Tokens read of a text, without the marks.
    package var maxTextTokens: Int { maxTokens - 2 }

    /// Ideographs in the vocabulary of a model that was trained on them: Chinese BERT has 7,000, the uncased English one 244
    /// that say nothing, and both cut text into single ones.
    private static let leastIdeographs = 2000

    private let tokenizer: WordPieceTokenizer
    private let readsIdeographs: Bool
    private let startTokenID: UInt32
    private let endTokenID: UInt32
    private let model: BertModel
    private let queue = DispatchQueue(label: "fathom.encoder", qos: .userInitiated)
    /// Tokenises, so that a large batch of texts does not hold a thread of the cooperative pool.
    private let tokenizingQueue = DispatchQueue(label: "fathom.encoder.tokenizer", qos: .userInitiated)
    private let waiting = Mutex(EncoderQueue())

    /// Loads `model.safetensors`, `config.json` and `vocab.txt` from a directory.
    ///
    /// - Parameters:
    ///   - threads: Threads of a pass, 1...256.
    ///   - requested: Longest sequence, at most what the model has positions for; nil: 256, or all positions if fewer.
    /// - Throws: `modelUnreadable`, `unsupportedModel`, `invalidInput`; errors of the model's files.
    package init(directory: String, threads: Int = 1, maxTokens requested: Int? = nil) throws {
        guard (1...256).contains(threads) else {
            throw EncoderError(code: .invalidInput, message: "the number of threads must be 1...256, got \(threads)")
        }
        let configuration = try EncoderConfiguration.read(path: "\(directory)/config.json")
        let maxTokens = requested ?? min(256, configuration.maxPositions)
        guard (3...max(3, configuration.maxPositions)).contains(maxTokens) else {
            throw EncoderError(
                code: .invalidInput,
                message: "the sequence length must be 3...\(configuration.maxPositions), got \(maxTokens)")
        }
        tokenizer = try WordPieceTokenizer(vocabularyPath: "\(directory)/vocab.txt", maxLength: maxTokens)
        let marks = tokenizer.encode("", parseSpecial: false, addSpecial: true)
        guard marks.count == 2, tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw EncoderError(
                code: .unsupportedModel,
                message: "the vocabulary of \(tokenizer.vocabularySize) does not fit the model's "
                    + "\(configuration.vocabularySize), or lacks [CLS] and [SEP]")
        }
        (startTokenID, endTokenID) = (marks[0], marks[1])
        model = try BertModel(
            configuration: configuration, file: SafetensorsFile(path: "\(directory)/model.safetensors"),
            threads: threads)
        dimension = configuration.hiddenSize
        vocabularySize = configuration.vocabularySize
        self.maxTokens = maxTokens
        readsIdeographs = Self.ideographCount(tokenizer) >= Self.leastIdeographs
    }

    /// Tokens of a text, without start and end marks and without any limit.
    package func tokenCount(_ text: String) -> Int {
        tokenizer.encode(text, parseSpecial: false, addSpecial: false).count
    }

    /// Whether the model has `word` as a token of its own, and was trained on the script.
    package func reads(_ word: String) -> Bool {
        if !readsIdeographs, word.unicodeScalars.contains(where: { Self.isUnspaced($0.value) }) { return false }
        let tokens = tokenizer.encode(word, parseSpecial: false, addSpecial: false)
        return tokens.count == 1 && tokens[0] != tokenizer.specialToken("[UNK]")
    }

    private static func ideographCount(_ tokenizer: WordPieceTokenizer) -> Int {
        (0..<UInt32(tokenizer.vocabularySize)).count { token in
            let text = String(decoding: tokenizer.bytes(of: token).dropFirst(), as: UTF8.self).unicodeScalars
            return text.count == 1 && (text.first.map { isUnspaced($0.value) } ?? false)
        }
    }

    /// Kana and ideographs, of which a tokeniser of this kind makes a token each.
    private static func isUnspaced(_ value: UInt32) -> Bool {
        (0x3041...0x30FF).contains(value) || (0x3400...0x9FFF).contains(value) || (0xF900...0xFAFF).contains(value)
            || (0x20000...0x3FFFF).contains(value)
    }

    /// Embeds texts.
    ///
    /// - Returns: One unit vector per text, and the tokens computed for each, marks included.
    /// - Throws: `InputTooLong` as `longInputs` says; `queueFull`; `CancellationError` when the task is cancelled while
    ///   it waits.
    package func embed(
        _ texts: [String], priority: EncoderPriority = .interactive, longInputs: LongInput = .pool
    ) async throws -> (vectors: [[Float]], tokenCounts: [Int]) {
        guard !texts.isEmpty else { return ([], []) }
        let bodies = await withCheckedContinuation { continuation in
            tokenizingQueue.async {
                continuation.resume(
                    returning: texts.map { self.tokenizer.encode($0, parseSpecial: false, addSpecial: false) })
            }
        }
        return try await embed(bodies: bodies, priority: priority, longInputs: longInputs)
    }

    /// Embeds token sequences of this encoder's vocabulary; start and end marks are put around those without.
    ///
    /// - Throws: `invalidInput` for an id outside the vocabulary; as `embed(_:priority:longInputs:)`.
    package func embed(
        tokens: [[UInt32]], priority: EncoderPriority = .interactive, longInputs: LongInput = .pool
    ) async throws -> (vectors: [[Float]], tokenCounts: [Int]) {
        guard !tokens.isEmpty else { return ([], []) }
        for ids in tokens {
            if let id = ids.first(where: { Int($0) >= vocabularySize }) {
                throw EncoderError(
                    code: .invalidInput, message: "token id \(id) is outside the vocabulary of \(vocabularySize)")
            }
        }
        let bodies = tokens.map { ids in
            guard ids.first == startTokenID else { return ids }
            return Array(ids.last == endTokenID && ids.count > 1 ? ids.dropFirst().dropLast() : ids.dropFirst())
        }
        return try await embed(bodies: bodies, priority: priority, longInputs: longInputs)
    }

    /// Embeds token sequences without marks.
    private func embed(
        bodies: [[UInt32]], priority: EncoderPriority, longInputs: LongInput
    ) async throws -> (vectors: [[Float]], tokenCounts: [Int]) {
        let room = maxTokens - 2
        if longInputs == .refuse, let index = bodies.firstIndex(where: { $0.count > room }) {
            throw InputTooLong(index: index, tokenCount: bodies[index].count + 2, limit: maxTokens)
        }
        let windows = bodies.map { InputWindows.windows(of: $0, room: room) }
        let sequences = windows.flatMap { $0 }.map { [startTokenID] + $0 + [endTokenID] }
        let vectors = try await compute(sequences, priority: priority)
        var start = 0
        var pooled: [[Float]] = []
        pooled.reserveCapacity(bodies.count)
        for pieces in windows {
            pooled.append(InputWindows.pool(vectors[start..<(start + pieces.count)], weights: pieces.map(\.count)))
            start += pieces.count
        }
        return (pooled, windows.map { $0.reduce(0) { $0 + $1.count + 2 } })
    }

    private func compute(_ sequences: [[UInt32]], priority: EncoderPriority) async throws -> [[Float]] {
        let job = EncoderJob(count: sequences.count)
        try waiting.withLock { waiting in
            guard waiting.count + sequences.count <= Self.maxQueuedSequences else {
                throw EncoderError(
                    code: .queueFull,
                    message: "\(waiting.count) texts wait for the encoder already; at most \(Self.maxQueuedSequences)")
            }
            waiting.append(
                sequences.enumerated().map { .init(tokens: $0.element, job: job, index: $0.offset) },
                priority: priority)
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                job.wait(continuation)
                queue.async { self.runPasses() }
            }
        } onCancel: {
            job.fail(CancellationError())
        }
    }

    /// Computes until nothing waits. Each call of `compute` asks for one run, so none is forgotten.
    private func runPasses() {
        while true {
            let pass = waiting.withLock { $0.nextPass(maxTokens: Self.maxPassTokens) }
            guard !pass.isEmpty else { return }
            do {
                let vectors = try model.embed(pass.map(\.tokens))
                for (entry, vector) in zip(pass, vectors) { entry.job.deliver(vector, at: entry.index) }
            } catch {
                for entry in pass { entry.job.fail(error) }
            }
        }
    }
}
