import RetrievalCore
import Testing

struct WordFoldingTests {
    @Test(
        "what is written in two ways is found by either",
        arguments: [
            ("Ｒｏｏｍ　４２０１", "room 4201"), ("ﾊﾟｽﾜｰﾄﾞ", "パスワード"), ("Oﬃce", "OFFICE"), ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"), ("Ünal Çelik", "unal celik"), ("İstanbul", "istanbul"), ("ISPARTA", "ısparta"),
            ("e\u{301}te\u{301}", "été"), ("Łódź", "lodz"), ("Søren Ærø", "soren aero"), ("ὈΔΥΣΣΕΎΣ", "οδυσσευς"),
            ("Ещё", "еще"), ("m²", "m2"), ("№", "no"), ("٤٢", "42"), ("४२", "42"), ("車牌登記", "车牌登记"),
            ("O’Brien", "O'Brien"), ("PPR‑9087", "PPR-9087"), ("ŒUVRE", "oeuvre"), ("Ⅳ", "iv"), ("ſo", "so"),
        ])
    func folded(written: String, asked: String) {
        #expect(WordTokenizer.indexTerms(written) == WordTokenizer.indexTerms(asked))
        var index = BM25Index()
        index.add(id: 1, text: "before \(written) behind")
        index.add(id: 2, text: "another one")
        #expect(index.search(asked, limit: 2).map(\.id) == [1])
    }

    @Test("marks that carry the word stay, and different letters stay different")
    func keeps() {
        for (a, b) in [("が", "か"), ("パ", "ハ"), ("मोर", "मर"), ("мой", "мои"), ("한", "하"), ("ב", "כ")] {
            #expect(WordTokenizer.indexTerms(a) != WordTokenizer.indexTerms(b))
        }
    }

    @Test(
        "a code is a term besides its parts, however its parts are joined",
        arguments: [
            ("PPR-9087", ["ppr", "9087", "=ppr9087"]), ("ppr9087", ["ppr9087", "ppr", "9087", "=ppr9087"]),
            ("see PPR-9087.", ["see", "ppr", "9087", "=ppr9087"]), ("PPR 9087", ["ppr", "9087"]),
            ("10.20.30.42", ["10", "20", "30", "42", "=10203042"]), ("v2.3.1", ["v2", "v", "2", "3", "1", "=v231"]),
            ("well-known", ["well", "known"]), ("C++ and C#", ["c", "c++", "and", "c", "c#"]), ("a+b", ["a", "b"]),
            ("4 -- 5", ["4", "5"]), ("4--5", ["4", "5"]), ("출장비", ["출", "장", "비"]), ("ไทย", ["ไท", "ทย"]),
            ("ก", ["ก"]), ("第3章", ["第", "3", "章"]),
        ] as [(String, [String])])
    func codes(text: String, expected: [String]) {
        #expect(WordTokenizer.indexTerms(text) == expected)
    }

    @Test("a question asks for a code as a whole where it is one word, and finds it in parts otherwise")
    func codeQuestions() {
        func terms(_ text: String) -> [String] { WordTokenizer.searchTerms(text).map(\.text) }
        #expect(terms("is PPR9087 open") == ["=ppr9087", "open"])
        #expect(terms("PPR-9087") == ["ppr", "9087", "=ppr9087"])
        #expect(terms("v2.3") == ["v2", "3", "=v23"])
        var index = BM25Index()
        for (id, text) in ["marker1x2 word7", "marker1x3 word7", "PPR-9087", "PPR9088 v2.3.1", "v2.3.2"].enumerated() {
            index.add(id: Int64(id), text: text)
        }
        #expect(index.search("marker1x3", limit: 9).map(\.id) == [1])
        for (question, ids) in [
            ("ppr9087", [2]), ("9088", [3]), ("PPR-9088", [3, 2]), ("2.3.1", [3]),
            ("word7", [0, 1]),
        ] as [(String, [Int64])] {
            #expect(index.search(question, limit: ids.count).map(\.id) == ids)
        }
    }

    @Test("terms are bounded and the time is linear, whatever the text")
    func hostile() {
        for text in [
            String(repeating: "a1", count: 50_000), String(repeating: "a-", count: 50_000),
            String(repeating: "1.", count: 50_000), String(repeating: "+#", count: 50_000),
            String(repeating: "\u{FDFA}", count: 5_000), String(repeating: "'", count: 50_000),
            "a" + String(repeating: "\u{301}", count: 3_000), String(repeating: "ไ", count: 50_000),
        ] {
            #expect(WordTokenizer.indexTerms(text).allSatisfy { $0.utf8.count <= 70 })
        }
    }
}
