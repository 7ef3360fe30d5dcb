import Foundation
import GatewayServer
import Testing

struct CitationsTests {
    static let travel = Evidence(
        fileID: "file-1", filename: "travel.md", vectorStoreID: "vs",
        text: "Employees book travel through the portal. Flights under four hours are economy class. Keep receipts.",
        startByte: 100, endByte: 201, sha256: "aa", score: 0.9)
    static let leave = Evidence(
        fileID: "file-2", filename: "leave.md", vectorStoreID: "vs",
        text: "Annual leave is 25 days. Up to five unused days carry over to the next year.", sha256: "bb", score: 0.5)

    private func span(_ annotation: Annotation, of answer: String) -> String {
        let scalars = Array(answer.unicodeScalars)[annotation.startIndex..<annotation.endIndex]
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    @Test("each sentence is linked to the source it repeats, with a verbatim quote")
    func sentences() {
        let answer = "You get 25 days of annual leave. Flights under four hours are economy class. 🦑 Enjoy!"
        let annotations = Citations.annotations(answer: answer, evidence: [Self.travel, Self.leave])
        #expect(annotations.map(\.fileID) == ["file-2", "file-1"])
        #expect(annotations[0].quote == "Annual leave is 25 days.")
        #expect(annotations[1].quote == "Flights under four hours are economy class.")
        #expect(span(annotations[0], of: answer) == "You get 25 days of annual leave.")
        #expect(span(annotations[1], of: answer) == "Flights under four hours are economy class.")
        #expect(annotations[1].chunkStartByte == 100)
        #expect(annotations[1].chunkSHA256 == "aa")
        #expect(annotations[1].score == 0.9)
    }

    @Test("an answer that matches nothing cites the best source for an empty span at its end")
    func fallback() {
        let answer = "I do not know."
        let annotations = Citations.annotations(answer: answer, evidence: [Self.travel, Self.leave])
        #expect(annotations.count == 1)
        #expect(annotations[0].fileID == "file-1")
        #expect(annotations[0].startIndex == 14)
        #expect(annotations[0].endIndex == 14)
        #expect(annotations[0].quote == "Employees book travel through the portal.")
    }

    @Test("without evidence there is nothing to cite")
    func noEvidence() {
        #expect(Citations.annotations(answer: "Anything.", evidence: []).isEmpty)
    }

    @Test("words that every text has prove nothing")
    func functionWords() {
        let evidence = Evidence(
            fileID: "f", filename: "f", vectorStoreID: "vs", text: "It is in the office that you are to be at.")
        let annotations = Citations.annotations(answer: "It is in the end what you are.", evidence: [evidence])
        #expect(annotations.allSatisfy { $0.startIndex == $0.endIndex })
    }

    @Test("every quote is in its chunk and every span in the answer, for any text")
    func invariants() {
        var generator = SplitMix(state: 3)
        let words = ["leave", "25", "days", "the", "Ärger", "🦑", "travel.", "\n", "is", "four", "hours!", "—", "e.g."]
        func text(_ count: Int) -> String {
            (0..<count).map { _ in words[Int.random(in: 0..<words.count, using: &generator)] }.joined(separator: " ")
        }
        for _ in 0..<300 {
            let evidence = (0..<3).map { index in
                Evidence(
                    fileID: "f\(index)", filename: "f", vectorStoreID: "vs",
                    text: text(Int.random(in: 0...120, using: &generator)))
            }
            let answer = text(Int.random(in: 0...60, using: &generator))
            let annotations = Citations.annotations(answer: answer, evidence: evidence)
            #expect(!annotations.isEmpty)
            for annotation in annotations {
                let source = evidence.first { $0.fileID == annotation.fileID }
                #expect(source?.text.unicodeScalars.contains(annotation.quote.unicodeScalars) == true)
                #expect(0 <= annotation.startIndex && annotation.startIndex <= annotation.endIndex)
                #expect(annotation.endIndex <= answer.unicodeScalars.count)
            }
            #expect(annotations == Citations.annotations(answer: answer, evidence: evidence))
        }
    }

    @Test("a prompt holds few, short and different sources before the question")
    func prompt() throws {
        let long = Evidence(
            fileID: "f", filename: "long.md", vectorStoreID: "vs", text: String(repeating: "x", count: 5_000))
        let selected = EvidencePrompt.select([Self.travel, Self.travel, Self.leave, long, long, long], limit: 10)
        #expect(selected.map(\.filename) == ["travel.md", "leave.md", "long.md"])
        let messages = EvidencePrompt.messages(
            [.init(role: "system", content: "S"), .init(role: "user", content: "How long?")], evidence: selected)
        #expect(messages.map(\.role) == ["system", "user"])
        #expect(messages[0].content == "S")
        let text = messages[1].content
        #expect(text.utf8.count < EvidencePrompt.maximumByteCount + 500)
        let source = try #require(text.range(of: Self.travel.text))
        let question = try #require(text.range(of: "How long?"))
        #expect(source.upperBound < question.lowerBound)
    }
}
