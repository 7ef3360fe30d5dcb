import ModelFiles
import Testing
import Tokenization

@Suite("Merging of words")
struct WordMergingTests {
    /// A vocabulary over a, b, c with random merges in random order: unlike trained ones, a merge may make a pair that
    /// is preferred to itself.
    private struct RandomVocabulary {
        var tokens: [String] = ["a", "b", "c"]
        var merges: [(left: String, right: String)] = []

        init(_ random: inout SplitMix64) {
            while tokens.count < 24 {
                guard let left = tokens.randomElement(using: &random), let right = tokens.randomElement(using: &random),
                    left.count + right.count < 12, !tokens.contains(left + right)
                else { continue }
                tokens.append(left + right)
                merges.append((left, right))
            }
            merges.shuffle(using: &random)
        }

        func tokenizer() throws -> PipelineTokenizer {
            try TokenizerLoader.load(
                gguf: GGUFMetadata([
                    "tokenizer.ggml.model": .string("gpt2"),
                    "tokenizer.ggml.tokens": .array(GGUFArray(GGUFStringArray(tokens))),
                    "tokenizer.ggml.merges": .array(
                        GGUFArray(GGUFStringArray(merges.map { "\($0.left) \($0.right)" }))),
                ]))
        }

        /// The definition, word for word: again and again the preferred merge, leftmost first.
        func merge(_ word: String) -> [String] {
            var parts = word.map(String.init)
            while true {
                var best: (rank: Int, position: Int)?
                for position in parts.indices.dropLast() {
                    let rank = merges.firstIndex { $0.left == parts[position] && $0.right == parts[position + 1] }
                    if let rank, rank < best?.rank ?? .max { best = (rank, position) }
                }
                guard let best else { return parts }
                parts.replaceSubrange(
                    best.position...best.position + 1, with: [parts[best.position] + parts[best.position + 1]])
            }
        }
    }

    @Test("short and long words merge as the definition says, also where merges are in no sensible order")
    func definition() throws {
        var random = SplitMix64(state: 5)
        for _ in 0..<40 {
            let vocabulary = RandomVocabulary(&random)
            let tokenizer = try vocabulary.tokenizer()
            for _ in 0..<10 {
                let length = Int.random(in: 1...120, using: &random)
                let word = String((0..<length).map { _ in "abc".randomElement(using: &random) ?? "a" })
                let ids = try tokenizer.encode(word, parseSpecial: false, addSpecial: false)
                #expect(ids.map { vocabulary.tokens[Int($0)] } == vocabulary.merge(word))
            }
        }
    }
}
