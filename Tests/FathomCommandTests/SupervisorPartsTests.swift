import FathomCommand
import Foundation
import Glibc
import ModelRegistry
import Testing

struct RestartPolicyTests {
    @Test("the first two restarts come soon, further ones later and later up to a bound")
    func backsOff() {
        var policy = RestartPolicy()
        let delays = (0..<14).map { _ in policy.delay(afterLifetime: .milliseconds(10)) }
        #expect(
            delays.prefix(5) == [
                .milliseconds(300), .milliseconds(300), .milliseconds(600), .milliseconds(1_200), .milliseconds(2_400),
            ])
        #expect(zip(delays, delays.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(delays.last == RestartPolicy.longestDelay)
    }

    @Test("whoever served is started again at once, however often it is ended and however short it lived")
    func servedIsForgiven() {
        var policy = RestartPolicy()
        for _ in 0..<10 { _ = policy.delay(afterLifetime: .milliseconds(10)) }
        for _ in 0..<10 {
            #expect(policy.delay(afterLifetime: .milliseconds(900), hasServed: true) == RestartPolicy.firstDelay)
        }
        #expect(policy.delay(afterLifetime: .milliseconds(900)) == RestartPolicy.firstDelay)
        #expect(policy.delay(afterLifetime: .milliseconds(900)) == RestartPolicy.firstDelay * 2)
    }

    @Test("a long life is forgiven everything")
    func forgives() {
        var policy = RestartPolicy()
        for _ in 0..<10 { _ = policy.delay(afterLifetime: .zero) }
        #expect(policy.delay(afterLifetime: RestartPolicy.healthyLife) == RestartPolicy.firstDelay)
        #expect(policy.earlyDeaths == 1)
    }
}

struct LogTailTests {
    @Test("what a process said last of its end is found, and nothing of an earlier run")
    func lastError() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/x.log"
            let early = "fathom-shard: error: an old one\n"
            try write(early + "time=1 level=info msg=Starting\nfathom-shard: error: --port: 1 is in use\n", to: path)
            #expect(LogTail.lastError(of: path) == "--port: 1 is in use")
            let offset = UInt64(early.utf8.count)
            #expect(LogTail.lastError(of: path, after: offset) == "--port: 1 is in use")
            #expect(LogTail.lastError(of: path, after: LogTail.size(of: path)) == nil)
            // A log that was cut to nothing since is new from its beginning.
            #expect(LogTail.lastError(of: path, after: 100_000) == "--port: 1 is in use")
            try write("Shard/X.swift:1: Fatal error: out of range\n*** backtrace\n", to: path)
            #expect(LogTail.lastError(of: path) == "out of range")
            try write("time=1 level=critical service=shard msg=stuck\ntime=2 level=info msg=x\n", to: path)
            #expect(LogTail.lastError(of: path)?.contains("msg=stuck") == true)
            try write("nothing of use\n", to: path)
            #expect(LogTail.lastError(of: path) == nil)
            #expect(LogTail.lines(of: path, count: 3) == "  nothing of use")
            #expect(LogTail.lastError(of: directory + "/none") == nil)
            try write("fathom-shard: error: invalidRequest: cannot cut 3 layers", to: directory + "/code.log")
            #expect(LogTail.lastError(of: directory + "/code.log") == "cannot cut 3 layers")
        }
    }

    @Test("an exit status is told in words")
    func exitText() {
        #expect(ExitText.format(1) == "ended with status 1")
        #expect(ExitText.format(137) == "was ended by signal 9 (killed)")
    }
}

struct LogRotationTests {
    @Test("a large log moves to .1, older ones move on, the oldest goes")
    func rotates() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/x.log"
            let rotation = LogRotation(maximumBytes: 4, keptFiles: 2)
            for text in ["first", "second", "third"] {
                try write(text, to: path)
                let rotated = rotation.rotateIfNeeded(path)
                #expect(rotated)
            }
            #expect(try read(path) == "")
            #expect(try read(path + ".1") == "third")
            #expect(try read(path + ".2") == "second")
            #expect(!FileManager.default.fileExists(atPath: path + ".3"))
        }
    }

    @Test("a process that appends goes on in the emptied file")
    func keepsFile() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/x.log"
            try write("", to: path)
            let descriptor = open(path, O_WRONLY | O_APPEND)
            defer { close(descriptor) }
            #expect(Glibc.write(descriptor, "12345678", 8) == 8)
            #expect(LogRotation(maximumBytes: 4).rotateIfNeeded(path))
            #expect(Glibc.write(descriptor, "new", 3) == 3)
            #expect(try read(path) == "new")
        }
    }

    @Test("a small or absent log stays as it is")
    func leavesAlone() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/x.log"
            #expect(!LogRotation(maximumBytes: 4).rotateIfNeeded(path))
            try write("1234", to: path)
            #expect(!LogRotation(maximumBytes: 4).rotateIfNeeded(path))
            #expect(try read(path) == "1234")
        }
    }
}

struct ProcessIdentityTests {
    @Test("a running process is itself and not another one of the same number")
    func identity() throws {
        let me = try #require(ProcessIdentity(runningPID: getpid()))
        #expect(me.isRunning)
        #expect(!ProcessIdentity(pid: me.pid, startTicks: me.startTicks + 1).isRunning)
    }

    @Test("an ended child that nobody waited for counts as ended")
    func zombie() async throws {
        let pid = try ProcessSpawner(executable: "true", arguments: []).spawn()
        let hasEnded = await poll(within: .seconds(10)) { ProcessIdentity(runningPID: pid) == nil }
        #expect(hasEnded)
        #expect(await ProcessSpawner.wait(for: pid) == 0)
    }

    @Test("a name with spaces and parentheses does not shift the fields")
    func oddName() throws {
        let line = "7 (a) b (c)) S " + (4...21).map(String.init).joined(separator: " ") + " 987654 23"
        let parsed = try #require(ProcessIdentity.parse(line))
        #expect(parsed.state == "S")
        #expect(parsed.startTicks == 987_654)
        #expect(ProcessIdentity.parse("garbage") == nil)
        #expect(ProcessIdentity.parse("1 (x) S 1 2") == nil)
    }
}

struct ClusterPlanTests {
    private let home = HomeDirectory(path: "/home")

    private func settings(_ change: (inout ClusterSettings) -> Void = { _ in }) -> ClusterSettings {
        var settings = ClusterSettings(
            executableDirectory: "/bin", shards: 3, models: [.init(name: "m", path: "/m.gguf")], encoderPath: "/e")
        change(&settings)
        return settings
    }

    @Test("every process has its own name and executable")
    func names() {
        let plans = ClusterPlan.processes(settings(), home: home)
        #expect(plans.map(\.name) == ["gateway", "shard-0", "shard-1", "shard-2", "store", "monitor"])
        #expect(plans.map(\.executable).last == "/bin/fathom-monitor")
    }

    @Test("a process waits for the addresses it needs, so the last stage starts first")
    func order() throws {
        let plans = ClusterPlan.processes(settings(), home: home)
        var addresses: [String: String] = [:]
        var order: [[String]] = []
        var remaining = plans
        while !remaining.isEmpty {
            let startable = remaining.filter {
                $0.commandLine(addresses: addresses, port: 0, httpPort: nil, home: home) != nil
            }.map(\.name)
            try #require(!startable.isEmpty, "nothing can start after \(order)")
            order.append(startable)
            for name in startable { addresses[name] = "127.0.0.1:1" }
            remaining.removeAll { startable.contains($0.name) }
        }
        #expect(order == [["monitor"], ["shard-2", "store"], ["shard-1"], ["shard-0"], ["gateway"]])
    }

    @Test("the middle stage is told its place, its successor and its port")
    func flags() throws {
        let plans = ClusterPlan.processes(settings { $0.threads = 4 }, home: home)
        let line = try #require(
            plans[2].commandLine(
                addresses: ["monitor": "h:1", "shard-2": "h:2"], port: 77, httpPort: nil, home: home))
        func value(_ flag: String) -> String? { line.firstIndex(of: flag).map { line[$0 + 1] } }
        #expect(value("--stage") == "1")
        #expect(value("--stages") == "3")
        #expect(value("--next") == "h:2")
        #expect(value("--monitor") == "h:1")
        #expect(value("--port") == "77")
        #expect(value("--threads") == "4")
        #expect(value("--instance") == "shard-1")
        #expect(value("--ready-file") == "/home/run/shard-1.ready")
        #expect(value("--model") == "m=/m.gguf")
    }

    @Test("shards alone need no monitor")
    func shardsOnly() {
        let plans = ClusterPlan.processes(settings { $0.shardsOnly = true }, home: home)
        #expect(plans.map(\.name) == ["shard-0", "shard-1", "shard-2"])
        #expect(plans[2].commandLine(addresses: [:], port: 0, httpPort: nil, home: home) != nil)
    }
}

struct HomeDirectoryTests {
    @Test("the flag wins over the environment, which wins over the user's folder")
    func precedence() {
        #expect(HomeDirectory.resolve("/a", environment: ["FATHOM_HOME": "/b", "HOME": "/c"]).path == "/a")
        #expect(HomeDirectory.resolve(nil, environment: ["FATHOM_HOME": "/b", "HOME": "/c"]).path == "/b")
        #expect(HomeDirectory.resolve(nil, environment: ["FATHOM_HOME": "", "HOME": "/c"]).path == "/c/.fathom/home")
    }

    @Test("the lock is held once and free again when it is closed")
    func lock() async throws {
        try await withTemporaryDirectory { directory in
            let home = HomeDirectory(path: directory)
            try home.prepare()
            #expect(!home.isLive)
            let descriptor = try #require(try home.lock())
            #expect(try home.lock() == nil)
            #expect(home.isLive)
            close(descriptor)
            #expect(!home.isLive)
        }
    }

    @Test("files are private and replaced in one step")
    func atomicFile() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/x.json"
            try AtomicFile.write(json: ["a": 1], to: path)
            try AtomicFile.write(json: ["a": 2], to: path)
            #expect(AtomicFile.read([String: Int].self, from: path) == ["a": 2])
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["x.json"])
        }
    }

    @Test("the tool's key is kept across runs and made anew when it was revoked")
    func defaultKey() async throws {
        try await withTemporaryDirectory { directory in
            let home = HomeDirectory(path: directory)
            let key = try DefaultKey.ensure(home)
            #expect(try DefaultKey.ensure(home) == key)
            try FileManager.default.removeItem(atPath: home.keyFile)
            #expect(try DefaultKey.ensure(home) != key)
        }
    }
}

struct DocumentFinderTests {
    @Test("folders give their documents in order, without hidden and unknown ones")
    func finds() async throws {
        try await withTemporaryDirectory { directory in
            for name in ["b.md", "a.txt", "sub/c.HTML", ".hidden.md", ".git/d.md", "e.pdf"] {
                try write("x", to: directory + "/docs/" + name)
            }
            try write("x", to: directory + "/single.markdown")
            let found = try DocumentFinder.find([directory + "/docs", directory + "/single.markdown"])
            #expect(found.documents.map(\.name) == ["a.txt", "b.md", "sub/c.HTML", "single.markdown"])
            #expect(found.skipped.map(\.name) == ["e.pdf"])
            #expect(found.failures.isEmpty)
        }
    }
}

struct SampleStatisticsTests {
    @Test("percentiles are nearest ranks and the median is the middle")
    func percentiles() {
        let samples = SampleStatistics([3, 1, 2, 5, 4])
        #expect(samples.percentile(0) == 1)
        #expect(samples.percentile(0.5) == 3)
        #expect(samples.percentile(1) == 5)
        #expect(samples.median == 3)
        #expect(SampleStatistics([1, 2]).median == 1.5)
        #expect(SampleStatistics().median == nil)
        #expect(SampleStatistics().percentile(0.5) == nil)
    }
}
