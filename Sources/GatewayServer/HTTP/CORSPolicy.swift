import HTTPTypes

/// Which web pages may read answers (the Fetch standard's CORS protocol). Keys come in a header that a page sets itself, so
/// no answer ever allows credentials that a browser would add.
package struct CORSPolicy: Sendable, Equatable {
    /// `scheme://host[:port]`, as browsers send them; "*" for every page.
    private let origins: Set<String>

    /// - Parameters:
    ///   - origins: "*", or origins such as `https://app.example`; empty switches CORS off.
    /// - Returns: nil when one of them is neither.
    package init?(origins: [String]) {
        guard origins.allSatisfy({ $0 == "*" || Self.isOrigin($0) }) else { return nil }
        self.origins = Set(origins.map { $0.lowercased() })
    }

    package var isOn: Bool { !origins.isEmpty }

    /// Adds what an answer to a request with this `Origin` needs to be read by its page.
    func decorate(_ headers: inout HTTPFields, origin: String?) {
        guard isOn else { return }
        if !origins.contains("*") { headers.append(HTTPField(name: .vary, value: "Origin")) }
        guard let allowed = allowed(origin) else { return }
        headers[.accessControlAllowOrigin] = allowed
        headers[.accessControlExposeHeaders] = "x-request-id, x-fathom-cache, retry-after"
    }

    /// Adds what a preflight's answer needs beside that.
    ///
    /// - Parameters:
    ///   - methods: what the path supports.
    ///   - requestedHeaders: of `Access-Control-Request-Headers`; all are allowed, because none means anything but what it
    ///     means without a browser.
    func decoratePreflight(_ headers: inout HTTPFields, origin: String?, methods: [String], requestedHeaders: String?) {
        guard allowed(origin) != nil else { return }
        headers[.accessControlAllowMethods] = methods.joined(separator: ", ")
        let names = (requestedHeaders ?? "").split(separator: ",").prefix(64).compactMap { name in
            HTTPField.Name(String(name.trimmingPrefix(while: { $0 == " " })).lowercased())
        }
        if !names.isEmpty {
            headers[.accessControlAllowHeaders] = names.map(\.canonicalName).joined(separator: ", ")
        }
        headers[.accessControlMaxAge] = "600"
    }

    private func allowed(_ origin: String?) -> String? {
        guard let origin else { return nil }
        if origins.contains("*") { return "*" }
        return origins.contains(origin.lowercased()) ? origin : nil
    }

    private static func isOrigin(_ text: String) -> Bool {
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return false }
        return parts[0].utf8.allSatisfy {
            ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7A || "+-.0123456789".utf8.contains($0)
        }
            && HTTP1HeadRules.isHost(String(parts[1]))
    }
}
