/// Waiting sequences, one queue per tenant, served so that tenants with work get equal shares of computed tokens.
///
/// Each tenant has a counter of tokens computed for it; the next sequence comes from the tenant with the lowest one
/// (virtual token counters, Sheng et al. 2024). A tenant that was idle starts no lower than the lowest busy tenant, so
/// idleness earns no credit. Within a tenant the order is that of arrival.
struct FairQueue: Sendable {
    /// Counters remembered; idle tenants are forgotten beyond it.
    private static let maxTenants = 4_096

    private struct Tenant {
        /// Tokens computed for it, on the scale of the other tenants' counters.
        var servedTokens = 0
        /// Sequences that wait, in order of arrival.
        var waiting: [Sequence] = []
        /// Sequences that run.
        var runningCount = 0

        var isBusy: Bool { runningCount > 0 || !waiting.isEmpty }
    }

    private var tenants: [String: Tenant] = [:]
    /// Waiting sequences of all tenants.
    private(set) var count = 0

    /// Adds a sequence in order of arrival; a preempted one comes before later arrivals of its tenant.
    mutating func insert(_ sequence: Sequence) {
        var tenant = tenants[sequence.tenant] ?? Tenant()
        if !tenant.isBusy {
            let lowest = tenants.values.lazy.filter(\.isBusy).map(\.servedTokens).min()
            tenant.servedTokens = lowest.map { max($0, tenant.servedTokens) } ?? 0
        }
        let index = tenant.waiting.lastIndex { $0.id < sequence.id }.map { $0 + 1 } ?? 0
        tenant.waiting.insert(sequence, at: index)
        tenants[sequence.tenant] = tenant
        count += 1
        if tenants.count > Self.maxTenants { tenants = tenants.filter(\.value.isBusy) }
    }

    /// The sequence to admit next.
    var next: Sequence? {
        var best: (servedTokens: Int, sequence: Sequence)?
        for tenant in tenants.values {
            guard let sequence = tenant.waiting.first else { continue }
            if let best, (best.servedTokens, best.sequence.id) < (tenant.servedTokens, sequence.id) { continue }
            best = (tenant.servedTokens, sequence)
        }
        return best?.sequence
    }

    /// Removes and returns a waiting sequence.
    mutating func remove(_ id: SequenceID) -> Sequence? {
        for (name, tenant) in tenants {
            if let index = tenant.waiting.firstIndex(where: { $0.id == id }) {
                count -= 1
                return tenants[name]?.waiting.remove(at: index)
            }
        }
        return nil
    }

    /// Notes that a sequence of the tenant runs now.
    mutating func began(tenant: String) {
        tenants[tenant]?.runningCount += 1
    }

    /// Notes that a running sequence of the tenant ended or waits again.
    mutating func ended(tenant: String) {
        tenants[tenant]?.runningCount -= 1
    }

    /// Charges a tenant for tokens that are about to be computed.
    mutating func charge(tenant: String, tokens: Int) {
        tenants[tenant]?.servedTokens += tokens
    }

    /// Tokens computed for a tenant, on the common scale.
    func servedTokens(tenant: String) -> Int {
        tenants[tenant]?.servedTokens ?? 0
    }

    /// Forgets everything; returns the sequences that waited, in order of arrival.
    mutating func removeAll() -> [Sequence] {
        let all = tenants.values.flatMap(\.waiting).sorted { $0.id < $1.id }
        self = FairQueue()
        return all
    }
}
