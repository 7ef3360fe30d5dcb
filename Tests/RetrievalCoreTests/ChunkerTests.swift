import RetrievalCore
import Testing

struct ChunkerTests {
    /// Counts like WordPiece does at its coarsest: words, and punctuation marks each by itself.
    private func count(_ text: String) -> Int {
        var count = 0
        var inWord = false
        for character in text {
            let isWord = character.isLetter || character.isNumber
            if !character.isWhitespace && (!isWord || !inWord) { count += 1 }
            inWord = isWord
        }
        return count
    }

    private func chunks(
        _ text: String, format: DocumentFormat = .plainText, max: Int = 32, overlap: Int = 8
    ) throws -> (ExtractedText, [Chunker.Chunk]) {
        let extracted = try TextExtractor.extract(Array(text.utf8), format: format)
        let chunker = try Chunker(parameters: .init(maxTokens: max, overlapTokens: overlap))
        return (extracted, try chunker.chunks(of: extracted, tokenCount: count))
    }

    /// What must hold for every text.
    private func check(_ extracted: ExtractedText, _ chunks: [Chunker.Chunk], max: Int) {
        var covered = 0
        var previous: Range<Int>?
        for chunk in chunks {
            #expect(chunk.text.utf8.elementsEqual(extracted.utf8[chunk.range]))
            #expect(chunk.tokenCount <= max)
            #expect(chunk.tokenCount == count(chunk.text))
            if let previous {
                #expect(chunk.range.lowerBound > previous.lowerBound && chunk.range.upperBound > previous.upperBound)
            }
            // Nothing but white space may lie between two chunks.
            if chunk.range.lowerBound > covered {
                #expect(extracted.utf8[covered..<chunk.range.lowerBound].allSatisfy(UTF8Scanner.isSpace))
            }
            covered = chunk.range.upperBound
            previous = chunk.range
        }
        #expect(extracted.utf8[covered...].allSatisfy(UTF8Scanner.isSpace))
    }

    @Test("a short text is one chunk without its surrounding white space")
    func short() throws {
        let (extracted, chunks) = try chunks("\n  Hello, world. \n")
        #expect(chunks.map(\.text) == ["Hello, world."])
        #expect(chunks[0].range == 3..<16)
        check(extracted, chunks, max: 32)
    }

    @Test("paragraph ends are preferred to sentence ends, and those to word ends")
    func boundaries() throws {
        let sentence = "one two three four five six seven eight. "
        let paragraphs = String(repeating: sentence, count: 2) + "\n\n" + String(repeating: sentence, count: 3)
        let (extracted, byParagraph) = try chunks(paragraphs, max: 32, overlap: 0)
        check(extracted, byParagraph, max: 32)
        #expect(byParagraph[0].text.hasSuffix("eight."))
        #expect(byParagraph[1].range.lowerBound == extracted.text(in: 0..<extracted.utf8.count).utf8.count / 5 * 2 + 2)
        let (_, bySentence) = try chunks(String(repeating: sentence, count: 9), max: 32, overlap: 0)
        #expect(bySentence.allSatisfy { $0.text.hasSuffix("eight.") })
        let (_, byWord) = try chunks(String(repeating: "word ", count: 100), max: 32, overlap: 0)
        #expect(byWord.map(\.tokenCount) == [32, 32, 32, 4])
    }

    @Test("chunks overlap by at most the overlap, from a sentence start where there is one")
    func overlap() throws {
        let words = (0..<200).map { "w\($0)" }.joined(separator: " ")
        let (_, byWord) = try chunks(words, max: 32, overlap: 8)
        for (before, after) in zip(byWord, byWord.dropFirst()) {
            let shared = before.range.upperBound - after.range.lowerBound
            #expect(shared > 0)
            let overlapText = String(decoding: Array(before.text.utf8).suffix(shared), as: UTF8.self)
            #expect(count(overlapText) == 8)
        }
        let sentences = (0..<60).map { "Sentence number \($0) here." }.joined(separator: " ")
        let (extracted, bySentence) = try chunks(sentences, max: 32, overlap: 8)
        check(extracted, bySentence, max: 32)
        #expect(bySentence.allSatisfy { $0.text.hasPrefix("Sentence") })
    }

    @Test("a chunk knows the headings above it, and a section starts a chunk of its own")
    func headings() throws {
        let body = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma. "
        let text =
            "# Handbook\n\n## Leave\n\(body)\n### Sick leave\n\(body)\(body)\n## Travel\n\(body)\n# Annex\n\(body)"
        let (extracted, chunks) = try chunks(text, format: .markdown, max: 40, overlap: 10)
        check(extracted, chunks, max: 40)
        let paths = chunks.map { $0.headings.joined(separator: "/") }
        #expect(paths.contains("Handbook/Leave/Sick leave"))
        #expect(paths.contains("Handbook/Travel"))
        #expect(paths.last == "Annex")
        #expect(chunks.filter { $0.text.hasPrefix("## Travel") }.count == 1)
    }

    @Test("a megabyte without a single space is cut between characters")
    func singleLine() throws {
        for unit in ["a", "é", "漢", "👩🏽‍🚀", "!", "漢字。"] {
            let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count)
            let (extracted, chunks) = try chunks(text, max: 64, overlap: 16)
            check(extracted, chunks, max: 64)
            #expect(chunks.count > 1)
        }
    }

    @Test("more chunks than allowed is an invalid file")
    func tooMany() throws {
        let extracted = try TextExtractor.extract(
            Array(String(repeating: "word ", count: 1000).utf8), format: .plainText)
        let error = #expect(throws: RetrievalError.self) {
            try Chunker(parameters: .init(maxTokens: 16, overlapTokens: 0))
                .chunks(of: extracted, maxChunks: 10, tokenCount: count)
        }
        #expect(error?.code == .invalidFile)
    }

    @Test("parameters out of range are refused", arguments: [(15, 0), (4097, 0), (100, 51), (100, -1)])
    func parameters(max: Int, overlap: Int) {
        #expect(throws: RetrievalError.self) {
            try Chunker(parameters: .init(maxTokens: max, overlapTokens: overlap))
        }
    }

    @Test("the rules hold for random texts and parameters")
    func random() throws {
        let pieces = [
            "word", "Zürich", "漢字", "。", "end.", " ", " ", " ", "\n", "\n\n", "- item", "# Head\n", "x1,y2", "👍🏽",
            "(quoted.)", String(repeating: "q", count: 90), "!!!!!!!!!!", "\t",
        ]
        var generator = SeededGenerator(seed: 99)
        for _ in 0..<300 {
            var text = "start "
            for _ in 0..<Int.random(in: 0..<400, using: &generator) {
                text += pieces.randomElement(using: &generator) ?? ""
                if Bool.random(using: &generator) { text += " " }
            }
            let max = Int.random(in: 16...80, using: &generator)
            let overlap = Int.random(in: 0...(max / 2), using: &generator)
            let (extracted, chunks) = try chunks(text, format: .markdown, max: max, overlap: overlap)
            check(extracted, chunks, max: max)
        }
    }

    @Test("every chunk names the document's title and its section, once")
    func titles() throws {
        let filler = String(repeating: "words of a section go on and on. ", count: 20)
        let page = "<head><title>Manual</title></head><h1>Manual</h1>\(filler)<h2>Doors</h2>\(filler)"
        let (_, chunks) = try chunks(page, format: .html)
        #expect(chunks.allSatisfy { $0.headings == ["Manual"] || $0.headings == ["Manual", "Doors"] })
        #expect(chunks.last?.headings == ["Manual", "Doors"])
        let (_, bare) = try self.chunks("<head><title>Manual</title></head><p>text", format: .html)
        #expect(bare.map(\.headings) == [["Manual"]])
    }
}
