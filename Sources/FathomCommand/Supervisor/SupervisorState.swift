/// What the supervisor tells `fathom up` while the cluster starts; `run/supervisor.json`.
package struct SupervisorState: Codable, Sendable, Equatable {
    package enum Phase: String, Codable, Sendable {
        /// Processes are being started for the first time.
        case starting
        /// All listen, or listened and are being restarted.
        case running
        case stopping
        /// The start was given up; `message` says why.
        case failed
    }

    package var supervisor: ProcessIdentity
    package var phase: Phase
    package var message: String?
    /// Names of the processes that were started, in that order.
    package var started: [String]
    /// Names of the processes that listen.
    package var listening: [String]
    /// Processes alive now; those `fathom down` may end when the supervisor is gone.
    package var children: [ProcessIdentity]
}

/// What a service writes when it listens, and again when it serves for the first time.
struct ReadyAnnouncement: Codable, Sendable, Equatable {
    var host: String
    var port: Int
    var pid: Int32
    var httpPort: Int?
    /// True once it was able to do its work.
    var served: Bool?

    enum CodingKeys: String, CodingKey {
        case host, port, pid, served
        case httpPort = "http_port"
    }
}
