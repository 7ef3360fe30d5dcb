/// What `fathom ingest` did.
package struct IngestReport: Sendable {
    package var added = 0
    package var changed = 0
    package var unchanged = 0
    package var removed = 0
    package var failures: [SetAside] = []
    package var skipped: [SetAside] = []
    /// Documents that were not tried, because the gateway could not go on.
    package var untried = 0
    /// Chunks that were indexed.
    package var chunks = 0

    package init() {}

    package var isComplete: Bool { failures.isEmpty && untried == 0 }

    /// One line: "3 added, 1 changed, 12 unchanged, 2 removed, 1 failed".
    package var summary: String {
        var parts = ["\(added) added", "\(changed) changed", "\(unchanged) unchanged", "\(removed) removed"]
        parts.append("\(failures.count) failed")
        if !skipped.isEmpty { parts.append("\(skipped.count) skipped") }
        if untried > 0 { parts.append("\(untried) not tried") }
        return parts.joined(separator: ", ")
    }
}
