import RetrievalCore
import Testing
import VectorIndex

struct SearchRankingTests {
    /// An encoder that reads whole words of letters only, and whose vectors are what the test says.
    private func rank(
        _ question: String, _ documents: [String], cosines: [Float]? = nil, words: Bool = true,
        read: Set<String> = []
    ) throws -> [RankedChunk] {
        var index = BM25Index()
        var vectors = FlatVectorIndex(dimension: 2)
        for (id, text) in documents.enumerated() {
            index.add(id: Int64(id), text: text)
            let cosine = cosines?[id] ?? 0
            try vectors.add(id: Int64(id), vector: [cosine, (1 - cosine * cosine).squareRoot()])
        }
        return try SearchRanking.rank(
            terms: words ? WordTokenizer.searchTerms(question) : [], embedding: cosines == nil ? nil : [1, 0],
            in: index, vectors, isRead: read.contains, depth: 50)
    }

    @Test("a code that one document has decides, whatever the vectors say")
    func codesDecide() throws {
        var random = SeededGenerator(seed: 5)
        let documents = (0..<150).map { "Report PPR-\(4001 + $0) says that the pump in hall \($0 % 7) leaks." }
        for _ in 0..<40 {
            let wanted = Int.random(in: 0..<150, using: &random)
            let cosines = (0..<150).map { id in
                id == wanted ? Float(0.3) : Float.random(in: 0.3...0.8, using: &random)
            }
            let code = "PPR-\(4001 + wanted)"
            for question in [
                code, code.lowercased(), "What does \(code) say?", "PPR\(4001 + wanted)", "\(4001 + wanted)",
            ] {
                let ranked = try rank(question, documents, cosines: cosines, read: ["pump", "say", "report"])
                #expect(ranked.first?.id == Int64(wanted))
            }
        }
    }

    @Test("characters of a script that the encoder does not know are found by words")
    func unknownScript() throws {
        let documents = ["食堂每天十一点开门。", "停车场在大楼后面。", "试用期为三个月。", "年会在十二月举行。"]
        let ranked = try rank("试用期有多长", documents, cosines: [0.9, 0.85, 0.7, 0.95])
        #expect(ranked.first?.id == 2)
    }

    @Test("a question in other words is left to the vectors")
    func paraphrase() throws {
        let documents = [
            "Staff have thirty days of leave.", "The report days are in spring.", "Pumps are painted green.",
        ]
        let ranked = try rank(
            "how many days of vacation", documents, cosines: [0.6, 0.1, 0.05],
            read: ["many", "day", "days", "vacation"])
        #expect(ranked.first?.id == 0)
    }

    @Test("a score means the same whatever else was asked or stored")
    func absolute() throws {
        let documents = ["The canteen opens at eleven.", "Cars are parked behind the building.", "Badges are blue."]
        // Nothing in common: far below any match.
        let unrelated = try rank("quantum chromodynamics lattice", documents, cosines: [0.1, 0.05, 0.08])
        #expect(unrelated.allSatisfy { $0.score < 0.1 })
        #expect(try rank("quantum chromodynamics lattice", documents).isEmpty)
        // All words there: near 1 by words, in collections of any size.
        for count in [0, 5, 200] {
            let more = documents + (0..<count).map { "Filler number \($0) says nothing here." }
            let best = try #require(try rank("canteen opens eleven", more).first)
            #expect(best.id == 0 && best.score > 0.9)
            let half = try #require(try rank("canteen unicorn", more).first)
            #expect((0.35...0.65).contains(half.score))
        }
        // By vectors alone it is the cosine.
        let near = try rank("", documents, cosines: [0.75, -0.5, 0.25], words: false)
        #expect(near.map(\.id) == [0, 2])
        #expect(zip(near.map(\.score), [0.75, 0.25]).allSatisfy { abs($0 - $1) < 1e-6 })
    }

    @Test("each candidate is scored by both measures, and ties go by words and then by age")
    func completeAndOrdered() throws {
        let documents = (0..<120).map { $0 == 119 ? "zebra crossing" : "word \($0 % 3)" }
        let cosines = (0..<120).map { Float(0.5) - Float($0) * 0.001 }
        let ranked = try rank("zebra", documents, cosines: cosines, read: ["zebra"])
        let zebra = try #require(ranked.first { $0.id == 119 })
        // Far beyond the nearest fifty, and its cosine still counts.
        let weight = RelevanceScore.greatestCosineWeight
        #expect(abs(zebra.score - (weight * Double(cosines[119]) + (1 - weight))) < 1e-5)
        #expect(ranked.first?.id == 119)
        let ties = try rank("word", ["word", "word", "word"], cosines: [0.5, 0.5, 0.5], read: ["word"])
        #expect(ties.map(\.id) == [0, 1, 2])
        let merged = SearchRanking.merge([ties, try rank("word", ["word"])])
        #expect(merged.map(\.id) == merged.map(\.id).sorted() && Set(merged.map(\.id)).count == merged.count)
    }

    @Test("a code that is nowhere leaves the score low, a plain unknown word does not silence the vectors")
    func absentTerms() throws {
        let documents = ["Report PPR-4001 says the pump leaks.", "Report PPR-4002 says the valve leaks."]
        let absent = try rank("PPR-9999", documents, cosines: [0.8, 0.7])
        #expect(absent.allSatisfy { $0.score < 0.4 })
        let spelled = try rank("earplugs near pumps", documents, cosines: [0.8, 0.7], read: ["near", "pump", "pumps"])
        #expect((spelled.first?.score ?? 0) > 0.6)
    }

    @Test("no score leaves 0...1")
    func bounds() {
        #expect(RelevanceScore.lexical(bm25: 0, mass: 0, k1: 1.2) == 0)
        #expect(RelevanceScore.lexical(bm25: 9, mass: 10, k1: 1.2) == 1)
        #expect(RelevanceScore.semantic(cosine: -1) == 0 && RelevanceScore.semantic(cosine: 1.0001) == 1)
        for decisiveness in [0, 0.5, 1.0] {
            #expect(RelevanceScore.hybrid(semantic: 1, lexical: 1, decisiveness: decisiveness) <= 1)
        }
    }
}
