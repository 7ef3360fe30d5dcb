/// Links what an answer says to the evidence it was given. Deterministic: the model is not asked, because small models
/// cite at random.
///
/// Each sentence of the answer is compared with each chunk by the longest run of words they share, then by how many of
/// its content words the chunk holds. The best chunk above a threshold is cited, with the chunk's own sentence, word for
/// word, as the quote.
package enum Citations {
    /// Shortest run of shared words that proves a source by itself.
    static let minimumRun = 4
    /// Share of a sentence's content words that proves a source without a run.
    static let minimumOverlap = 0.6
    /// Fewest content words that may be judged by overlap.
    static let minimumContentWords = 3
    /// Longest quote, in Unicode scalars.
    static let maximumQuoteLength = 320
    /// Most sentences of an answer that are looked at.
    static let maximumSentenceCount = 64

    /// The annotations of `answer`, in its order; never empty when there is evidence: an answer that matches nothing
    /// cites the best source for an empty span at its end.
    package static func annotations(answer: String, evidence: [Evidence]) -> [Annotation] {
        // The first of those with the greatest score: evidence may be ordered by its sentences.
        guard let greatest = evidence.map(\.score).max(), let top = evidence.first(where: { $0.score >= greatest })
        else {
            return []
        }
        let scalars = Array(answer.unicodeScalars)
        let sources = evidence.map { Source($0) }
        var annotations: [Annotation] = []
        for sentence in sentences(scalars).prefix(maximumSentenceCount) {
            guard let (source, match) = bestSource(for: sentence, in: scalars, sources) else { continue }
            let quote = source.quote(around: match)
            if let last = annotations.last, last.fileID == source.evidence.fileID, last.quote == quote {
                annotations[annotations.count - 1].endIndex = sentence.upperBound
            } else {
                annotations.append(annotation(source.evidence, quote: quote, span: sentence))
            }
        }
        guard annotations.isEmpty else { return annotations }
        let quote = top.keySentence ?? Source(top).quote(around: 0..<0)
        return [annotation(top, quote: quote, span: scalars.count..<scalars.count)]
    }

    private static func annotation(_ evidence: Evidence, quote: String, span: Range<Int>) -> Annotation {
        Annotation(
            fileID: evidence.fileID, filename: evidence.filename, quote: quote, startIndex: span.lowerBound,
            endIndex: span.upperBound, chunkStartByte: evidence.startByte, chunkEndByte: evidence.endByte,
            chunkSHA256: evidence.sha256, vectorStoreID: evidence.vectorStoreID, score: evidence.score)
    }

    /// The source that backs a sentence, and its words that do.
    private static func bestSource(
        for sentence: Range<Int>, in scalars: [Unicode.Scalar], _ sources: [Source]
    ) -> (Source, Range<Int>)? {
        let words = Self.words(scalars[sentence])
        guard !words.isEmpty else { return nil }
        let content = Set(words.map(\.text).filter { !isFunctionWord($0) })
        var best: (source: Source, match: Range<Int>, strength: Double)?
        for source in sources {
            let run = longestRun(words.map(\.text), source.words.map(\.text))
            let shared = content.count { source.vocabulary.contains($0) }
            let overlap = content.isEmpty ? 0 : Double(shared) / Double(content.count)
            let runHasContent = source.words[run].contains { !isFunctionWord($0.text) }
            let isRunProof = run.count >= min(minimumRun, words.count) && run.count >= 2 && runHasContent
            let isOverlapProof = content.count >= minimumContentWords && overlap >= minimumOverlap
            guard isRunProof || isOverlapProof else { continue }
            let strength = overlap + Double(run.count) / Double(words.count)
            // Sources come best first, so that the earlier one wins a tie.
            guard strength > (best?.strength ?? 0) else { continue }
            let match = isRunProof ? run : source.densestWindow(content)
            best = (source, match, strength)
        }
        return best.map { ($0.source, $0.match) }
    }

    // MARK: Words

    /// A normalised word and where it stands, in scalars.
    struct Word: Equatable {
        var text: String
        var range: Range<Int>
    }

    /// Runs of letters and digits, in lower case.
    static func words(_ scalars: ArraySlice<Unicode.Scalar>) -> [Word] {
        var words: [Word] = []
        var index = scalars.startIndex
        while index < scalars.endIndex {
            guard isWordScalar(scalars[index]) else {
                index += 1
                continue
            }
            let start = index
            while index < scalars.endIndex, isWordScalar(scalars[index]) { index += 1 }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: scalars[start..<index])
            words.append(Word(text: String(text).lowercased(), range: start..<index))
        }
        return words
    }

    private static func isWordScalar(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isAlphabetic || scalar.properties.numericType != nil
    }

    private static func isFunctionWord(_ word: String) -> Bool { functionWords.contains(word) }

    private static let functionWords: Set<String> = [
        "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does", "for", "from", "had",
        "has",
        "have", "how", "i", "if", "in", "is", "it", "its", "may", "must", "no", "not", "of", "on", "or", "our",
        "should",
        "so", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "those", "to", "was",
        "we", "were", "what", "when", "where", "which", "who", "will", "with", "would", "you", "your",
    ]

    /// The longest run of words of `b` that also stands in `a`; the first of several, as a range of `b`.
    static func longestRun(_ a: [String], _ b: [String]) -> Range<Int> {
        var best = 0..<0
        var previous = [Int](repeating: 0, count: b.count + 1)
        var current = previous
        for word in a {
            for index in b.indices {
                current[index + 1] = b[index] == word ? previous[index] + 1 : 0
                if current[index + 1] > best.count {
                    best = (index + 1 - current[index + 1])..<(index + 1)
                }
            }
            swap(&previous, &current)
        }
        return best
    }

    // MARK: Sentences

    /// The sentences of a text, as ranges of scalars without surrounding space.
    static func sentences(_ scalars: [Unicode.Scalar]) -> [Range<Int>] {
        var sentences: [Range<Int>] = []
        var start = 0
        func close(at end: Int) {
            var range = start..<end
            while let first = range.first, scalars[first].properties.isWhitespace { range = range.dropFirst() }
            while let last = range.last, scalars[last].properties.isWhitespace { range = range.dropLast() }
            if !range.isEmpty { sentences.append(range) }
            start = end
        }
        for index in scalars.indices {
            let next = index + 1 < scalars.count ? scalars[index + 1] : " "
            switch scalars[index] {
            // "3.5" and "e.g.x" go on; a stop before a space ends.
            case ".", "!", "?": if next.properties.isWhitespace { close(at: index + 1) }
            case "。", "！", "？": close(at: index + 1)
            case "\n": if endsLine(scalars, at: index, start: start) { close(at: index + 1) }
            default: break
            }
        }
        close(at: scalars.count)
        return sentences
    }

    /// Whether a line break ends a sentence: after a heading, before an empty line, a heading or a list item. Any other
    /// is a hard wrap.
    private static func endsLine(_ scalars: [Unicode.Scalar], at index: Int, start: Int) -> Bool {
        if scalars[start..<index].first(where: { !$0.properties.isWhitespace }) == "#" { return true }
        let line = scalars[(index + 1)...].prefix { $0 != "\n" }.drop { $0.properties.isWhitespace }
        guard let first = line.first else { return true }
        if "#-*>|•".unicodeScalars.contains(first) { return true }
        let afterNumber = line.drop { $0.properties.numericType != nil }
        return afterNumber.startIndex > line.startIndex && (afterNumber.first == "." || afterNumber.first == ")")
    }

    // MARK: Sources

    /// A chunk prepared for comparison.
    private struct Source {
        let evidence: Evidence
        let scalars: [Unicode.Scalar]
        let words: [Word]
        let vocabulary: Set<String>

        init(_ evidence: Evidence) {
            self.evidence = evidence
            scalars = Array(evidence.text.unicodeScalars)
            words = Citations.words(scalars[...])
            vocabulary = Set(words.map(\.text))
        }

        /// The sentence, whole, that holds the most words of `content`: as a range of words.
        func densestWindow(_ content: Set<String>) -> Range<Int> {
            var best = 0..<0
            var bestCount = 0
            for sentence in Citations.sentences(scalars) {
                let inside = words.indices.filter { sentence.contains(words[$0].range.lowerBound) }
                let count = Set(inside.map { words[$0].text }).intersection(content).count
                if count > bestCount, let first = inside.first, let last = inside.last {
                    bestCount = count
                    best = first..<(last + 1)
                }
            }
            return best
        }

        /// The sentences of the chunk that hold these words, verbatim, cut at a word when too long.
        func quote(around match: Range<Int>) -> String {
            let sentences = Citations.sentences(scalars)
            let matched: Range<Int>
            if match.isEmpty {
                matched = sentences.first ?? 0..<0
            } else {
                matched = words[match.lowerBound].range.lowerBound..<words[match.upperBound - 1].range.upperBound
            }
            let touching = sentences.filter { $0.overlaps(matched) }
            let lower = touching.first?.lowerBound ?? matched.lowerBound
            let upper = touching.last?.upperBound ?? matched.upperBound
            if upper - lower <= Citations.maximumQuoteLength { return text(lower..<upper) }
            // Too long: start at the match itself and end with a whole word.
            let start = matched.lowerBound - lower < Citations.maximumQuoteLength / 2 ? lower : matched.lowerBound
            let limit = min(start + Citations.maximumQuoteLength, upper)
            let end = words.last { $0.range.lowerBound >= start && $0.range.upperBound <= limit }?.range.upperBound
            return text(start..<(end ?? limit))
        }

        private func text(_ range: Range<Int>) -> String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars[range])
            return String(view)
        }
    }
}
