import Foundation

/// What the operating system knows about this process, read from `/proc` when asked.
package enum ProcessMetrics {
    /// Registers `process_*` under Prometheus' standard names, and `fathom_build_info`.
    package static func register(in registry: MetricsRegistry, startedAt: Date) {
        registry.gauge("process_resident_memory_bytes", help: "Resident memory size in bytes.") {
            residentMemoryBytes()
        }
        registry.counter("process_cpu_seconds_total", help: "User and system CPU time spent in seconds.") {
            cpuSeconds()
        }
        registry.gauge("process_open_fds", help: "Open file descriptors.") { openFileDescriptors() }
        registry.gauge("process_max_fds", help: "Most file descriptors the process may open.") {
            maxFileDescriptors()
        }
        registry.gauge("process_start_time_seconds", help: "Start of the process in seconds since the Unix epoch.") {
            startedAt.timeIntervalSince1970
        }
        registry.gauge("fathom_build_info", help: "Always 1.", labels: [("version", FathomVersion.current)]) { 1 }
    }

    /// Resident set size in bytes; 0 where `/proc` is missing.
    package static func residentMemoryBytes() -> Double {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
        let fields = text.split(separator: " ")
        guard fields.count > 1, let pages = Double(fields[1]) else { return 0 }
        return pages * Double(sysconf(Int32(_SC_PAGESIZE)))
    }

    /// User plus system time of all threads, seconds.
    package static func cpuSeconds() -> Double {
        var time = timespec()
        guard clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return 0 }
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    private static func openFileDescriptors() -> Double {
        let entries = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        return Double(entries?.count ?? 0)
    }

    /// Descriptors that the process may have open; 0 when that cannot be read.
    package static func maxFileDescriptors() -> Double {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        return Double(limit.rlim_cur)
    }
}
