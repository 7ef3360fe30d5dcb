import InferenceCore
import ShardServer
import Testing

/// A reproducible source of random numbers.
private struct SeededRandom: RandomNumberGenerator {
    let seed: UInt64
    private var position: UInt64 = 0

    init(seed: UInt64) {
        self.seed = seed
    }

    mutating func next() -> UInt64 {
        position += 1
        return CounterRandom.bits(seed: seed, position: position)
    }
}

@Suite struct StopMatcherTests {
    private func run(_ pieces: [String], stops: [String]) -> (shown: [String], stop: String?) {
        var matcher = StopMatcher(stops: stops)
        var shown: [String] = []
        for piece in pieces {
            let (text, stop) = matcher.append(piece)
            shown.append(text)
            if let stop { return (shown, stop) }
        }
        shown.append(matcher.finish())
        return (shown, nil)
    }

    @Test("a stop string cut into single characters never shows any part of itself")
    func singleCharacters() {
        let (shown, stop) = run("one two<END>three".map(String.init), stops: ["<END>"])
        #expect(shown.joined() == "one two")
        #expect(stop == "<END>")
        #expect(shown.allSatisfy { !$0.contains("<") })
    }

    @Test("what only looked like the beginning of a stop string is shown in the end")
    func falseStart() {
        #expect(run(["a<E", "N", "X b"], stops: ["<END>"]).shown == ["a", "", "<ENX b", ""])
        #expect(run(["a<EN"], stops: ["<END>"]).shown == ["a", "<EN"])
    }

    @Test("a stop string whose beginning repeats is found")
    func overlap() {
        let (shown, stop) = run(["aa", "aab", "c"], stops: ["aab"])
        #expect(shown.joined() == "aa" && stop == "aab")
    }

    @Test("the stop string that begins first wins, then the one listed first")
    func several() {
        #expect(run(["xbcab"], stops: ["ab", "bc"]).stop == "bc")
        #expect(run(["xab"], stops: ["ab", "a"]).stop == "ab")
        #expect(run(["xab"], stops: ["a", "ab"]).stop == "a")
    }

    @Test("characters of several bytes are neither cut nor confused")
    func unicode() {
        let (shown, stop) = run(["ä", "ö", "é", "→", "x"], stops: ["é→"])
        #expect(shown.joined() == "äö" && stop == "é→")
        #expect(run(["日本", "語"], stops: ["本人"]).shown.joined() == "日本語")
    }

    @Test("random cuts of random texts agree with a search in the whole text")
    func randomCuts() {
        var generator = SeededRandom(seed: 3)
        for _ in 0..<2_000 {
            let text = (0..<20).map { _ in ["a", "b", "é"].randomElement(using: &generator) ?? "a" }
            let stops = (0..<2).map { _ in
                (0..<Int.random(in: 1...3, using: &generator)).map { _ in
                    ["a", "b", "é"].randomElement(using: &generator) ?? "a"
                }.joined()
            }
            // The first piece that completes a stop string ends the text, where the earliest one complete then begins.
            var whole = ""
            var expected: String?
            for character in text where expected == nil {
                whole += character
                let begins = stops.compactMap { whole.firstRange(of: $0)?.lowerBound }
                expected = begins.min().map { String(whole[..<$0]) }
            }
            let (shown, stop) = run(text, stops: stops)
            #expect(shown.joined() == expected ?? whole, "\(text) cut by \(stops)")
            #expect((stop != nil) == (expected != nil))
        }
    }
}
