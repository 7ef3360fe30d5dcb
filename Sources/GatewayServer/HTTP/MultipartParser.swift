import NIOCore

/// What a multipart body holds, in order of arrival.
package enum MultipartEvent: Sendable, Equatable {
    /// A part begins.
    case part(MultipartPart)
    /// Bytes of the part that began last.
    case data(ByteBuffer)
    /// The closing boundary; what follows is ignored.
    case end
}

/// The header of one part.
package struct MultipartPart: Sendable, Equatable {
    /// Name of the form field.
    package var name: String
    /// Given for files.
    package var filename: String?
    package var contentType: String?
}

/// A streaming parser of `multipart/form-data` (RFC 7578): keeps no more than a header or a boundary's length of bytes.
package struct MultipartParser {
    /// Why a body cannot be parsed; for the client.
    package struct Malformed: Error, Sendable, Equatable {
        package var reason: String
    }

    /// Longest header of one part, in bytes.
    package static let maximumHeaderSize = 8 * 1024
    /// Most parts.
    package static let maximumPartCount = 32

    private enum State {
        /// Before the first boundary.
        case preamble
        /// A boundary was read; its line goes on.
        case boundary
        case header
        case body
        case end
    }

    private static let crlf: [UInt8] = [0x0D, 0x0A]

    /// A boundary at the start of a line.
    private let delimiter: [UInt8]
    private var held: ByteBuffer
    private var state = State.preamble
    private var partCount = 0

    /// The boundary that a content type names, or nil when it is no multipart form.
    package static func boundary(contentType: String) -> String? {
        let parts = contentType.split(separator: ";", maxSplits: 16)
        guard let type = parts.first, trim(type).lowercased() == "multipart/form-data" else { return nil }
        for part in parts.dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, trim(pair[0]).lowercased() == "boundary" else { continue }
            let boundary = unquote(trim(pair[1]))
            return (1...200).contains(boundary.utf8.count) ? boundary : nil
        }
        return nil
    }

    package init(boundary: String) {
        delimiter = Self.crlf + Array("--\(boundary)".utf8)
        // The first boundary may open the body without a line before it.
        held = ByteBuffer(bytes: Self.crlf)
    }

    /// Whether the closing boundary was seen.
    package var isComplete: Bool {
        if case .end = state { true } else { false }
    }

    /// Takes bytes in and returns what they complete.
    ///
    /// - Throws: `Malformed`.
    package mutating func consume(_ bytes: ByteBuffer) throws(Malformed) -> [MultipartEvent] {
        var bytes = bytes
        if case .end = state { return [] }
        held.writeBuffer(&bytes)
        var events: [MultipartEvent] = []
        while try step(&events) {}
        held.discardReadBytes()
        return events
    }

    /// Does one transition; false when more bytes are needed.
    private mutating func step(_ events: inout [MultipartEvent]) throws(Malformed) -> Bool {
        switch state {
        case .preamble:
            guard let offset = find(delimiter) else {
                keepTail(delimiter.count - 1)
                return false
            }
            held.moveReaderIndex(forwardBy: offset + delimiter.count)
            state = .boundary
            return true
        case .boundary:
            guard held.readableBytes >= 2 else { return false }
            let next = held.readableBytesView.prefix(2)
            if next.elementsEqual("--".utf8) {
                state = .end
                events.append(.end)
                held.clear()
                return false
            }
            // Spaces may follow a boundary; nothing else may.
            guard let offset = find(Self.crlf) else {
                guard held.readableBytes < 256 else { throw Malformed(reason: "a boundary line does not end") }
                return false
            }
            guard held.readableBytesView.prefix(offset).allSatisfy({ $0 == 0x20 || $0 == 0x09 }) else {
                throw Malformed(reason: "a boundary is followed by other text")
            }
            // The line break stays: it may be the blank line that ends an empty header.
            held.moveReaderIndex(forwardBy: offset)
            state = .header
            return true
        case .header:
            guard let offset = find(Self.crlf + Self.crlf) else {
                guard held.readableBytes < Self.maximumHeaderSize else {
                    throw Malformed(reason: "the header of a part exceeds \(Self.maximumHeaderSize) bytes")
                }
                return false
            }
            let header = String(decoding: held.readableBytesView.prefix(offset), as: UTF8.self)
            held.moveReaderIndex(forwardBy: offset + 4)
            partCount += 1
            guard partCount <= Self.maximumPartCount else {
                throw Malformed(reason: "the body has more than \(Self.maximumPartCount) parts")
            }
            events.append(.part(try Self.part(header: header)))
            state = .body
            return true
        case .body:
            if let offset = find(delimiter) {
                if let data = held.readSlice(length: offset), data.readableBytes > 0 { events.append(.data(data)) }
                held.moveReaderIndex(forwardBy: delimiter.count)
                state = .boundary
                return true
            }
            let surplus = held.readableBytes - (delimiter.count - 1)
            if surplus > 0, let data = held.readSlice(length: surplus) { events.append(.data(data)) }
            return false
        case .end:
            return false
        }
    }

    private mutating func keepTail(_ count: Int) {
        if held.readableBytes > count { held.moveReaderIndex(forwardBy: held.readableBytes - count) }
    }

    /// Where `pattern` begins in the held bytes.
    private func find(_ pattern: [UInt8]) -> Int? {
        held.withUnsafeReadableBytes { bytes in
            guard bytes.count >= pattern.count else { return nil }
            let last = bytes.count - pattern.count
            var index = 0
            while index <= last {
                // Every pattern begins with a carriage return, which is rare in most files.
                guard let found = bytes[index...last].firstIndex(of: pattern[0]) else { return nil }
                if bytes[found..<(found + pattern.count)].elementsEqual(pattern) { return found }
                index = found + 1
            }
            return nil
        }
    }

    private static func part(header: String) throws(Malformed) -> MultipartPart {
        var part = MultipartPart(name: "")
        var hasDisposition = false
        // Only CR and LF end a line here: a file's name may hold what Unicode calls a line break.
        for line in header.unicodeScalars.split(whereSeparator: { $0 == "\r" || $0 == "\n" }) {
            let pair = Substring(line).split(separator: ":", maxSplits: 1)
            guard pair.count == 2 else { throw Malformed(reason: "the header of a part has a line without ':'") }
            switch trim(pair[0]).lowercased() {
            case "content-type": part.contentType = String(trim(pair[1]).prefix(256))
            case "content-disposition":
                hasDisposition = true
                let parameters = parameters(pair[1])
                part.name = parameters["name"] ?? ""
                // RFC 7578 knows no `filename*`; older clients send it for names beyond ASCII, beside `filename` or alone.
                part.filename = parameters["filename*"].flatMap(extendedValue) ?? parameters["filename"]
            default: break
            }
        }
        guard hasDisposition, !part.name.isEmpty else {
            throw Malformed(reason: "a part has no Content-Disposition with a name")
        }
        return part
    }

    /// The text of an extended parameter (RFC 8187): `UTF-8''na%C3%AFve.txt`; nil when it is malformed or in a charset that
    /// the RFC does not ask for.
    private static func extendedValue(_ text: String) -> String? {
        let parts = text.split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        var bytes: [UInt8] = []
        var rest = parts[2].utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count >= 2 else {
                return nil
            }
            rest.removeFirst(2)
            bytes.append(value)
        }
        switch parts[0].lowercased() {
        case "utf-8": return String(validating: bytes, as: UTF8.self)
        case "iso-8859-1": return String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
        default: return nil
        }
    }

    /// The parameters of a disposition: `form-data; name="file"; filename="a;b.txt"`.
    private static func parameters(_ text: Substring) -> [String: String] {
        var parameters: [String: String] = [:]
        var piece = String.UnicodeScalarView()
        var isQuoted = false
        var isEscaped = false
        func add(_ piece: String.UnicodeScalarView) {
            let pair = String(piece).split(separator: "=", maxSplits: 1)
            guard pair.count == 2 else { return }
            parameters[trim(pair[0]).lowercased()] = unquote(trim(pair[1]))
        }
        // By scalars: a quote with a combining mark behind it is still a quote.
        for scalar in text.unicodeScalars {
            if isEscaped {
                isEscaped = false
            } else if isQuoted && scalar == "\\" {
                isEscaped = true
            } else if scalar == "\"" {
                isQuoted.toggle()
            } else if scalar == ";" && !isQuoted {
                add(piece)
                piece = .init()
                continue
            }
            piece.append(scalar)
        }
        add(piece)
        return parameters
    }

    /// Without the spaces and tabs around it, which is what HTTP calls whitespace.
    private static func trim(_ text: some StringProtocol) -> String {
        let isSpace: (Unicode.Scalar) -> Bool = { $0 == " " || $0 == "\t" }
        let scalars = text.unicodeScalars.drop(while: isSpace)
        guard let last = scalars.lastIndex(where: { !isSpace($0) }) else { return "" }
        return String(String.UnicodeScalarView(scalars[...last]))
    }

    private static func unquote(_ text: String) -> String {
        let scalars = text.unicodeScalars
        guard scalars.count >= 2, scalars.first == "\"", scalars.last == "\"" else { return text }
        let inner = String(String.UnicodeScalarView(scalars.dropFirst().dropLast()))
        return inner.replacing("\\\"", with: "\"").replacing("%22", with: "\"")
    }
}
