import GatewayServer
import Testing

@Suite struct KeySentencesTests {
    private static func evidence(_ text: String, id: String = "file-1") -> Evidence {
        Evidence(fileID: id, filename: "\(id).md", vectorStoreID: "vs_1", text: text)
    }

    /// Stands in for the encoder: one axis per word of the question.
    private func embed(_ texts: [String]) -> [[Float]] {
        let axes = texts[0].lowercased().split(whereSeparator: { !$0.isLetter })
        return texts.map { text in
            let words = Set(text.lowercased().split(whereSeparator: { !$0.isLetter }))
            return axes.map { words.contains($0) ? 1 : 0 }
        }
    }

    @Test("the nearest sentences are chosen from all chunks, nearest first, verbatim")
    func choosesNearest() async throws {
        let narrowed = try await KeySentences.narrow(
            [
                Self.evidence(
                    "# Leave\n\nAsk for leave in the staff portal. Full-time employees get\n28 days of leave a year."),
                Self.evidence("The canteen opens at noon every day. Employees eat there.", id: "file-2"),
            ], to: "How many days of leave do full time employees get?", embed: embed)
        #expect(narrowed.map(\.fileID) == ["file-1", "file-1"])
        #expect(narrowed.first?.keySentence == "Full-time employees get\n28 days of leave a year.")
    }

    @Test("the chunk that the search found decides between sentences that embeddings cannot tell apart")
    func followsTheScore() async throws {
        var wrong = Self.evidence("Report PPR-4848 says the pump leaks.", id: "file-wrong")
        var right = Self.evidence("Report PPR-4898 says the pump leaks.", id: "file-right")
        (wrong.score, right.score) = (0.2, 0.9)
        let narrowed = try await KeySentences.narrow([right, wrong], to: "PPR-4898") { texts in
            // The wrong one is a little nearer.
            texts.map { $0.contains("4848") ? [1, 0] : $0.contains("says") ? [0.9, 0.43589] : [1, 0] }
        }
        #expect(narrowed.first?.fileID == "file-right")
        let cited = Citations.annotations(answer: "Unclear.", evidence: narrowed.reversed())
        #expect(cited.map(\.fileID) == ["file-right"])
    }

    @Test(
        "headings, list marks and sentences of a few words are no candidates; evidence without a sentence stays whole")
    func nothingToChoose() async throws {
        let evidence = [Self.evidence("# A long heading about leave\n\n- one\n- two\n\nSee there.")]
        let narrowed = try await KeySentences.narrow(evidence, to: "leave?", embed: embed)
        #expect(narrowed == evidence)
    }

    @Test("at most 64 sentences are embedded, whatever the chunks hold")
    func bounded() async throws {
        let text = (0..<500).map { "Sentence number \($0) says very little here." }.joined(separator: " ")
        var count = 0
        _ = try await KeySentences.narrow([Self.evidence(text)], to: "little?") { texts in
            count = texts.count
            return embed(texts)
        }
        #expect(count == 65)
    }

    @Test("the prompt ends with the nearest sentence and the question, and keeps the client's system message first")
    func prompt() {
        var far = Self.evidence("Far.")
        far.keySentence = "This is far\naway from it."
        var near = Self.evidence("Near.")
        near.keySentence = "This is very near."
        let messages = EvidencePrompt.messages(
            [
                ChatRequest.Message(role: "system", content: "Mine."),
                ChatRequest.Message(role: "user", content: "What?"),
            ],
            evidence: [near, far])
        #expect(messages.first?.content == "Mine.")
        #expect(messages.last?.content == "This is far away from it. This is very near.\n\nWhat?")
        #expect(messages.map(\.role) == ["system", "user", "assistant", "user", "assistant", "user"])
    }

    @Test("an answer that matches nothing cites the key sentence")
    func fallbackQuote() {
        var source = Self.evidence("# Title\n\nThe pump runs at night.")
        source.keySentence = "The pump runs at night."
        let annotations = Citations.annotations(answer: "Yes.", evidence: [source])
        #expect(annotations.map(\.quote) == ["The pump runs at night."])
    }

    @Test("a hard-wrapped sentence is quoted whole")
    func hardWrap() {
        let source = Self.evidence("The daily allowance for meals\nis 42 euros. Alcohol is not\nreimbursed.")
        let annotations = Citations.annotations(
            answer: "The daily allowance for meals is 42 euros.", evidence: [source])
        #expect(annotations.map(\.quote) == ["The daily allowance for meals\nis 42 euros."])
    }
}
