import Foundation
import RetrievalCore
import Testing

struct BM25IndexTests {
    private struct Fixture: Decodable {
        struct Query: Decodable {
            var text: String
            var scores: [Double]
        }
        var documents: [String]
        var queries: [Query]
    }

    private func fixture() throws -> Fixture {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../Fixtures/retrieval/bm25.json")
        return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: url))
    }

    /// The formula written down once more, document by document.
    private func naive(_ documents: [Int64: String], _ query: String) -> [Int64: Double] {
        let terms = documents.mapValues(WordTokenizer.terms)
        let n = Double(terms.count)
        let average = Double(terms.values.reduce(0) { $0 + $1.count }) / max(1, n)
        var scores: [Int64: Double] = [:]
        for (id, words) in terms {
            var score = 0.0
            for term in WordTokenizer.terms(query) {
                let tf = Double(words.filter { $0 == term }.count)
                let df = Double(terms.values.filter { $0.contains(term) }.count)
                if tf == 0 { continue }
                let idf = log(1 + (n - df + 0.5) / (df + 0.5))
                score += idf * tf / (tf + 1.2 * (1 - 0.75 + 0.75 * Double(words.count) / average))
            }
            if score > 0 { scores[id] = score }
        }
        return scores
    }

    private func expectEqual(_ hits: [BM25Index.Hit], _ expected: [Int64: Double]) {
        #expect(Set(hits.map(\.id)) == Set(expected.keys))
        for hit in hits {
            #expect(abs(hit.score - (expected[hit.id] ?? -1)) < 1e-9)
        }
        for (a, b) in zip(hits, hits.dropFirst()) {
            #expect(a.score > b.score || (a.score == b.score && a.id < b.id))
        }
    }

    @Test("scores are those of an independent implementation")
    func fixtureScores() throws {
        let fixture = try fixture()
        var index = BM25Index()
        for (id, text) in fixture.documents.enumerated() { index.add(id: Int64(id), text: text) }
        for query in fixture.queries {
            var expected: [Int64: Double] = [:]
            for (id, score) in query.scores.enumerated() where score > 0 { expected[Int64(id)] = score }
            expectEqual(index.search(query.text, limit: 1000), expected)
        }
    }

    @Test("after any adds, replacements and removals the scores are those of the documents that remain")
    func incremental() {
        let words = ["pump", "valves", "oil", "leave", "sick", "policy", "Straße", "漢字", "don't", "tax"]
        var random = SeededGenerator(seed: 3)
        var index = BM25Index()
        var documents: [Int64: String] = [:]
        for step in 0..<1200 {
            let id = Int64.random(in: 0..<200, using: &random)
            if Int.random(in: 0..<3, using: &random) == 0 {
                #expect(index.remove(id: id) == (documents.removeValue(forKey: id) != nil))
            } else {
                let length = Int.random(in: 0..<12, using: &random)
                let text = (0..<length).compactMap { _ in words.randomElement(using: &random) }.joined(separator: " ")
                index.add(id: id, text: text)
                documents[id] = text
            }
            #expect(index.count == documents.count)
            if step % 40 == 0 {
                let query = [words.randomElement(using: &random) ?? "", words.randomElement(using: &random) ?? ""]
                    .joined(separator: " ")
                expectEqual(index.search(query, limit: 1000), naive(documents, query))
            }
        }
        // Removing nearly everything drives the compaction.
        for id in documents.keys where id != 7 { index.remove(id: id) }
        documents = documents.filter { $0.key == 7 }
        expectEqual(
            index.search(words.joined(separator: " "), limit: 10), naive(documents, words.joined(separator: " ")))
    }

    @Test("the filter and the limit hold, and nothing matches an empty query")
    func filters() {
        var index = BM25Index()
        for id in 0..<20 { index.add(id: Int64(id), text: "same text") }
        #expect(index.search("text", limit: 3).map(\.id) == [0, 1, 2])
        #expect(index.search("text", limit: 3, where: { $0 % 5 == 4 }).map(\.id) == [4, 9, 14])
        #expect(index.search("", limit: 3).isEmpty)
        #expect(index.search("... !", limit: 3).isEmpty)
        #expect(index.search("text", limit: 0).isEmpty)
        #expect(BM25Index().search("text", limit: 3).isEmpty)
    }

    @Test(
        "terms are lower-case words of any script, with English plurals folded",
        arguments: [
            ("Hello, World!", ["hello", "world"]), ("The pumps' valves", ["the", "pump", "valve"]),
            ("employee's Don’t", ["employee", "dont"]), ("policies cities", ["policy", "city"]),
            ("glass bus shoes", ["glass", "bus", "shoes"]), ("ABC-123/x_9", ["abc", "123", "x", "9"]),
            ("ÉTÉ Straße ΟΔΟΣ", ["ete", "strasse", "οδοσ"]), ("漢字かな", ["漢", "字", "か", "な"]),
            ("''' 's", ["s"]), ("", []), ("नमस्ते", ["नमस्ते"]),
        ] as [(String, [String])])
    func terms(text: String, expected: [String]) {
        #expect(WordTokenizer.terms(text) == expected)
    }

    @Test("a question is searched by its content words, or by all when it has no others")
    func queryTerms() {
        #expect(WordTokenizer.queryTerms("How many holidays do I get?") == ["many", "holiday", "get"])
        #expect(WordTokenizer.queryTerms("What is this?") == ["what", "is", "thi"])
        #expect(WordTokenizer.queryTerms("Does his bus stop") == ["bus", "stop"])
    }

    @Test("an endless word is cut into bounded terms")
    func endlessWord() {
        let terms = WordTokenizer.terms(String(repeating: "é", count: 100_000))
        #expect(terms.allSatisfy { $0.utf8.count <= 66 })
        #expect(terms.joined().count == 100_000)
    }
}
