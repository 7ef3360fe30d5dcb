import Foundation
import InferenceCore
import Testing

@Suite struct SamplerTests {
    private func logits(_ count: Int, seed: UInt64, spread: Float = 12) -> [Float] {
        (0..<count).map { Float(CounterRandom.uniform(seed: seed, position: UInt64($0))) * spread - 3 }
    }

    private func sample(
        _ logits: [Float], _ parameters: SamplingParameters, position: Int = 5, prompt: [TokenID] = [],
        generated: [TokenID] = []
    ) throws -> (tokenID: TokenID, logprob: TokenLogprob?) {
        var sampler = Sampler(parameters: parameters, generatedCount: generated.count)
        sampler.observe(prompt + generated)
        var scratch = SamplerScratch()
        var row = logits
        let chosen = row.withUnsafeMutableBufferPointer {
            sampler.sample($0, position: position, scratch: &scratch)
        }
        return try #require(chosen)
    }

    /// The distribution by the book: sort everything, Double everywhere.
    private func distribution(_ logits: [Float], _ p: SamplingParameters) -> [TokenID: Double] {
        let maximum = Double(logits.max() ?? 0)
        var entries = logits.enumerated().map { (TokenID($0), exp((Double($1) - maximum) / p.temperature)) }
        entries.sort { $0.1 != $1.1 ? $0.1 > $1.1 : $0.0 < $1.0 }
        entries.removeAll { $0.1 < p.minP }
        if p.topK > 0 { entries = Array(entries.prefix(p.topK)) }
        var sum = 0.0
        let kept = entries.reduce(0) { $0 + $1.1 }
        let last = entries.firstIndex { entry in
            sum += entry.1
            return sum >= p.topP * kept
        }
        if p.topP < 1, let last { entries = Array(entries.prefix(last + 1)) }
        let total = entries.reduce(0) { $0 + $1.1 }
        return Dictionary(uniqueKeysWithValues: entries.map { ($0.0, $0.1 / total) })
    }

    @Test("greedy takes the likeliest token, the lower id on a tie", arguments: [1, 7, 8, 9, 1_003])
    func greedy(count: Int) throws {
        var row = logits(count, seed: 1)
        row[count - 1] = 50
        row[count / 2] = 50
        #expect(try sample(row, SamplingParameters(temperature: 0)).tokenID == TokenID(count / 2))
    }

    @Test(
        "drawn frequencies follow the distribution by the book",
        arguments: [
            SamplingParameters(temperature: 1), SamplingParameters(temperature: 0.7, topK: 5),
            SamplingParameters(temperature: 1.5, topP: 0.8), SamplingParameters(temperature: 1, minP: 0.1),
            SamplingParameters(temperature: 2, topK: 12, topP: 0.7, minP: 0.01),
        ])
    func frequencies(parameters: SamplingParameters) throws {
        let row = logits(67, seed: 5, spread: 6)
        let expected = distribution(row, parameters)
        var counts: [TokenID: Int] = [:]
        let draws = 40_000
        var parameters = parameters
        parameters.seed = 42
        for position in 0..<draws { counts[try sample(row, parameters, position: position).tokenID, default: 0] += 1 }
        #expect(Set(counts.keys).isSubset(of: Set(expected.keys)), "a token was drawn that should have been cut")
        for (token, probability) in expected {
            let frequency = Double(counts[token] ?? 0) / Double(draws)
            let tolerance = 5 * (probability / Double(draws)).squareRoot() + 1e-4
            #expect(abs(frequency - probability) < tolerance, "token \(token): \(frequency), expected \(probability)")
        }
    }

    @Test("the same seed and position give the same token, others differ somewhere")
    func seeds() throws {
        let row = logits(49_152, seed: 9)
        func run(_ seed: UInt64) throws -> [TokenID] {
            try (0..<8).map { try sample(row, SamplingParameters(temperature: 1, seed: seed), position: $0).tokenID }
        }
        #expect(try run(1) == run(1))
        #expect(try run(1) != run(2))
        #expect(Set(try run(1)).count > 1)
    }

    @Test("log-probabilities are those of the raw logits to six digits", arguments: [5, 20, 49_152])
    func logprobs(count: Int) throws {
        let row = logits(count, seed: 3)
        let normaliser = log(row.reduce(0.0) { $0 + exp(Double($1)) })
        let parameters = SamplingParameters(temperature: 0, repetitionPenalty: 5, logitBias: [1: 90], logprobs: 4)
        let (token, logprob) = try sample(row, parameters, prompt: [1, 2])
        #expect(token == 1)
        let found = try #require(logprob)
        #expect(abs(Double(found.logprob) - (Double(row[1]) - normaliser)) < 1e-5)
        let best = row.enumerated().sorted { a, b in
            a.element != b.element ? a.element > b.element : a.offset < b.offset
        }
        #expect(found.top.map(\.tokenID) == best.prefix(4).map { TokenID($0.offset) })
        for top in found.top {
            #expect(abs(Double(top.logprob) - (Double(row[Int(top.tokenID)]) - normaliser)) < 1e-5)
        }
    }

    @Test("penalties count what they should")
    func penalties() throws {
        let row: [Float] = [4, 3.9, -1, 0]
        var parameters = SamplingParameters(temperature: 0)
        parameters.presencePenalty = 0.5
        #expect(try sample(row, parameters, prompt: [0]).tokenID == 0, "presence ignores the prompt")
        #expect(try sample(row, parameters, generated: [0]).tokenID == 1)
        parameters.presencePenalty = 0
        parameters.frequencyPenalty = 0.06
        #expect(try sample(row, parameters, generated: [0]).tokenID == 0)
        #expect(try sample(row, parameters, generated: [0, 0]).tokenID == 1)
        parameters.frequencyPenalty = 0
        parameters.repetitionPenalty = 1.1
        #expect(try sample(row, parameters, prompt: [0]).tokenID == 1, "repetition counts the prompt")
        parameters.repetitionPenalty = 1
        parameters.forbiddenTokenIDs = [0]
        #expect(try sample(row, parameters).tokenID == 1)
        parameters.forbiddenTokenIDs = []
        parameters.logitBias = [3: 10]
        #expect(try sample(row, parameters).tokenID == 3)
    }

    @Test("a row without a finite logit gives no token")
    func notFinite() {
        for value in [Float.nan, -.infinity, .infinity] {
            for temperature in [0, 1.0] {
                var sampler = Sampler(parameters: SamplingParameters(temperature: temperature, logprobs: 2))
                var scratch = SamplerScratch()
                var row = Array(repeating: value, count: 11)
                let chosen = row.withUnsafeMutableBufferPointer { sampler.sample($0, position: 1, scratch: &scratch) }
                #expect(chosen == nil)
                let logprob = row.withUnsafeBufferPointer { Sampler.logprobs($0, of: 3, topCount: 2) }
                #expect(logprob == nil)
            }
        }
    }

    @Test(
        "a token whose logit is no finite number is never chosen and changes nothing for the others",
        arguments: [Float.nan, .infinity, -.infinity], [0, 1, 0.3])
    func oneNotFinite(value: Float, temperature: Double) throws {
        var row = logits(1_003, seed: 4)
        var parameters = SamplingParameters(temperature: temperature, topK: 50, repetitionPenalty: 1.3, logprobs: 5)
        parameters.logitBias = [17: 100]
        parameters.seed = 8
        // Minus infinity is what the arithmetic makes of a token that cannot come.
        var without = row
        for index in [17, 1_001] {
            row[index] = value
            without[index] = -.infinity
        }
        for position in 0..<20 {
            let found = try sample(row, parameters, position: position, prompt: [17, 3])
            let expected = try sample(without, parameters, position: position, prompt: [17, 3])
            #expect(found.tokenID == expected.tokenID && found.logprob == expected.logprob)
            #expect(found.tokenID != 17 && found.tokenID != 1_001)
        }
        let logprob = try #require(row.withUnsafeBufferPointer { Sampler.logprobs($0, of: 17, topCount: 1_003) })
        #expect(logprob.logprob == Sampler.minLogprob && logprob.top.count == 1_001)
    }

    @Test("extreme parameters within their ranges give tokens and finite log-probabilities")
    func extremes() throws {
        let least = SamplingParameters.minRepetitionPenalty
        var cases: [SamplingParameters] = []
        for repetition in [least, 1e-37, 1e-20, 1, 10] {
            for temperature in [0, Double.leastNonzeroMagnitude * 2_024, 1e-45, 1e-38, 1e-30, 1, 100] {
                for extra in [Double(0), 2, -2] {
                    cases.append(
                        SamplingParameters(
                            temperature: temperature, topP: Double.leastNonzeroMagnitude,
                            minP: Double.leastNonzeroMagnitude, presencePenalty: extra,
                            frequencyPenalty: extra, repetitionPenalty: repetition,
                            logitBias: [2: 100, 3: -100], logprobs: 3))
                }
            }
        }
        let row = logits(999, seed: 6).enumerated().map { $0.offset % 5 == 0 ? -$0.element : $0.element }
        for parameters in cases + cases.map({ with($0) { $0.topP = 1 } }) {
            try parameters.validate(vocabularySize: row.count)
            let (token, logprob) = try sample(row, parameters, prompt: Array(0..<400), generated: Array(300..<500))
            #expect(Int(token) < row.count)
            let found = try #require(logprob)
            #expect(found.logprob.isFinite && found.top.allSatisfy { $0.logprob.isFinite && $0.logprob <= 0 })
        }
    }

    private func with(
        _ parameters: SamplingParameters, _ change: (inout SamplingParameters) -> Void
    ) -> SamplingParameters {
        var copy = parameters
        change(&copy)
        return copy
    }

    @Test("what f32 rounds to 0 counts as 0: greedy, the likeliest token, or out of range")
    func smallNumbers() throws {
        let row = logits(301, seed: 7)
        let greedy = try sample(row, SamplingParameters(temperature: 0)).tokenID
        for temperature in [Double.leastNonzeroMagnitude, 1e-300, 1e-45, 1e-39] {
            let parameters = SamplingParameters(temperature: temperature, seed: 3)
            #expect(parameters.isGreedy)
            #expect(try sample(row, parameters).tokenID == greedy)
        }
        for topP in [0, Double.leastNonzeroMagnitude, 1e-300, 1e-9] {
            for position in 0..<10 {
                let parameters = SamplingParameters(temperature: 2, topP: topP, seed: 3)
                #expect(try sample(row, parameters, position: position).tokenID == greedy)
            }
        }
        #expect(throws: Never.self) {
            try SamplingParameters(repetitionPenalty: SamplingParameters.minRepetitionPenalty).validate(
                vocabularySize: 9)
        }
        for penalty in [0, Double.leastNonzeroMagnitude, 1e-300, 1e-45, 1e-39, -1, .nan, .infinity] {
            #expect(throws: InferenceError.self) {
                try SamplingParameters(repetitionPenalty: penalty).validate(vocabularySize: 9)
            }
        }
    }
}
