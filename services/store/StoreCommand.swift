import ArgumentParser
import ServiceSupport
import StoreServer

@main
struct StoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fathom-store",
        abstract: "Keeps the documents of a Fathom cluster, searches them and makes embeddings.",
        version: FathomVersion.current)

    @OptionGroup var common: CommonOptions

    @Option(help: "Directory in which documents are kept.")
    var data: String?

    @Option(help: "Directory of the sentence encoder, all-minilm-l6-v2.")
    var encoder: String?

    @Option(help: "Threads of the encoder (default: the processors, at most 8).")
    var threads: Int?

    func run() async throws {
        try await ServiceRunner.main(
            "store", options: common, flags: ["data": data, "encoder": encoder, "threads": threads],
            fileOnlyKeys: StoreServerConfiguration.fileOnlyKeys, defaultPort: StoreServerConfiguration.defaultPort,
            describe: { _ = try StoreServerConfiguration($0) }
        ) { process in
            try StoreServer(StoreServerConfiguration(process.configuration), process: process).services
        }
    }
}
