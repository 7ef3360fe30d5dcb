import NIOHTTP1

/// What RFC 9112 asks of the head of a request beyond what the parser checks.
enum HTTP1HeadRules {
    /// Longest request target, in bytes.
    static let maximumTargetSize = 8 * 1024

    /// Why a request with this head is refused, and its connection closed; nil when it is fine.
    static func violation(of head: HTTPRequestHead) -> APIError? {
        if head.method == .CONNECT {
            return APIError(
                status: 501, message: "This server is no proxy: CONNECT is not supported.",
                type: "invalid_request_error", code: "not_implemented")
        }
        guard head.uri.utf8.count <= maximumTargetSize else {
            return APIError(
                status: 414, message: "The request target is longer than \(maximumTargetSize) bytes.",
                type: "invalid_request_error", code: "uri_too_long")
        }
        return framing(of: head) ?? host(of: head)
    }

    /// Whether the connection ends with the answer to this request: the client says so, or its version does (RFC 9112,
    /// 9.3), or it offers another protocol, which the parser takes as accepted.
    static func endsConnection(_ head: HTTPRequestHead) -> Bool {
        let options = head.headers[canonicalForm: "connection"].map { $0.lowercased() }
        if options.contains("close") { return true }
        if options.contains("upgrade") && head.headers.contains(name: "upgrade") { return true }
        return isHTTP10(head) && !options.contains("keep-alive")
    }

    static func isHTTP10(_ head: HTTPRequestHead) -> Bool { head.version.major == 1 && head.version.minor == 0 }

    /// RFC 9112, 6.1: a body whose end two parties may see in two places is how requests are smuggled.
    private static func framing(of head: HTTPRequestHead) -> APIError? {
        let codings = head.headers[canonicalForm: "transfer-encoding"]
        guard !codings.isEmpty else { return nil }
        guard !isHTTP10(head) else { return .malformedRequest("HTTP/1.0 has no 'Transfer-Encoding'") }
        guard !head.headers.contains(name: "content-length") else {
            return .malformedRequest("it has both 'Content-Length' and 'Transfer-Encoding'")
        }
        guard codings.count == 1, codings[0].lowercased() == "chunked" else {
            return APIError(
                status: 501, message: "The only transfer coding that is supported is 'chunked'.",
                type: "invalid_request_error", code: "not_implemented")
        }
        return nil
    }

    /// RFC 9112, 3.2: exactly one `Host`, which may be empty; HTTP/1.0 may leave it out.
    private static func host(of head: HTTPRequestHead) -> APIError? {
        let hosts = head.headers["host"]
        guard hosts.count <= 1 else { return .malformedRequest("it has more than one 'Host'") }
        guard let host = hosts.first else {
            return isHTTP10(head) ? nil : .malformedRequest("it has no 'Host'")
        }
        return isHost(trimmed(host)) ? nil : .malformedRequest("its 'Host' is no host with an optional port")
    }

    /// `uri-host [":" port]` of RFC 3986, without looking into the numbers of an address.
    static func isHost(_ text: String) -> Bool {
        var name = text.utf8[...]
        if name.first == UInt8(ascii: "[") {
            guard let end = name.firstIndex(of: UInt8(ascii: "]")) else { return false }
            let address = name[name.index(after: name.startIndex)..<end]
            guard !address.isEmpty, address.allSatisfy({ isNameByte($0) || $0 == UInt8(ascii: ":") }) else {
                return false
            }
            name = name[name.index(after: end)...]
            guard name.isEmpty || name.first == UInt8(ascii: ":") else { return false }
        }
        if let colon = name.firstIndex(of: UInt8(ascii: ":")) {
            let port = name[name.index(after: colon)...]
            guard port.count <= 5, port.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
                return false
            }
            name = name[..<colon]
        }
        return name.allSatisfy(isNameByte)
    }

    /// A value without the spaces and tabs around it, which the parser leaves there.
    static func trimmed(_ value: String) -> String {
        let bytes = value.utf8.drop { $0 == 0x20 || $0 == 0x09 }
        guard let last = bytes.lastIndex(where: { $0 != 0x20 && $0 != 0x09 }) else { return "" }
        return String(bytes[...last]) ?? ""
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._~!$&'()*+,;=%".utf8.contains(byte)
        }
    }
}
