/// What a caller may choose for one call.
package struct CallOptions: Sendable {
    /// Time until the call must have ended, counted from the moment it is made; it then fails with DEADLINE_EXCEEDED on
    /// both ends. nil means no limit of its own. A call made inside a handler never outlives the handler's deadline.
    package var timeout: Duration?
    package var metadata: Metadata
    /// True: a call made while there is no connection waits for one, through failed attempts, until its deadline or the
    /// client's `connectTimeout`. False: it fails with UNAVAILABLE as soon as the attempt under way has failed.
    package var waitForReady: Bool

    package init(timeout: Duration? = nil, metadata: Metadata = [:], waitForReady: Bool = true) {
        self.timeout = timeout
        self.metadata = metadata
        self.waitForReady = waitForReady
    }

    /// The instant the call must have ended, the earlier of its own timeout and the deadline of the handler it is made in.
    func deadline(now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
        let own = timeout.map { now.advanced(by: $0) }
        switch (own, CallDeadline.current) {
        case (let own?, let inherited?): return min(own, inherited)
        case (let own?, nil): return own
        case (nil, let inherited): return inherited
        }
    }
}

/// The deadline of the handler that the current task runs in, so that calls it makes end with it.
package enum CallDeadline {
    @TaskLocal package static var current: ContinuousClock.Instant?
}
