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
                    model.signature == nil ? "no" : "yes",
                    Self.source(
                        model.source, model.furtherSources ?? ModelCatalogue.recipe(of: model)?.furtherSources ?? []),
                ])
            }
            for (alias, target) in try registry.aliases().sorted(by: { $0.key < $1.key }) {
                table.add([alias, "alias", "", "", "-> \(target)"])
            }
            for recipe in ModelCatalogue.recipes where !installed.contains(where: { $0.name == recipe.name }) {
                table.add([
                    recipe.name, recipe.kind.rawValue, "not installed", "",
                    Self.source(recipe.source.description, recipe.furtherSources),
                ])
            }
            Terminal.write(table.text)
        }

        /// The first source, and how many more there are; `card` names them.
        private static func source(_ first: String, _ further: [String]) -> String {
            further.isEmpty ? first : "\(first) and \(further.count) more"
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
                GGUF model any part stands for all. Links are followed inside the folder, and from a snapshot of a hub's
                cache to its blobs; others are refused unless --follow-links says that they are meant.
                """)

        @Argument(
            help: "A safetensors folder, a GGUF file, or an installed model (for another name or version).",
            completion: .file())
        var source: String

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

        @Flag(help: "Follow links out of the folder as well.")
        var followLinks = false

        func run() throws {
            let registry = ModelRegistry.standard()
            let path = try ModelLocation.path(source, registry: registry)
            let summary = try ModelSummary(path: path)
            let kind =
                try kind.map { try ModelKind.parse($0) }
                ?? (summary.architecture == "bert" ? .embedding : .textGeneration)
            let name = name ?? fallbackName(path)
            guard let reference = ModelReference(name + (version.map { ":\($0)" } ?? "")) else {
                throw ValidationError("\(name) is not a model name, choose one with --name: \(ModelName.rule)")
            }
            // A folder comes whole, with licence and notes, and so does an installed model, which keeps its origin.
            let isPath = FileManager.default.fileExists(atPath: source)
            let manifest = try registry.importModel(
                ModelImport(
                    path: isPath ? source : registry.directory(of: source), reference: reference, kind: kind,
                    copies: copy, replaces: replace, followsLinks: followLinks,
                    origin: isPath ? nil : try registry.manifest(of: source)))
            Terminal.note(
                "imported \(manifest.reference), \(manifest.files.count) files, \(ByteText.format(manifest.byteCount))")
        }

        /// The installed model's name; of a hub's cache the repository's; else the file's or the folder's, and a file that
        /// is called `model.gguf` has its folder's.
        private func fallbackName(_ path: String) -> String {
            if !FileManager.default.fileExists(atPath: source), let reference = ModelReference(source) {
                return reference.name
            }
            let parts = URL(fileURLWithPath: path).standardizedFileURL.pathComponents
            if let place = parts.lastIndex(of: "snapshots"), place > 0, parts[place - 1].hasPrefix("models--"),
                let name = parts[place - 1].components(separatedBy: "--").last
            {
                return name.lowercased()
            }
            guard let last = parts.last, last.hasSuffix(".gguf") else { return parts.last ?? path }
            let stem = String(last.dropLast(".gguf".count))
            return stem == "model" && parts.count > 1 ? parts[parts.count - 2] : stem
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
