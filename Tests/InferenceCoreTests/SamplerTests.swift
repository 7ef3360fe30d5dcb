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
        return try row.withUnsafeMutableBufferPointer {
            try sampler.sample($0, position: position, scratch: &scratch)
        }
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

    @Test("a row without a finite logit is an error, not a token")
    func notFinite() {
        for value in [Float.nan, -.infinity] {
            for temperature in [0.0, 1.0] {
                #expect(throws: InferenceError.self) {
                    try sample([value, value, value], SamplingParameters(temperature: temperature))
                }
            }
        }
    }
}
