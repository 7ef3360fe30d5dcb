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

    private let parameters: Parameters
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
        for term in WordTokenizer.terms(text) {
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
        search(terms: WordTokenizer.terms(query), limit: limit, where: isAllowed)
    }

    /// As `search(_:limit:where:)`, for terms made by `WordTokenizer`.
    package func search(terms: [String], limit: Int, where isAllowed: ((Int64) -> Bool)? = nil) -> [Hit] {
        guard limit > 0, !slots.isEmpty else { return [] }
        var queryTerms: [Int32: Double] = [:]
        for term in terms {
            if let number = termNumbers[term] { queryTerms[number, default: 0] += 1 }
        }
        let averageLength = max(Double(totalLength) / Double(slots.count), .leastNonzeroMagnitude)
        var scores = [Double](repeating: 0, count: documents.count)
        var touched: [Int32] = []
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
                if scores[slot] == 0 { touched.append(posting.slot) }
                scores[slot] += idf * tf / (tf + norm)
            }
        }
        var hits = touched.map { Hit(id: documents[Int($0)].id, score: scores[Int($0)]) }
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
