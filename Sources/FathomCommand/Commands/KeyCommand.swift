import ArgumentParser
import Foundation
import Identity

/// `fathom key`.
struct KeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Makes, lists and revokes API keys.",
        subcommands: [Create.self, List.self, Revoke.self])

    /// Which file of keys.
    struct FileOptions: ParsableArguments {
        @OptionGroup var home: HomeOptions

        @Option(help: "File of keys (default: keys.json in the home).")
        var keys: String?

        /// The file; its folder is made when it is the home's and a key is to be written.
        func path(forWriting: Bool = true) throws -> String {
            if let keys { return keys }
            if forWriting { try home.directory.prepare() } else { try home.directory.checkOwner() }
            return home.directory.keyFile
        }
    }

    struct Create: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes a key and prints it; it cannot be shown again.")

        @OptionGroup var file: FileOptions
        @Option(help: "Tenant the key belongs to.")
        var tenant = DefaultKey.tenant
        @Option(help: "What the key is for.")
        var note: String?

        func run() throws {
            let key = try KeyFile.update(path: file.path()) { try $0.add(tenant: tenant, note: note) }
            Terminal.write(key.plainText + "\n")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists keys by id; the keys themselves are not kept.")

        @OptionGroup var file: FileOptions
        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let path = try file.path(forWriting: false)
            let keys = try KeyFile.load(path: path).keys
            if json {
                try Terminal.json(keys.map(Line.init))
                return
            }
            var table = TextTable(header: ["ID", "TENANT", "CREATED", "STATE", "NOTE"])
            for line in keys.map(Line.init) {
                table.add([
                    line.id, line.tenant, line.created, line.revoked.map { "revoked \($0)" } ?? "valid",
                    line.note ?? "",
                ])
            }
            Terminal.write(table.text)
            if keys.isEmpty { Terminal.note("There is no key in \(path); `fathom key create` makes one.") }
        }

        /// A key without its hash.
        private struct Line: Encodable {
            var id: String
            var tenant: String
            var created: String
            var revoked: String?
            var note: String?

            init(_ entry: KeyFile.Entry) {
                id = entry.id
                tenant = entry.tenant
                created = entry.createdAt.formatted(.iso8601)
                revoked = entry.revokedAt?.formatted(.iso8601)
                note = entry.note
            }
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revokes a key by its id; running gateways notice within a second.")

        @OptionGroup var file: FileOptions
        @Argument(help: "Id of the key, key_...")
        var id: String

        func run() throws {
            let path = try file.path()
            do {
                try KeyFile.update(path: path) { try $0.revoke(id) }
            } catch let error as IdentityError where error.code == .keyNotFound {
                throw CommandError(
                    .invalidArgument, "no key has the id \(id) in \(path); `fathom key list` shows the ids",
                    cause: error)
            }
            Terminal.note("Revoked \(id).")
        }
    }
}
