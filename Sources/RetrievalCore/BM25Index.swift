import Foundation

/// An inverted index in memory, ranked by BM25.
///
/// score(d, q) = Σ over the query's terms t of idf(t) · tf / (tf + k1 · (1 − b + b · |d| / avgdl)), with Lucene's
/// idf(t) = ln(1 + (N − n + ½) / (n + ½)): Robertson & Zaragoza, "The Probabilistic Relevance Framework" (2009), in the
/// form of Lucene 8 and of bm25s' `lucene` method. A term that stands twice in the query counts twice.
///
/// A value: after adding and removing, scores are those of an index made afresh of what remains, up to rounding.
/// Not thread-safe by itself.
package struct BM25Index: Sendable {
    /// The two constants of the formula.
    package struct Parameters: Sendable, Equatable {
        /// Saturation of the term frequency, >= 0.
        package var k1: Double
        /// Strength of length normalisation, 0...1.
        package var b: Double

        package init(k1: Double = 1.2, b: Double = 0.75) {
            self.k1 = k1
            self.b = b
        }
    }

    /// A document and its score; greater is closer.
    package struct Hit: Sendable, Equatable {
        package var id: Int64
        package var score: Double

        package init(id: Int64, score: Double) {
            self.id = id
            self.score = score
        }
    }

    private struct Posting {
        var slot: Int32
        var termFrequency: Int32
    }

    private struct Document {
        var id: Int64
        /// Terms in the document, with repetitions.
        var length: Int32
        /// Its distinct terms: what removal has to give back.
        var terms: [Int32]
        var isAlive: Bool
    }

    package let parameters: Parameters
    private var termNumbers: [String: Int32] = [:]
    /// Postings by term number, in order of slot; those of removed documents stay until the next compaction.
    private var postings: [[Posting]] = []
    /// Living documents by term number.
    private var documentFrequencies: [Int32] = []
    private var documents: [Document] = []
    private var slots: [Int64: Int32] = [:]
    private var totalLength = 0

    package init(parameters: Parameters = Parameters()) {
        self.parameters = parameters
    }

    /// Documents in the index.
    package var count: Int { slots.count }

    /// Adds a document; one with the same id is replaced.
    package mutating func add(id: Int64, text: String) {
        remove(id: id)
        let slot = Int32(documents.count)
        var frequencies: [Int32: Int32] = [:]
        var length: Int32 = 0
        for term in WordTokenizer.indexTerms(text) {
            frequencies[number(of: term), default: 0] += 1
            length += 1
        }
        for (term, frequency) in frequencies {
            postings[Int(term)].append(Posting(slot: slot, termFrequency: frequency))
            documentFrequencies[Int(term)] += 1
        }
        documents.append(Document(id: id, length: length, terms: Array(frequencies.keys), isAlive: true))
        slots[id] = slot
        totalLength += Int(length)
    }

    /// Removes a document; false when it is not in the index.
    @discardableResult
    package mutating func remove(id: Int64) -> Bool {
        guard let slot = slots.removeValue(forKey: id) else { return false }
        let index = Int(slot)
        for term in documents[index].terms { documentFrequencies[Int(term)] -= 1 }
        totalLength -= Int(documents[index].length)
        documents[index].isAlive = false
        documents[index].terms = []
        // Compacting when most slots are dead keeps removal cheap and memory within twice what the living need.
        if documents.count > 64 && slots.count * 2 < documents.count { compact() }
        return true
    }

    /// The best `limit` documents with a score above zero, greatest first; equal scores by ascending id.
    package func search(_ query: String, limit: Int, where isAllowed: ((Int64) -> Bool)? = nil) -> [Hit] {
        search(terms: WordTokenizer.questionTerms(query), limit: limit, where: isAllowed)
    }

    /// As `search(_:limit:where:)`, for terms made by `WordTokenizer`.
    package func search(terms: [String], limit: Int, where isAllowed: ((Int64) -> Bool)? = nil) -> [Hit] {
        guard limit > 0, !slots.isEmpty else { return [] }
        return best(scores(terms), limit: limit, where: isAllowed)
    }

    /// What the index says about a question, with what is needed to compare it with other questions.
    package struct Answer: Sendable {
        /// The best documents, as of `search`.
        package var hits: [Hit] = []
        /// Scores of the documents that were asked for besides; those without a term of the question are missing.
        package var scores: [Int64: Double] = [:]
        /// What the question's terms weigh together: Σ idf, an unseen term like one that is seen once. No score reaches it.
        package var mass = 0.0
        /// 0...1: the weight of the heaviest term that an embedding says nothing about, over that of a term seen once.
        package var decisiveness = 0.0
    }

    /// Answers a question.
    ///
    /// - Parameters:
    ///   - limit: Most hits.
    ///   - others: Documents whose scores are wanted as well.
    ///   - isRead: Whether the encoder has a word as a token of its own; see `SearchTerm.isOpaque`.
    package func answer(
        _ question: [SearchTerm], limit: Int, others: [Int64] = [], isRead: (String) -> Bool = { _ in true }
    ) -> Answer {
        var answer = Answer()
        guard !slots.isEmpty else { return answer }
        let heaviest = Self.idf(documents: Double(slots.count), frequency: 1)
        for term in question {
            let frequency = termNumbers[term.text].map { documentFrequencies[Int($0)] } ?? 0
            let idf = Self.idf(documents: Double(slots.count), frequency: Double(max(1, frequency)))
            answer.mass += idf
            if idf / heaviest > answer.decisiveness,
                term.isOpaque(isPresent: frequency > 0, isRead: isRead(term.surface))
            {
                answer.decisiveness = idf / heaviest
            }
        }
        let scores = scores(question.map(\.text))
        answer.hits = best(scores, limit: limit, where: nil)
        for id in others {
            if let slot = slots[id], scores.bySlot[Int(slot)] > 0 { answer.scores[id] = scores.bySlot[Int(slot)] }
        }
        return answer
    }

    /// Scores of all documents.
    private struct Scores {
        var bySlot: [Double]
        /// Slots with a score above zero.
        var touched: [Int32] = []
    }

    private func scores(_ terms: [String]) -> Scores {
        var queryTerms: [Int32: Double] = [:]
        for term in terms {
            if let number = termNumbers[term] { queryTerms[number, default: 0] += 1 }
        }
        let averageLength = max(Double(totalLength) / Double(slots.count), .leastNonzeroMagnitude)
        var scores = Scores(bySlot: [Double](repeating: 0, count: documents.count))
        // In a fixed order, because floating-point sums depend on it.
        for (term, weight) in queryTerms.sorted(by: { $0.key < $1.key }) {
            let frequency = Double(documentFrequencies[Int(term)])
            guard frequency > 0 else { continue }
            let idf = Self.idf(documents: Double(slots.count), frequency: frequency) * weight
            for posting in postings[Int(term)] where documents[Int(posting.slot)].isAlive {
                let slot = Int(posting.slot)
                let tf = Double(posting.termFrequency)
                let length = Double(documents[slot].length) / averageLength
                let norm = parameters.k1 * (1 - parameters.b + parameters.b * length)
                if scores.bySlot[slot] == 0 { scores.touched.append(posting.slot) }
                scores.bySlot[slot] += idf * tf / (tf + norm)
            }
        }
        return scores
    }

    private func best(_ scores: Scores, limit: Int, where isAllowed: ((Int64) -> Bool)?) -> [Hit] {
        var hits = scores.touched.map { Hit(id: documents[Int($0)].id, score: scores.bySlot[Int($0)]) }
        if let isAllowed { hits.removeAll { !isAllowed($0.id) } }
        hits.sort { $0.score != $1.score ? $0.score > $1.score : $0.id < $1.id }
        return Array(hits.prefix(limit))
    }

    /// Lucene's inverse document frequency; always above zero.
    package static func idf(documents: Double, frequency: Double) -> Double {
        let ratio = (documents - frequency + 0.5) / (frequency + 0.5)
        return log1p(ratio)
    }

    private mutating func number(of term: String) -> Int32 {
        if let known = termNumbers[term] { return known }
        let number = Int32(postings.count)
        termNumbers[term] = number
        postings.append([])
        documentFrequencies.append(0)
        return number
    }

    /// Rewrites slots and term numbers without the dead ones.
    private mutating func compact() {
        var newSlots = [Int32](repeating: -1, count: documents.count)
        var living: [Document] = []
        for (slot, document) in documents.enumerated() where document.isAlive {
            newSlots[slot] = Int32(living.count)
            slots[document.id] = Int32(living.count)
            living.append(document)
        }
        var newTerms = [Int32](repeating: -1, count: postings.count)
        var keptPostings: [[Posting]] = []
        var keptFrequencies: [Int32] = []
        for term in postings.indices where documentFrequencies[term] > 0 {
            newTerms[term] = Int32(keptPostings.count)
            keptPostings.append(
                postings[term].compactMap { posting in
                    let slot = newSlots[Int(posting.slot)]
                    return slot < 0 ? nil : Posting(slot: slot, termFrequency: posting.termFrequency)
                })
            keptFrequencies.append(documentFrequencies[term])
        }
        for index in living.indices { living[index].terms = living[index].terms.map { newTerms[Int($0)] } }
        termNumbers = termNumbers.compactMapValues { newTerms[Int($0)] < 0 ? nil : newTerms[Int($0)] }
        (documents, postings, documentFrequencies) = (living, keptPostings, keptFrequencies)
    }
}
