/// Metadata keys that several services use.
package enum MetadataKey {
    /// The tenant a call is made for. Set by the gateway, never by its clients.
    package static let tenant = "fathom-tenant"
    /// Names a request in the logs of every service it passes.
    package static let requestID = "fathom-request-id"
    /// Whole seconds after which a refused call may be tried again; on errors.
    package static let retryAfter = "retry-after"
    /// The context window, on OUT_OF_RANGE errors of Generate.
    package static let maxContextTokens = "max-context-tokens"
}
