/// What the monitor keeps at most. Everything that others send is cut to these before it is stored.
package struct MonitorLimits: Sendable {
    /// Processes in the table, those that went away included.
    package var memberCount = 64
    /// Metrics of one report; further ones are dropped.
    package var metricsPerReport = 512
    /// Bytes of a name, address or reason; the rest is cut.
    package var textByteCount = 300
    /// Facts about one member.
    package var attributeCount = 32
    /// How often services shall report, milliseconds.
    package var intervalMilliseconds: Int64 = 1000
    /// Intervals without a report after which a member counts as offline.
    package var missedIntervals: Int64 = 3
    /// How long a member that went away is shown, milliseconds.
    package var offlineMilliseconds: Int64 = 3_600_000
    /// How long a member that said goodbye is shown, milliseconds.
    package var stoppedMilliseconds: Int64 = 60_000

    package init() {}
}
