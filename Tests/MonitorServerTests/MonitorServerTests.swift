import Foundation
import Logging
import MonitorServer
import ServiceSupport
import Testing
import Wire
import WireProtocols

/// The monitor and a reporter over real sockets on loopback.
struct MonitorServerTests {
    private struct TimedOut: Error {}

    /// Asks `condition` until it gives a value. Fails after twenty seconds.
    private func eventually<Value: Sendable>(_ condition: () async throws -> Value?) async throws -> Value {
        let deadline = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < deadline {
            if let value = try await condition() { return value }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw TimedOut()
    }

    private func makeProcess(_ service: String, _ arguments: [String], port: Int = 0) throws -> ServiceProcess {
        ServiceProcess(
            try ServiceConfiguration(
                service: service,
                options: .parsing(["--log-level", "critical", "--port", "\(port)"] + arguments),
                flags: [
                    "http-host": nil as String?, "http-port": 0, "allowed-hosts": [] as [String], "interval": "200ms",
                    "max-members": nil as Int?,
                ],
                environment: [:]))
    }

    private func makeMonitor(port: Int = 0) throws -> (ServiceProcess, MonitorServer) {
        let process = try makeProcess("monitor", ["--instance", "monitor"], port: port)
        return (process, MonitorServer(try MonitorConfiguration(process.configuration), process: process))
    }

    @Test("a reporter is seen, survives a restart of the monitor, and is offline after its end")
    func reporting() async throws {
        let (firstProcess, first) = try makeMonitor()
        let storeProcess = try makeProcess("store", [])
        storeProcess.health.set(serving: true)
        storeProcess.metrics.gauge("fathom_store_documents", help: "x").set(12)

        // Tasks of their own: each must end at a moment of its own, which a group cannot do.
        let firstRun = Task { try await firstProcess.run(first.services) }
        defer { firstRun.cancel() }
        let address = try await eventually {
            firstProcess.identity.address.isEmpty ? nil : firstProcess.identity.address
        }
        let target = try WireTarget(parsing: address)
        let port = try #require(target.endpoints.first?.port)
        let reporter = MonitorReporter(
            source: storeProcess.reportSource,
            client: storeProcess.makeWireClient(target), logger: storeProcess.logger)
        let reporterRun = Task { try await reporter.run() }
        defer { reporterRun.cancel() }

        let seen = try await eventually { first.state.read { model, _ in model.members["store"] } }
        #expect(seen.total("fathom_store_documents") == 12)
        #expect(seen.health.serving)

        // The monitor goes away and another takes its place.
        firstRun.cancel()
        _ = try? await firstRun.value
        let (secondProcess, second) = try makeMonitor(port: port)
        let secondRun = Task { try await secondProcess.run(second.services) }
        defer { secondRun.cancel() }
        storeProcess.metrics.gauge("fathom_store_documents", help: "x").set(13)
        let again = try await eventually { second.state.read { model, _ in model.members["store"] } }
        #expect(again.total("fathom_store_documents") == 13)

        // GetCluster tells the same over the wire.
        let client = storeProcess.makeWireClient(target)
        let cluster = try await client.unary(
            MonitorService.getCluster, Fathom_Monitor_V1_GetClusterRequest(),
            options: CallOptions(timeout: .seconds(10)))
        #expect(cluster.members.map(\.identity.instance).sorted() == ["monitor", "store"])
        #expect(cluster.members.map(\.online) == [true, true])
        // And the health rpc is there because the process assembly put it there.
        let health = try await client.unary(
            HealthService.check, Fathom_Monitor_V1_HealthCheckRequest(),
            options: CallOptions(timeout: .seconds(10)))
        #expect(health.status == .serving)
        await client.close()

        reporterRun.cancel()
        _ = try? await reporterRun.value
        _ = try await eventually {
            second.state.read { model, now in
                model.members["store"].flatMap { $0.isOnline(now: now, limits: model.limits) ? nil : true }
            }
        }
        secondRun.cancel()
        _ = try? await secondRun.value
    }
}
