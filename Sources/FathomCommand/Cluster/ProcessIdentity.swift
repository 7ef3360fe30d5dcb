import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// One process, told apart from a later one that got the same number.
package struct ProcessIdentity: Codable, Sendable, Equatable {
    package var pid: Int32
    /// Clock ticks from boot to the start of the process, as the kernel counts them.
    package var startTicks: UInt64

    package init(pid: Int32, startTicks: UInt64) {
        self.pid = pid
        self.startTicks = startTicks
    }

    /// The process that has the number now, or nil when there is none (a zombie counts as none).
    package init?(runningPID pid: Int32) {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat"),
            let (state, ticks) = Self.parse(String(decoding: data, as: UTF8.self)), state != "Z", state != "X"
        else { return nil }
        self.init(pid: pid, startTicks: ticks)
    }

    /// Whether this very process runs.
    package var isRunning: Bool { ProcessIdentity(runningPID: pid) == self }

    /// Sends a signal if this very process runs.
    package func send(_ signal: Int32) {
        if isRunning { kill(pid, signal) }
    }

    /// State and start time of a `/proc/PID/stat` line. The name in parentheses may hold anything, spaces and
    /// parentheses included, so fields are counted from the last closing one.
    package static func parse(_ line: String) -> (state: String, startTicks: UInt64)? {
        guard let close = line.lastIndex(of: ")") else { return nil }
        let fields = line[line.index(after: close)...].split(whereSeparator: \.isWhitespace)
        // `state` is field 3 of the line and `starttime` field 22; the first two are before the parenthesis.
        guard fields.count > 19, let ticks = UInt64(fields[19]) else { return nil }
        return (String(fields[0]), ticks)
    }
}
