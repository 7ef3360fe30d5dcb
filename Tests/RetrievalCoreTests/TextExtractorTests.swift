import RetrievalCore
import Testing

struct TextExtractorTests {
    private func extract(_ text: String, _ format: DocumentFormat) throws -> ExtractedText {
        try TextExtractor.extract(Array(text.utf8), format: format)
    }

    private func string(_ extracted: ExtractedText) -> String { String(decoding: extracted.utf8, as: UTF8.self) }

    @Test("plain text loses its byte-order mark and its carriage returns, nothing else")
    func plainText() throws {
        let extracted = try extract("\u{FEFF}one\r\ntwo\rthree\n", .plainText)
        #expect(string(extracted) == "one\ntwo\nthree\n")
        #expect(extracted.headings.isEmpty)
    }

    @Test(
        "invalid UTF-8 is an invalid file, named by its offset",
        arguments: [
            ([0x61, 0x62, 0xFF], 2), ([0x61, 0xC3], 1), ([0xC0, 0x80], 0), ([0xED, 0xA0, 0x80], 0),
            ([0x61, 0xF4, 0x90, 0x80, 0x80], 1), ([0xE2, 0x82], 0), ([0xE2, 0x82, 0x61], 0),
            ([0xF0, 0x80, 0x80, 0x80], 0),
        ] as [([UInt8], Int)])
    func invalidUTF8(bytes: [UInt8], offset: Int) {
        #expect(UTF8Scanner.firstInvalidOffset(in: bytes) == offset)
        let error = #expect(throws: RetrievalError.self) {
            try TextExtractor.extract(bytes, filename: "a.txt", contentType: "text/plain")
        }
        #expect(error?.code == .invalidFile)
        #expect(error?.message.contains("offset \(offset)") == true)
    }

    @Test("every Unicode scalar is valid UTF-8")
    func validUTF8() {
        var text = ""
        for value in stride(from: UInt32(1), to: 0x110000, by: 97) {
            if let scalar = Unicode.Scalar(value) { text.unicodeScalars.append(scalar) }
        }
        #expect(UTF8Scanner.firstInvalidOffset(in: Array(text.utf8)) == nil)
    }

    @Test(
        "binary content is an unsupported file",
        arguments: [
            Array("%PDF-1.7 ...".utf8), [0x50, 0x4B, 0x03, 0x04, 1, 2], Array("text with \0 inside".utf8),
            [0x89, 0x50, 0x4E, 0x47, 0x0D], [UInt8](repeating: 1, count: 100),
        ] as [[UInt8]])
    func binary(bytes: [UInt8]) {
        let error = #expect(throws: RetrievalError.self) {
            try TextExtractor.extract(bytes, filename: "report.txt", contentType: "text/plain")
        }
        #expect(error?.code == .unsupportedFile)
    }

    @Test("a file without text is an invalid file", arguments: ["", " \n\t ", "<html><script>x()</script></html>"])
    func empty(text: String) {
        let error = #expect(throws: RetrievalError.self) {
            try TextExtractor.extract(Array(text.utf8), filename: "a.html", contentType: "text/html")
        }
        #expect(error?.code == .invalidFile)
    }

    @Test(
        "the format comes from the content type, the name and the first bytes, in this order",
        arguments: [
            ("a.txt", "text/html; charset=utf-8", "x", DocumentFormat.html), ("a.md", "", "x", .markdown),
            ("a.HTML", "application/octet-stream", "x", .html), ("a", "", "\n <!DOCTYPE HTML><p>x", .html),
            ("a.txt", "", "<html>", .plainText), ("a", "text/markdown", "<html>", .markdown),
            ("a", "", "x", .plainText),
        ])
    func detection(filename: String, contentType: String, text: String, expected: DocumentFormat) throws {
        let found = try DocumentFormat.detect(filename: filename, contentType: contentType, bytes: Array(text.utf8))
        #expect(found == expected)
    }

    @Test("Markdown headings are tracked, and those in fenced code are not headings")
    func markdownHeadings() throws {
        let text = """
            # Handbook #

            Setext title
            ============
            text
            ```sh
            # not a heading
            ```
            ## Leave
            para
            Sub
            ---
               ### Sick ###
                # indented code
            #nospace
            ####### seven
            """
        let extracted = try extract(text, .markdown)
        #expect(string(extracted) == text)
        #expect(extracted.headings.map(\.title) == ["Handbook", "Setext title", "Leave", "Sub", "Sick"])
        #expect(extracted.headings.map(\.level) == [1, 1, 2, 2, 3])
        for heading in extracted.headings {
            let line = extracted.text(in: heading.start..<extracted.utf8.count).prefix { $0 != "\n" }
            #expect(line.contains(heading.title))
        }
    }

    @Test("HTML gives the visible text, with paragraphs, headings and decoded references")
    func html() throws {
        let page = """
            <!DOCTYPE html><html><head><title>T</title><style>p{}</style><script>if (a < b) "</p>"</script></head>
            <body><h1>Leave &amp; rest</h1><p>Five&nbsp;days   <b>per</b>
            year.</p><!-- hidden <p> --><ul><li>one<li>two</ul>
            <script>var x = "<p>no</p>";</script>
            <h2>Caf&eacute; &#8364;&#x20AC; &copy &unknown; a < b &lt;i&gt;</h2>
            <pre>  keep
              this</pre><table><tr><td>1</td><td>2</td></tr></table>
            <p title="a > b" data-x='<p>'>quoted</p></body></html>
            """
        let extracted = try extract(page, .html)
        #expect(
            string(extracted) == """
                Leave & rest

                Five days per year.

                one
                two

                Café €€ © &unknown; a < b <i>

                keep
                  this

                1\t2

                quoted
                """)
        #expect(extracted.title == "T")
        #expect(extracted.headings.map(\.title) == ["Leave & rest", "Café €€ © &unknown; a < b <i>"])
        for heading in extracted.headings {
            let end = heading.start + heading.title.utf8.count
            #expect(extracted.text(in: heading.start..<end) == heading.title)
        }
    }

    @Test(
        "a page's title is read without being part of its text",
        arguments: [
            ("<html><head><title>Travel &amp;\n rules</title></head><body><p>a</p>", "Travel & rules"),
            ("<title>Bare</title><p>a</p>", "Bare"), ("<HEAD><TITLE>Upper</TITLE></HEAD>a", "Upper"),
            ("<head><title>One</title><title>Two</title></head>a", "One"), ("<head><title></title></head>a", nil),
            ("<body>a<svg><title>drawing</title></svg>", nil), ("a<title>late</title>", nil),
            ("<head><title>\(String(repeating: "x", count: 600))</title></head>a", nil),
            ("<head><title/><title>T</title></head>a", "T"),
        ] as [(String, String?)])
    func pageTitle(page: String, title: String?) throws {
        let extracted = try extract(page, .html)
        #expect(string(extracted) == "a")
        #expect(extracted.title == title)
        #expect(extracted.headings.isEmpty)
    }

    @Test("a page of nothing but a title is found by it")
    func onlyTitle() throws {
        #expect(string(try extract("<html><head><title>Lift plan</title></head><body></body>", .html)) == "Lift plan")
    }

    @Test("the title of a YAML block governs a Markdown text, and the block is no heading")
    func frontMatter() throws {
        let text = "---\ntitle: \"Lift plan\"\ndate: 2024\n---\n# Doors\ntext\n"
        let extracted = try extract(text, .markdown)
        #expect(extracted.title == "Lift plan")
        #expect(extracted.headings.map(\.title) == ["Doors"])
        #expect(string(extracted) == text)
        #expect(try extract("---\nnot closed\n", .markdown).headings.isEmpty)
        #expect(try extract("text\n---\nmore", .markdown).headings.map(\.title) == ["text"])
    }

    @Test(
        "broken HTML gives the text that a browser would show",
        arguments: [
            ("<p>text<div", "text"), ("before<!-- never closed <p>x", "before"), ("<p>a</p", "a"),
            ("a<script>never closed <p>x", "a"), ("a <b class=\"x", "a"), ("1 < 2 and 3 <", "1 < 2 and 3 <"),
            ("</p>x</>y", "xy"), ("<head><meta x><p>body without end of head", "body without end of head"),
            ("<svg><svg><text>x</text></svg>y</svg>z", "z"), ("a<![CDATA[x]]>b", "ab"), ("<?php echo ?>q", "q"),
            ("<a/ b>x<br/>y", "x\ny"), ("&#0;&#xD800;&#99999999999;", "\u{FFFD}\u{FFFD}\u{FFFD}"), ("a&", "a&"),
            ("&#;&#x;", "&#;&#x;"), ("<!-->x", "x"), ("<SCRIPT>q</sCrIpT >r", "r"),
            ("<style>a</styles>b</style>c", "c"),
        ])
    func brokenHTML(page: String, expected: String) throws {
        #expect(string(try extract(page, .html)) == expected)
    }

    @Test("deep nesting and endless runs of markup are read in one pass")
    func hostileHTML() throws {
        let depth = 200_000
        let nested = String(repeating: "<div><svg><p>", count: depth) + "x"
        #expect(throws: RetrievalError.self) { try extract(nested, .html) }
        let divs = String(repeating: "<div>", count: depth) + "core" + String(repeating: "</div>", count: depth)
        #expect(string(try extract(divs, .html)) == "core")
        let opens = "a" + String(repeating: "<!-", count: depth)
        #expect(string(try extract(opens, .html)) == "a")
        let scripts = String(repeating: "<script></scrip", count: depth) + "</script>end"
        #expect(string(try extract(scripts, .html)) == "end")
        let ampersands = String(repeating: "&", count: depth)
        #expect(string(try extract(ampersands, .html)) == ampersands)
    }

    @Test("random bytes of markup never crash, and the text stays valid with headings in place")
    func fuzz() throws {
        let alphabet = [
            "<", ">", "/", "h1", "h2", "p", "!--", "-->", "&", "amp;", "#x41;", "\"", "'", "=", " ", "\n", "a", "é",
            "script",
            "head", "pre", "td", "]]>", "<![CDATA[",
        ]
        var random = SeededGenerator(seed: 7)
        for _ in 0..<3000 {
            var page = "w "
            for _ in 0..<Int.random(in: 0..<60, using: &random) {
                page += alphabet.randomElement(using: &random) ?? ""
            }
            let extracted = try extract(page, .html)
            #expect(UTF8Scanner.firstInvalidOffset(in: extracted.utf8) == nil)
            for heading in extracted.headings {
                #expect(heading.start < extracted.utf8.count && (1...6).contains(heading.level))
            }
            #expect(extracted.headings.map(\.start) == extracted.headings.map(\.start).sorted())
            _ = try extract(page, .markdown)
        }
    }
}
