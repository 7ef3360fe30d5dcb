import Foundation
import Synchronization
import WireProtocols

/// Who this process is in the cluster map. The address and the attributes become known while it starts.
package final class ServiceIdentity: Sendable {
    /// "gateway", "shard", "store" or "monitor".
    package let kind: String
    /// Unique among processes: "shard-0".
    package let instance: String
    package let startedAt: Date

    private struct State {
        var address = ""
        var attributes: [String: String] = [:]
    }

    private let state = Mutex(State())

    package init(kind: String, instance: String, startedAt: Date = Date()) {
        self.kind = kind
        self.instance = instance
        self.startedAt = startedAt
    }

    /// The address other services use, "host:port"; empty until the process listens.
    package var address: String {
        get { state.withLock { $0.address } }
        set { state.withLock { $0.address = newValue } }
    }

    /// Sets a fact for the cluster map. Keys in use: "model", "stage.index", "stage.count", "layers" ("0..<15").
    package func setAttribute(_ key: String, _ value: String) {
        state.withLock { $0.attributes[key] = value }
    }

    /// The wire form.
    package func proto() -> Fathom_Monitor_V1_ServiceIdentity {
        let state = state.withLock { $0 }
        var proto = Fathom_Monitor_V1_ServiceIdentity()
        proto.kind = kind
        proto.instance = instance
        proto.address = state.address
        proto.processID = UInt32(ProcessInfo.processInfo.processIdentifier)
        proto.version = FathomVersion.current
        proto.startedAt = UInt64(startedAt.timeIntervalSince1970)
        proto.attributes = state.attributes
        return proto
    }
}
