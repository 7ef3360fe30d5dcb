import Foundation
import GatewayServer
import NIOCore
import Testing

struct MultipartParserTests {
    static let form = [
        "preamble to ignore", "--XX", "Content-Disposition: form-data; name=\"purpose\"", "", "assistants", "--XX",
        "Content-Disposition: form-data; name=\"file\"; filename=\"a;b \\\"c\\\".txt\"", "Content-Type: text/plain", "",
        "line one", "--XY is no boundary", "\r\r\n--X", "last", "--XX--", "epilogue",
    ].joined(separator: "\r\n")

    /// Parts with their whole content.
    private func parse(_ text: String, pieceSize: Int) throws -> (parts: [MultipartPart], data: [String], done: Bool) {
        var parser = MultipartParser(boundary: "XX")
        let bytes = Array(text.utf8)
        var parts: [MultipartPart] = []
        var data: [[UInt8]] = []
        for start in stride(from: 0, to: bytes.count, by: pieceSize) {
            let piece = ByteBuffer(bytes: bytes[start..<min(start + pieceSize, bytes.count)])
            for event in try parser.consume(piece) {
                switch event {
                case .part(let part):
                    parts.append(part)
                    data.append([])
                case .data(let bytes): data[data.count - 1] += bytes.readableBytesView
                case .end: break
                }
            }
        }
        return (parts, data.map { String(decoding: $0, as: UTF8.self) }, parser.isComplete)
    }

    @Test("a form parses the same however it is cut", arguments: [1, 2, 3, 5, 7, 16, 64, 10_000])
    func pieces(_ size: Int) throws {
        let result = try parse(Self.form, pieceSize: size)
        #expect(result.done)
        #expect(result.parts.map(\.name) == ["purpose", "file"])
        #expect(result.parts[1].filename == "a;b \"c\".txt")
        #expect(result.parts[1].contentType == "text/plain")
        #expect(result.data == ["assistants", "line one\r\n--XY is no boundary\r\n\r\r\n--X\r\nlast"])
    }

    @Test("a form that is cut off anywhere is never complete")
    func truncated() throws {
        let end = try #require(Self.form.range(of: "--XX--")).upperBound
        for length in 0..<Self.form[..<end].utf8.count {
            let text = String(decoding: Self.form.utf8.prefix(length), as: UTF8.self)
            #expect(try !parse(text, pieceSize: 11).done)
        }
    }

    @Test(
        "malformed forms are refused",
        arguments: [
            "--XXgarbage\r\n\r\n", "--XX\r\nno colon\r\n\r\n", "--XX\r\nContent-Type: text/plain\r\n\r\n",
            "--XX\r\nContent-Disposition: form-data\r\n\r\n",
            "--XX\r\nX: " + String(repeating: "y", count: MultipartParser.maximumHeaderSize + 10),
            String(
                repeating: "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv\r\n",
                count: MultipartParser.maximumPartCount + 1),
        ])
    func malformed(_ text: String) {
        #expect(throws: MultipartParser.Malformed.self) { try parse(text, pieceSize: 4_096) }
    }

    @Test(
        "the boundary is found in content types",
        arguments: [
            ("multipart/form-data; boundary=abc", "abc"), ("Multipart/Form-Data; charset=x; Boundary=\"a b\"", "a b"),
            ("multipart/form-data", nil), ("text/plain; boundary=abc", nil), ("multipart/form-data; boundary=", nil),
        ])
    func boundary(_ type: String, _ expected: String?) {
        #expect(MultipartParser.boundary(contentType: type) == expected)
    }

    @Test(
        "file names are what the client meant, however it writes them",
        arguments: [
            ("filename=\"a b.txt\"", "a b.txt"), ("filename=plain.txt", "plain.txt"),
            ("filename=\"semi;colon=x.txt\"", "semi;colon=x.txt"),
            ("filename=\"new\u{2028}line\u{85}.txt\"", "new\u{2028}line\u{85}.txt"),
            ("filename=\"percent%20%2F.txt\"", "percent%20%2F.txt"), ("filename=\"q%22.txt\"", "q\".txt"),
            ("filename*=UTF-8''%E6%89%8B%E5%86%8C.txt", "手册.txt"), ("filename*=utf-8'en'a%20b.txt", "a b.txt"),
            ("filename=\"fallback.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
            ("filename*=UTF-8''%e2%82%ac.txt; filename=fallback.txt", "€.txt"),
            ("filename*=ISO-8859-1''na%EFve.txt", "naïve.txt"),
            // What cannot be read is as if it were not there.
            ("filename=\"x.txt\"; filename*=UTF-8''%ff", "x.txt"), ("filename=\"x.txt\"; filename*=UTF-8''%4", "x.txt"),
            ("filename=\"x.txt\"; filename*=Big5''%41", "x.txt"), ("filename=\"x.txt\"; filename*=nothing", "x.txt"),
            ("filename*=UTF-16''%41", nil), ("x=y", nil),
        ] as [(String, String?)])
    func names(_ parameter: String, _ expected: String?) throws {
        let text = "--XX\r\nContent-Disposition: form-data; name=\"file\"; \(parameter)\r\n\r\nv\r\n--XX--"
        #expect(try parse(text, pieceSize: 1_000).parts.first?.filename == expected)
    }
}
