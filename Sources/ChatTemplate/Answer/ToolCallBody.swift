/// What stands behind the marker that opens a call, read as far as it has come.
struct ToolCallBody: Sendable {
    /// What can be said about the text so far.
    enum Reading {
        case needsMore
        /// The first `byteCount` bytes are these calls.
        case calls([ToolCall], byteCount: Int)
        /// The first `byteCount` bytes, at least, are no call.
        case noCall(byteCount: Int)
    }

    /// Most bytes between a name and its arguments.
    private static let maxGap = 64

    private let style: ChatFormat.ToolCallStyle
    /// Only these names make a call.
    private let toolNames: Set<String>
    private var extent: JSONExtent?
    /// Where to look for the closing marker next.
    private var searchStart = 0

    init(style: ChatFormat.ToolCallStyle, toolNames: Set<String>) {
        self.style = style
        self.toolNames = toolNames
    }

    /// Reads `bytes`, which begin as they did in the last call.
    ///
    /// - Parameter isFinal: whether no more will come.
    mutating func read(_ bytes: [UInt8], isFinal: Bool) -> Reading {
        let reading =
            switch style {
            case .none: Reading.noCall(byteCount: 0)
            case .tagged: readTagged(bytes, isFinal)
            case .deepSeek: readDeepSeek(bytes, isFinal)
            case .llama: readLlama(bytes, isFinal)
            case .mistral: readMistral(bytes, isFinal)
            }
        // A call of something that was not offered is none that a client could answer: it stays text.
        guard case .calls(let calls, let byteCount) = reading, !calls.allSatisfy({ toolNames.contains($0.name) }) else {
            return reading
        }
        return .noCall(byteCount: byteCount)
    }

    // MARK: - Up to a closing marker

    private mutating func readTagged(_ bytes: [UInt8], _ isFinal: Bool) -> Reading {
        let close = Array(Marker.taggedCallEnd.utf8)
        while let (tag, _) = MarkerSearch.first(of: [close], in: bytes, from: searchStart) {
            let body = bytes[..<tag.lowerBound]
            if let calls = ToolCall.calls(json: body) { return .calls(calls, byteCount: tag.upperBound) }
            // The tag may stand in a string of the arguments.
            guard Self.endsInString(body) else { return .noCall(byteCount: tag.upperBound) }
            searchStart = tag.upperBound
        }
        searchStart = max(searchStart, bytes.count - close.count + 1)
        guard isFinal else { return .needsMore }
        // A model that stops right after the object means the call all the same.
        if let calls = ToolCall.calls(json: bytes) { return .calls(calls, byteCount: bytes.count) }
        return .noCall(byteCount: bytes.count)
    }

    private static func endsInString(_ bytes: ArraySlice<UInt8>) -> Bool {
        var isInString = false
        var isEscaped = false
        for byte in bytes {
            if isEscaped {
                isEscaped = false
            } else if isInString, byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString.toggle()
            }
        }
        return isInString
    }

    private mutating func readDeepSeek(_ bytes: [UInt8], _ isFinal: Bool) -> Reading {
        let closes = [Array(Marker.deepSeekCallEnd.utf8), Array(Marker.deepSeekCallsEnd.utf8)]
        let found = MarkerSearch.first(of: closes, in: bytes, from: searchStart)
        searchStart = max(searchStart, bytes.count - closes[1].count + 1)
        guard let body = found.map({ bytes[..<$0.range.lowerBound] }) ?? (isFinal ? bytes[...] : nil) else {
            return .needsMore
        }
        let end = found?.range.upperBound ?? bytes.count
        guard let call = Self.deepSeekCall(body) else { return .noCall(byteCount: end) }
        return .calls([call], byteCount: end)
    }

    /// `name<sep>{…}` as V3.1 writes it, or `function<sep>name` with the object in a code block.
    private static func deepSeekCall(_ body: ArraySlice<UInt8>) -> ToolCall? {
        let bytes = Array(body)
        let separator = Array(Marker.deepSeekSeparator.utf8)
        guard let (mark, _) = MarkerSearch.first(of: [separator], in: bytes) else { return nil }
        let head = Array(bytes[..<mark.lowerBound])
        let rest = Array(bytes[mark.upperBound...])
        let start = MarkerSearch.skippingSpace(rest)
        if start < rest.count, rest[start] == UInt8(ascii: "{") {
            guard let name = name(head[...]), let arguments = ToolCall.arguments(rest) else { return nil }
            return ToolCall(name: name, arguments: arguments)
        }
        guard let lineEnd = rest.firstIndex(of: UInt8(ascii: "\n")), let name = name(rest[..<lineEnd]) else {
            return nil
        }
        var object = Array(rest[lineEnd...])
        for fence in ["```json", "```"] {
            let start = MarkerSearch.skippingSpace(object)
            if object[start...].starts(with: fence.utf8) { object.removeFirst(start + fence.utf8.count) }
        }
        let space = MarkerSearch.trailingSpaceLength(object, before: 0)
        object.removeLast(space)
        if object.suffix(3).elementsEqual("```".utf8) { object.removeLast(3) }
        return ToolCall.arguments(object).map { ToolCall(name: name, arguments: $0) }
    }

    private static func name(_ bytes: ArraySlice<UInt8>) -> String? {
        let bytes = Array(bytes)
        let start = MarkerSearch.skippingSpace(bytes)
        let end = bytes.count - MarkerSearch.trailingSpaceLength(bytes, before: 0)
        guard start < end, bytes[start..<end].allSatisfy(isNameByte) else { return nil }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte & 0xDF) || "_.-:/".utf8.contains(byte)
    }

    // MARK: - Up to the end of the JSON

    private mutating func jsonEnd(_ bytes: [UInt8], from start: Int) -> Int? {
        var extent = extent ?? JSONExtent(from: start)
        defer { self.extent = extent }
        return extent.end(in: bytes)
    }

    private mutating func readLlama(_ bytes: [UInt8], _ isFinal: Bool) -> Reading {
        let start = MarkerSearch.skippingSpace(bytes)
        guard start < bytes.count else { return isFinal ? .noCall(byteCount: bytes.count) : .needsMore }
        guard bytes[start] == UInt8(ascii: "{") else { return .noCall(byteCount: 0) }
        guard let end = jsonEnd(bytes, from: start) else {
            return isFinal ? .noCall(byteCount: bytes.count) : .needsMore
        }
        guard let calls = ToolCall.calls(json: bytes[start..<end]) else { return .noCall(byteCount: end) }
        return .calls(calls, byteCount: end)
    }

    private mutating func readMistral(_ bytes: [UInt8], _ isFinal: Bool) -> Reading {
        let start = MarkerSearch.skippingSpace(bytes)
        guard start < bytes.count else { return isFinal ? .noCall(byteCount: bytes.count) : .needsMore }
        if bytes[start] == UInt8(ascii: "[") {
            guard let end = jsonEnd(bytes, from: start) else {
                return isFinal ? .noCall(byteCount: bytes.count) : .needsMore
            }
            guard let calls = ToolCall.calls(json: bytes[start..<end]) else { return .noCall(byteCount: end) }
            return .calls(calls, byteCount: end)
        }
        return readNamedMistral(bytes, from: start, isFinal)
    }

    /// `name[ARGS]{…}`, with `[CALL_ID]…` between in some versions.
    private mutating func readNamedMistral(_ bytes: [UInt8], from start: Int, _ isFinal: Bool) -> Reading {
        let nameEnd = bytes[start...].firstIndex { !Self.isNameByte($0) } ?? bytes.count
        guard nameEnd < bytes.count else { return isFinal ? .noCall(byteCount: bytes.count) : .needsMore }
        let isPossible = nameEnd > start && "[{ \t\n".utf8.contains(bytes[nameEnd])
        guard isPossible else { return .noCall(byteCount: nameEnd) }
        let window = bytes[nameEnd...].prefix(Self.maxGap)
        guard let brace = window.firstIndex(of: UInt8(ascii: "{")) else {
            return window.count < Self.maxGap && !isFinal ? .needsMore : .noCall(byteCount: nameEnd)
        }
        let between = String(decoding: bytes[nameEnd..<brace].filter { !MarkerSearch.isSpace($0) }, as: UTF8.self)
        guard
            between.isEmpty || between == Marker.mistralArguments
                || (between.hasPrefix(Marker.mistralCallID) && between.hasSuffix(Marker.mistralArguments))
        else { return .noCall(byteCount: brace) }
        guard let end = jsonEnd(bytes, from: brace) else {
            return isFinal ? .noCall(byteCount: bytes.count) : .needsMore
        }
        guard let arguments = ToolCall.arguments(bytes[brace..<end]) else { return .noCall(byteCount: end) }
        let name = String(decoding: bytes[start..<nameEnd], as: UTF8.self)
        return .calls([ToolCall(name: name, arguments: arguments)], byteCount: end)
    }
}
