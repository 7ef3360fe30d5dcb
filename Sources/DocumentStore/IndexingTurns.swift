/// Who is indexed next: a pure value, without clock or I/O.
///
/// A turn is one batch of chunks, or cutting one small file into chunks. Tenants take turns; a tenant's turns go by
/// turns to its oldest attachment and to its smallest file, so that a long book keeps neither another tenant's note
/// waiting nor one of its own, and is itself done in the end. Cutting a large file takes long and cannot be
/// interrupted: it is done beside the turns.
package struct IndexingTurns {
    /// What a turn is for.
    package struct Turn: Equatable {
        package var tenant: String
        package var isSmallestFirst: Bool
    }

    private struct Pause {
        var count: Int
        /// False from when the pause is over until the next success or failure.
        var isResting: Bool
    }

    /// Turns under way at most.
    let workers: Int
    /// Large files being cut at most.
    let preparations: Int

    private(set) var underWay = 0
    private(set) var preparing = 0
    /// Attachments somebody works on, by tenant.
    package private(set) var taken: [String: Set<Int64>] = [:]
    private var lastTenant = ""
    private var lastWasSmallest: Set<String> = []
    private var pauses: [String: Pause] = [:]

    package init(workers: Int, preparations: Int) {
        self.workers = workers
        self.preparations = preparations
    }

    package var isIdle: Bool { underWay == 0 && preparing == 0 }
    package var mayPrepareLargeFile: Bool { preparing < preparations }

    /// The tenants in the order of their turns, none when enough is under way.
    ///
    /// - Parameter waiting: Tenants with attachments in progress.
    package func next(of waiting: [String]) -> [Turn] {
        guard underWay < workers else { return [] }
        let ready = waiting.filter { pauses[$0]?.isResting != true }.sorted()
        return (ready.filter { $0 > lastTenant } + ready.filter { $0 <= lastTenant }).map { tenant in
            Turn(tenant: tenant, isSmallestFirst: !lastWasSmallest.contains(tenant))
        }
    }

    /// - Parameter isPreparation: A large file is cut, beside the turns.
    package mutating func take(_ turn: Turn, _ job: Int64, isPreparation: Bool) {
        taken[turn.tenant, default: []].insert(job)
        lastTenant = turn.tenant
        if isPreparation { preparing += 1 } else { underWay += 1 }
        if turn.isSmallestFirst { lastWasSmallest.insert(turn.tenant) } else { lastWasSmallest.remove(turn.tenant) }
    }

    package mutating func finish(_ tenant: String, _ job: Int64, isPreparation: Bool) {
        if isPreparation { preparing -= 1 } else { underWay -= 1 }
        taken[tenant]?.remove(job)
        if taken[tenant]?.isEmpty == true { taken[tenant] = nil }
    }

    /// A tenant's indexing rests.
    ///
    /// - Returns: For how long: a second, doubled with each time in a row up to 32.
    package mutating func pause(_ tenant: String) -> Duration {
        let count = min(5, pauses[tenant]?.count ?? 0)
        pauses[tenant] = Pause(count: count + 1, isResting: true)
        return .seconds(1 << count)
    }

    /// The rest is over.
    package mutating func resume(_ tenant: String) { pauses[tenant]?.isResting = false }

    /// Something of the tenant was written down.
    package mutating func succeed(_ tenant: String) { pauses[tenant] = nil }
}
