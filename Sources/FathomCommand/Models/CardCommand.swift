import ArgumentParser
import Foundation
import ModelRegistry
import ModelTools

extension ModelCommand {
    struct Card: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes a model card in Markdown from manifest, headers and evaluation results.")

        @Argument(help: "Installed model, or a folder with a \(ModelManifest.fileName).")
        var model: String

        @Option(
            help:
                "Evaluation results: JSON, an object from tasks to numbers or to objects of numbers (default: evaluation.json in the folder).",
            completion: .file())
        var evaluation: String?

        func run() throws {
            let folder = try ModelLocation.folder(model)
            let manifest = try ModelManifest.load(path: folder + "/" + ModelManifest.fileName)
            let path = manifest.modelPath(in: folder)
            let card = ModelCard(
                manifest: manifest, summary: try ModelSummary(path: path),
                evaluation: try Self.results(evaluation ?? folder + "/evaluation.json", isRequired: evaluation != nil))
            Terminal.write(card.text)
        }

        private static func results(_ path: String, isRequired: Bool) throws -> [(task: String, result: String)] {
            guard FileManager.default.fileExists(atPath: path) || isRequired else { return [] }
            guard let data = FileManager.default.contents(atPath: path), data.count <= 16 << 20,
                let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
            else { throw CommandError(.invalidArgument, "\(path): expected a JSON object") }
            return object.sorted { $0.key < $1.key }.flatMap { task, value -> [(String, String)] in
                if let parts = value as? [String: Any] {
                    return parts.sorted { $0.key < $1.key }.map { ("\(task) / \($0.key)", "\($0.value)") }
                }
                return [(task, "\(value)")]
            }
        }
    }
}

extension ModelManifest {
    /// The GGUF file, or the folder of safetensors.
    func modelPath(in folder: String) -> String {
        files.map(\.path).sorted().first { $0.hasSuffix(".gguf") }.map { "\(folder)/\($0)" } ?? folder
    }
}

/// A model card.
struct ModelCard {
    let manifest: ModelManifest
    let summary: ModelSummary
    let evaluation: [(task: String, result: String)]

    var text: String {
        var facts: [(String, String)] = [
            ("Source", "`\(manifest.source)`"), ("Kind", manifest.kind.rawValue),
            ("Architecture", summary.architecture),
            ("Parameters", "\(summary.parameterCount)"), ("Layers", "\(summary.layerCount)"),
            ("Context", "\(summary.contextTokens) tokens"), ("Vocabulary", "\(summary.vocabularySize)"),
            ("Weights", ByteText.format(Int64(summary.weightByteCount))),
            ("KV cache", "\(ByteText.format(Int64(summary.kvBytesPerToken))) per token"),
            ("Types", summary.types.map { "\($0.type) (\($0.tensorCount))" }.joined(separator: ", ")),
            ("Signed", manifest.signature.map { "Ed25519, `\($0.publicKey)`" } ?? "no"),
        ]
        if summary.expertCount > 0 {
            facts.insert(("Experts", "\(summary.expertCount), \(summary.expertUsedCount) used for a token"), at: 4)
        }
        var text = "# \(manifest.reference)\n\n| | |\n|---|---|\n"
        text += facts.map { "| \($0) | \(Self.cell($1)) |\n" }.joined()
        text += "\n## Files\n\n| file | bytes | SHA-256 |\n|---|---|---|\n"
        text += manifest.files.map { "| `\(Self.cell($0.path))` | \($0.size) | `\($0.sha256)` |\n" }.joined()
        text += "\n## Evaluation\n\n"
        guard !evaluation.isEmpty else { return text + "No results are recorded.\n" }
        return text + "| task | result |\n|---|---|\n"
            + evaluation.map { "| \(Self.cell($0.task)) | \(Self.cell($0.result)) |\n" }.joined()
    }

    /// Text that cannot end a table's cell or line.
    private static func cell(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 }).replacingOccurrences(of: "|", with: "\\|")
    }
}
