import InferenceCore

/// Times prefill, decode and batched decode of a backend.
struct EngineBenchmark {
    struct Figure: Encodable {
        /// Sequences at once.
        var sequences: Int
        /// Median over the repeats.
        var tokensPerSecond: Double
        var samples: [Double]

        enum CodingKeys: String, CodingKey {
            case sequences, samples
            case tokensPerSecond = "tokens_per_s"
        }

        init(sequences: Int, samples: [Double]) {
            self.sequences = sequences
            self.samples = samples
            tokensPerSecond = SampleStatistics(samples).median ?? 0
        }
    }

    /// What the machine could do at best.
    struct Probe: Encodable {
        var readBytesPerSecond: Double
        var int8OperationsPerSecond: Double

        enum CodingKeys: String, CodingKey {
            case readBytesPerSecond = "read_bytes_per_s"
            case int8OperationsPerSecond = "int8_ops_per_s"
        }
    }

    struct Result: Encodable {
        var model: String
        /// nil: the shards' own default.
        var threads: Int?
        /// 0: in process.
        var shards: Int
        var prompt: Int
        var generate: Int
        var repeats: Int
        var prefill: Figure
        var decode: Figure
        var batch: [Figure]
        /// nil over shards.
        var probe: Probe?
    }

    let backend: any GenerationBackend
    let prompt: Int
    let generate: Int
    let batches: [Int]
    let repeats: Int

    func run(model: String, threads: Int?, shards: Int, report: (String) -> Void) async throws -> Result {
        report("warm-up")
        _ = try await backend.generate(prompt: tokens(prompt, seed: 0), maxTokens: min(8, generate))
        var prefill: [Double] = []
        for index in 0..<repeats {
            report("prefill \(index + 1) of \(repeats)")
            let start = ContinuousClock.now
            let arrivals = try await backend.generate(prompt: tokens(prompt, seed: index + 1), maxTokens: 1)
            guard let first = arrivals.first else { throw CommandError(.requestFailed, "no token came") }
            prefill.append(Double(prompt) / start.duration(to: first).inSeconds)
        }
        var decode: [Double] = []
        for index in 0..<repeats {
            report("decode \(index + 1) of \(repeats)")
            decode.append(try await decodeRate(sequences: 1, seed: 1_000 + index))
        }
        var batch: [Figure] = []
        for sequences in batches {
            var samples: [Double] = []
            for index in 0..<repeats {
                report("\(sequences) sequences, \(index + 1) of \(repeats)")
                samples.append(
                    try await decodeRate(sequences: sequences, seed: 10_000 + 1_000 * sequences + 100 * index))
            }
            batch.append(Figure(sequences: sequences, samples: samples))
        }
        return Result(
            model: model, threads: threads, shards: shards, prompt: prompt, generate: generate, repeats: repeats,
            prefill: Figure(sequences: 1, samples: prefill), decode: Figure(sequences: 1, samples: decode), batch: batch
        )
    }

    /// Tokens per second of all sequences together, from the moment when the last prefill is done to the moment when
    /// the first sequence is: all decode, and nothing else happens, in between.
    private func decodeRate(sequences: Int, seed: Int) async throws -> Double {
        let arrivals = try await withThrowingTaskGroup(of: [ContinuousClock.Instant].self) { group in
            for index in 0..<sequences {
                group.addTask {
                    try await backend.generate(prompt: tokens(prompt, seed: seed + index), maxTokens: generate)
                }
            }
            var all: [[ContinuousClock.Instant]] = []
            for try await one in group { all.append(one) }
            return all
        }
        return try Self.steadyRate(arrivals)
    }

    /// See `decodeRate`.
    ///
    /// - Throws: ``CommandError`` `requestFailed` when the sequences were never all in decode at once.
    static func steadyRate(_ arrivals: [[ContinuousClock.Instant]]) throws -> Double {
        guard let begin = arrivals.compactMap(\.first).max(), let end = arrivals.compactMap(\.last).min(), begin < end
        else {
            throw CommandError(
                .requestFailed,
                "the sequences were never all decoding at once; use a larger --generate or a smaller --batch")
        }
        let count = arrivals.joined().count { $0 > begin && $0 <= end }
        return Double(count) / begin.duration(to: end).inSeconds
    }

    /// A prompt without meaning and without special tokens, which have low ids; the same for the same seed.
    private func tokens(_ count: Int, seed: Int) -> [TokenID] {
        let low = min(1_000, backend.vocabularySize / 2)
        var state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return TokenID(low + Int(state >> 33) % (backend.vocabularySize - low))
        }
    }
}
