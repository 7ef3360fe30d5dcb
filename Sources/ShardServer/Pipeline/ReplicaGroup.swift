import Synchronization
import WireProtocols

/// What this process knows of the stages of its replica group: itself, and after a join those behind it.
package final class ReplicaGroup: Sendable {
    private struct State {
        var own: Fathom_Shard_V1_StageDescription
        var later: [Fathom_Shard_V1_StageDescription] = []
    }

    private let state: Mutex<State>
    private let address: @Sendable () -> String

    /// - Parameters:
    ///   - layers: of this stage.
    ///   - address: where this process listens; asked for each time, since it becomes known late.
    package init(
        stageIndex: Int, layers: Range<Int>, weightByteCount: Int, address: @escaping @Sendable () -> String
    ) {
        var own = Fathom_Shard_V1_StageDescription()
        own.index = UInt32(stageIndex)
        own.layerStart = UInt32(layers.lowerBound)
        own.layerEnd = UInt32(layers.upperBound)
        own.weightBytes = UInt64(weightByteCount)
        own.linked = true
        state = Mutex(State(own: own))
        self.address = address
    }

    /// This stage and all after it, in order. Stages that were lost stay in the list with `linked` false.
    package var stages: [Fathom_Shard_V1_StageDescription] {
        let state = state.withLock { $0 }
        var own = state.own
        own.address = address()
        return [own] + state.later
    }

    /// Notes the stages behind this one, as they described themselves.
    package func linked(to later: [Fathom_Shard_V1_StageDescription]) {
        state.withLock { $0.later = later }
    }

    /// Notes that the stages behind this one cannot be reached.
    package func unlinked() {
        state.withLock { state in
            for index in state.later.indices { state.later[index].linked = false }
        }
    }
}
