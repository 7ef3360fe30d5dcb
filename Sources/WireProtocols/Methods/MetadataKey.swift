/// Metadata keys that several services use.
package enum MetadataKey {
    /// The tenant a call is made for. Set by the gateway, never by its clients.
    package static let tenant = "fathom-tenant"
    /// Names a request in the logs of every service it passes.
    package static let requestID = "fathom-request-id"
    /// Whole seconds after which a refused call may be tried again; on errors.
    package static let retryAfter = "retry-after"
    /// The context window, on OUT_OF_RANGE errors of Generate and Embed.
    package static let maxContextTokens = "max-context-tokens"
    /// Which input of a call is to blame, counted from 0; and how many tokens it has. On OUT_OF_RANGE errors of Embed.
    package static let inputIndex = "input-index"
    package static let tokenCount = "token-count"
    /// Which parameter of the request is to blame; on errors whose message is for the requester.
    package static let parameter = "param"
    /// What kind of failure it is, for programs, where the status alone does not say; on errors.
    package static let errorCode = "fathom-error-code"
    /// Which model the steps of a `Pipeline.Run` are for: what the `Join` before it said.
    package static let modelDigest = "fathom-model-digest"
    package static let modelName = "fathom-model"
}
