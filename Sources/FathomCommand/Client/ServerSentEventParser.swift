/// One event of a `text/event-stream`.
package struct ServerSentEvent: Sendable, Equatable {
    /// The `event:` field; "message" when there was none.
    package var name: String
    /// The `data:` lines, joined with line feeds.
    package var data: String

    package init(name: String = "message", data: String) {
        self.name = name
        self.data = data
    }
}

/// Cuts a byte stream into server-sent events, as the HTML standard describes them. A pure value.
///
/// Bytes may be cut anywhere: inside a line end or inside a character. `id:` and `retry:` are skipped.
package struct ServerSentEventParser: Sendable {
    /// Longest line and longest event, in bytes.
    package static let maximumBytes = 4 << 20

    /// A stream that holds an event or line above the limit.
    package struct TooLong: Error, Sendable {}

    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var name = ""
    private var endedWithCarriageReturn = false
    private var isFirstLine = true

    package init() {}

    /// Takes the next bytes and returns the events that they complete.
    ///
    /// - Throws: ``TooLong``.
    package mutating func consume(_ bytes: some Sequence<UInt8>) throws -> [ServerSentEvent] {
        var events: [ServerSentEvent] = []
        for byte in bytes {
            let isSecondHalfOfLineEnd = endedWithCarriageReturn && byte == UInt8(ascii: "\n")
            endedWithCarriageReturn = byte == UInt8(ascii: "\r")
            if isSecondHalfOfLineEnd { continue }
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                if let event = endLine() { events.append(event) }
            } else {
                guard line.count + data.count < Self.maximumBytes else { throw TooLong() }
                line.append(byte)
            }
        }
        return events
    }

    private mutating func endLine() -> ServerSentEvent? {
        defer { line.removeAll(keepingCapacity: true) }
        if isFirstLine {
            isFirstLine = false
            if line.starts(with: [0xef, 0xbb, 0xbf]) { line.removeFirst(3) }
        }
        guard !line.isEmpty else { return dispatch() }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        var value = line[min(colon + 1, line.endIndex)...]
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        switch String(decoding: line[..<colon], as: UTF8.self) {
        case "data":
            if hasData { data.append(UInt8(ascii: "\n")) }
            data.append(contentsOf: value)
            hasData = true
        case "event":
            name = String(decoding: value, as: UTF8.self)
        default: break
        }
        return nil
    }

    private mutating func dispatch() -> ServerSentEvent? {
        defer {
            data.removeAll(keepingCapacity: true)
            hasData = false
            name = ""
        }
        guard hasData else { return nil }
        return ServerSentEvent(name: name.isEmpty ? "message" : name, data: String(decoding: data, as: UTF8.self))
    }
}
