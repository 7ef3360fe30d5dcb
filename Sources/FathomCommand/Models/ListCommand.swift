import ArgumentParser
import Foundation
import ModelRegistry
import ModelTools

extension ModelCommand {
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lists installed models, aliases, and the rest of the catalogue.")

        @Flag(help: "Print JSON: the manifests of the installed models.")
        var json = false

        func run() throws {
            let registry = ModelRegistry.standard()
            let installed = try registry.installed()
            if json {
                try Terminal.json(installed)
                return
            }
            var table = TextTable(header: ["NAME", "KIND", "SIZE", "SIGNED", "SOURCE"])
            for model in installed {
                table.add([
                    model.reference.description, model.kind.rawValue, ByteText.format(model.byteCount),
                    model.signature == nil ? "no" : "yes", model.source,
                ])
            }
            for (alias, target) in try registry.aliases().sorted(by: { $0.key < $1.key }) {
                table.add([alias, "alias", "", "", "-> \(target)"])
            }
            for recipe in ModelCatalogue.recipes where !installed.contains(where: { $0.name == recipe.name }) {
                table.add([recipe.name, recipe.kind.rawValue, "not installed", "", recipe.source.description])
            }
            Terminal.write(table.text)
        }
    }

    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm", abstract: "Removes an installed model and the aliases that stand for it.")

        @Argument(help: "NAME, NAME:VERSION or an alias.")
        var model: String

        func run() throws {
            for alias in try ModelRegistry.standard().remove(model) { Terminal.note("removed alias \(alias)") }
            Terminal.note("removed \(model)")
        }
    }

    struct Alias: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Gives an installed model another name; without a target, removes it.")

        @Argument(help: "The other name.")
        var name: String

        @Argument(help: "NAME, NAME:VERSION or another alias.")
        var target: String?

        func run() throws {
            let registry = ModelRegistry.standard()
            guard let target else { return try registry.removeAlias(name) }
            try registry.setAlias(name, to: target)
        }
    }

    struct Import: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Brings a model that is on this machine into the registry.",
            discussion: """
                Files are hard links where the file systems allow it, else copies; the source is not changed. Of a split
                GGUF model any part stands for all.
                """)

        @Argument(help: "A safetensors folder, or a GGUF file.", completion: .file())
        var path: String

        @Option(help: "Name to install under (default: from the path).")
        var name: String?

        @Option(help: "Version; several of one name can be installed.")
        var version: String?

        @Option(help: "text-generation or embedding (default: by the architecture).")
        var kind: String?

        @Flag(help: "Copy also where a hard link would do.")
        var copy = false

        @Flag(help: "Take the place of an installed model of this name and version.")
        var replace = false

        func run() throws {
            let summary = try ModelSummary(path: path)
            let kind =
                try kind.map { try ModelKind.parse($0) }
                ?? (summary.architecture == "bert" ? .embedding : .textGeneration)
            let url = URL(fileURLWithPath: path).standardizedFileURL
            let fallback =
                url.pathExtension == "gguf" ? url.deletingPathExtension().lastPathComponent : url.lastPathComponent
            guard let reference = ModelReference((name ?? fallback) + (version.map { ":\($0)" } ?? "")) else {
                throw ValidationError("\(name ?? fallback) is not a model name; choose one with --name")
            }
            let manifest = try ModelRegistry.standard().importModel(
                ModelImport(path: path, reference: reference, kind: kind, copies: copy, replaces: replace))
            Terminal.note(
                "imported \(manifest.reference), \(manifest.files.count) files, \(ByteText.format(manifest.byteCount))")
        }
    }
}

extension ModelKind {
    /// - Throws: `ValidationError` for another word.
    static func parse(_ text: String) throws -> ModelKind {
        guard let kind = ModelKind(rawValue: text) else {
            throw ValidationError(
                "--kind \(text); expected \(ModelKind.allCases.map(\.rawValue).joined(separator: " or "))")
        }
        return kind
    }
}
