/// Finds the sentences of the evidence that are nearest to a question, by their embeddings and by the score of their chunk:
/// the search knows which report is meant when an embedding cannot tell their numbers apart.
package enum KeySentences {
    /// Sentences given to the model.
    static let count = 2
    /// Most chunks that are cut into sentences, best first.
    static let maximumChunkCount = 3
    /// Most sentences compared with the question; bounds the cost of embedding them.
    static let maximumCandidateCount = 64
    /// Fewest words of a candidate: headings and list marks say nothing.
    static let minimumWordCount = 4

    /// What the score of a chunk counts at least, so that the order of its sentences is kept.
    private static let leastScore = 0.01

    /// One sentence of the evidence.
    struct Candidate: Equatable {
        /// Index into the evidence.
        let source: Int
        /// As it stands in the chunk.
        let text: String
    }

    /// Narrows `evidence` to the chunks that hold the sentences nearest to `question`; each carries its best sentence.
    ///
    /// - Parameters:
    ///   - evidence: best first.
    ///   - embed: unit vectors of texts, in order.
    /// - Returns: the chunks of the chosen sentences, nearest first; a chunk appears once for each chosen sentence. The
    ///   evidence itself when it has no sentence.
    package static func narrow(
        _ evidence: [Evidence], to question: String, embed: ([String]) async throws -> [[Float]]
    ) async throws -> [Evidence] {
        let candidates = candidates(evidence)
        guard !candidates.isEmpty else { return evidence }
        let vectors = try await embed([question] + candidates.map { collapsed($0.text) })
        guard vectors.count == candidates.count + 1 else { return evidence }
        let scores = zip(vectors.dropFirst(), candidates).map { vector, candidate in
            max(0, Double(dot(vector, vectors[0]))) * max(leastScore, evidence[candidate.source].score)
        }
        // Ties go to the better chunk and the earlier sentence.
        let order = candidates.indices.sorted { scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1 }
        return order.prefix(count).map { index in
            var chosen = evidence[candidates[index].source]
            chosen.keySentence = candidates[index].text
            return chosen
        }
    }

    static func candidates(_ evidence: [Evidence]) -> [Candidate] {
        var candidates: [Candidate] = []
        for (source, item) in evidence.enumerated().prefix(maximumChunkCount) {
            let scalars = Array(item.text.unicodeScalars)
            for range in Citations.sentences(scalars) {
                guard scalars[range.lowerBound] != "#",
                    Citations.words(scalars[range]).count >= minimumWordCount
                else { continue }
                var view = String.UnicodeScalarView()
                view.append(contentsOf: scalars[range])
                let candidate = Candidate(source: source, text: String(view))
                // Chunks overlap: the same sentence counts once.
                guard !candidates.contains(where: { $0.text == candidate.text }) else { continue }
                candidates.append(candidate)
                if candidates.count == maximumCandidateCount { return candidates }
            }
        }
        return candidates
    }

    /// Runs of white space as one space: a hard-wrapped sentence reads as one line.
    static func collapsed(_ text: String) -> String {
        text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }

    private static func dot(_ a: [Float], _ b: [Float]) -> Float {
        zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
    }
}
