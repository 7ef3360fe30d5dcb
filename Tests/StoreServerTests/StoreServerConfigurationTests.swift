import DocumentStore
import Foundation
import ServiceSupport
import StoreServer
import Testing

struct StoreServerConfigurationTests {
    private func configuration(
        _ flags: ServiceFlags, environment: [String: String] = [:]
    ) throws -> StoreServerConfiguration {
        try StoreServerConfiguration(
            ServiceConfiguration(
                service: "store", options: .parsing([]), flags: flags,
                fileOnlyKeys: StoreServerConfiguration.fileOnlyKeys, environment: environment))
    }

    @Test("flags and environment set the configuration, the rest has its documented default")
    func values() throws {
        let settings = try configuration(
            ["data": "/d", "encoder": "/e", "threads": 3], environment: ["FATHOM_STORE_MAX_FILE_MEGABYTES": "5"])
        #expect(settings.store.directory == "/d" && settings.encoderDirectory == "/e" && settings.threads == 3)
        #expect(settings.store.maxFileBytes == 5 << 20)
        #expect(settings.store.maxFilesPerTenant == 10_000 && settings.store.maxChunksPerFile == 50_000)
    }

    @Test("a missing directory and impossible numbers are errors that name the setting")
    func errors() {
        let missing = #expect(throws: ConfigurationError.self) {
            try configuration(["data": nil, "encoder": "/e", "threads": nil])
        }
        #expect(missing?.message.contains("--data") == true)
        let threads = #expect(throws: ConfigurationError.self) {
            try configuration(["data": "/d", "encoder": "/e", "threads": 0])
        }
        #expect(threads?.message.contains("--threads") == true)
    }

    @Test("the commented configuration file in services/store is accepted and holds the defaults")
    func referenceFile() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../services/store/store.yaml").standardizedFileURL.path
        let settings = try ServiceConfiguration(
            service: "store", options: .parsing(["--config", path]),
            flags: ["data": "/d", "encoder": "/e", "threads": nil], fileOnlyKeys: StoreServerConfiguration.fileOnlyKeys,
            defaultPort: 1, environment: [:])
        #expect(settings.common.port == StoreServerConfiguration.defaultPort)
        let fromFile = try StoreServerConfiguration(settings)
        let defaults = try configuration(["data": "/d", "encoder": "/e", "threads": nil])
        #expect("\(fromFile)" == "\(defaults)")
    }
}
