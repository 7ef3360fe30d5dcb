import MonitorServer
import Testing

struct AllowedHostsTests {
    @Test("on loopback only its names, the address and what was configured are ours")
    func loopback() {
        let hosts = AllowedHosts(boundHost: "127.0.0.1", names: ["Monitor.Example.com"])
        for host in [
            "localhost", "localhost:7301", "LOCALHOST", "127.0.0.1", "127.0.0.1:7301", "[::1]", "[::1]:7301",
            "monitor.example.com", "MONITOR.example.com.:80",
        ] {
            #expect(hosts.allows(host), "\(host)")
        }
        for host in [
            "rebound.example.com", "rebound.example.com:7301", "10.0.0.5", "localhost.example.com", "example.com", "",
            ":7301", "[::1", "localhost:7301:1", "localhost:http", "127.0.0.1.example.com", "user@localhost",
        ] {
            #expect(!hosts.allows(host), "\(host)")
        }
        // Only clients of HTTP/1.0 send none, and no browser is one.
        #expect(hosts.allows(nil))
    }

    @Test("on every interface an address is ours, a name is not", arguments: ["0.0.0.0", "::"])
    func wildcard(bound: String) {
        let hosts = AllowedHosts(boundHost: bound, names: [])
        for host in ["10.0.0.5:7301", "[fd00::5]:7301", "localhost"] { #expect(hosts.allows(host), "\(host)") }
        for host in ["rebound.example.com", "10.0.0.5.example.com", "10.0.0"] {
            #expect(!hosts.allows(host), "\(host)")
        }
    }
}
