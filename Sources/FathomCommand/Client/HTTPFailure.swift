/// A gateway's refusal, as the cause of a ``CommandError``.
struct HTTPFailure: Error, Equatable {
    var status: Int
    /// Seconds, when the gateway says.
    var retryAfter: Int?

    /// Trying again later may help.
    var isTemporary: Bool { status == 429 || status == 503 }
}

extension CommandError {
    /// True when the gateway refused this request and may well take another; false when it would refuse any, or did not
    /// answer at all.
    var isAboutTheRequest: Bool {
        guard let failure = cause as? HTTPFailure else { return false }
        return ![401, 403, 429, 502, 503, 504, 507].contains(failure.status)
    }
}
