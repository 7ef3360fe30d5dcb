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
                manifest: manifest, summary: try ModelSummary(path: path), papers: try ModelPapers(path: path),
                quantization: QuantizationNote(about: path),
                evaluation: try Self.results(evaluation ?? folder + "/evaluation.json", isRequired: evaluation != nil))
            Terminal.write(card.text)
        }

        private static func results(_ path: String, isRequired: Bool) throws -> [(task: String, result: String)] {
            guard FileManager.default.fileExists(atPath: path) || isRequired else { return [] }
            guard let data = FileManager.default.contents(atPath: path), data.count <= 16 << 20,
                let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
            else {
                throw CommandError(
                    .invalidArgument,
                    FileManager.default.fileExists(atPath: path)
                        ? "\(path) holds no evaluation: expected a JSON object from tasks to numbers"
                        : "the evaluation \(path) is not there")
            }
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
    let papers: ModelPapers
    /// What quantising cost, where that was noted.
    let quantization: QuantizationNote?
    let evaluation: [(task: String, result: String)]

    var text: String {
        var facts: [(String, String)] = [
            ("Source", sources.map { "`\($0)`" }.joined(separator: ", ")), ("Licence", license),
            ("Kind", manifest.kind.rawValue),
            ("Architecture", summary.architecture),
            ("Parameters", "\(summary.parameterCount)"), ("Layers", "\(summary.layerCount)"),
            ("Context", "\(summary.contextTokens) tokens"), ("Vocabulary", "\(summary.vocabularySize)"),
            ("Weights", ByteText.format(Int64(summary.weightByteCount))),
            ("KV cache", cache),
            ("Types", summary.types.map { "\($0.type) (\($0.tensorCount))" }.joined(separator: ", ")),
            ("Quantisation", loss), ("Chat template", papers.chatTemplate == nil ? "none" : "below"),
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
        text +=
            evaluation.isEmpty
            ? "No results are recorded.\n"
            : "| task | result |\n|---|---|\n"
                + evaluation.map { "| \(Self.cell($0.task)) | \(Self.cell($0.result)) |\n" }.joined()
        guard let template = papers.chatTemplate else { return text }
        let fence = Self.fence(around: template)
        return text
            + "\n## Chat template\n\n\(fence)jinja\n\(template)\(template.hasSuffix("\n") ? "" : "\n")\(fence)\n"
    }

    /// Where the files came from: of several packages all, also where an older manifest names the first only.
    private var sources: [String] {
        [manifest.source] + (manifest.furtherSources ?? ModelCatalogue.recipe(of: manifest)?.furtherSources ?? [])
    }

    private var license: String {
        papers.license ?? ModelCatalogue.recipe(of: manifest)?.license
            ?? "not stated by the files; see where the model was published"
    }

    private var cache: String {
        guard !summary.isEncoder else { return "none" }
        let perToken = "\(ByteText.format(Int64(summary.kvBytesPerToken))) per token"
        return perToken
            + (summary.slidingWindow.map {
                ", \(summary.slidingLayerCount) of \(summary.layerCount) layers see the last \($0) only"
            } ?? "")
    }

    /// Bits for each weight, and what quantising cost where that is known.
    private var loss: String {
        let bits = String(
            format: "%.1f bits per weight", 8 * Double(summary.weightByteCount) / Double(summary.parameterCount))
        guard summary.isQuantized else { return "none (\(bits))" }
        guard let note = quantization else { return "\(bits); what it cost is not recorded" }
        var text =
            "\(bits); \(note.type) of \(note.source), relative error of the weights "
            + String(format: "%.3f %%", 100 * note.relativeError)
        if let before = note.perplexityBefore, let after = note.perplexityAfter, let tokens = note.perplexityTokenCount
        {
            text += String(
                format: ", perplexity %.3f before and %.3f after (%+.2f %%) over %d tokens", before, after,
                100 * (after / before - 1), tokens)
        }
        return text
    }

    /// Longer than any run of backticks in the text.
    private static func fence(around text: String) -> String {
        var longest = 0
        var run = 0
        for character in text.utf8 {
            run = character == UInt8(ascii: "`") ? run + 1 : 0
            longest = max(longest, run)
        }
        return String(repeating: "`", count: max(3, longest + 1))
    }

    /// Text that cannot end a table's cell or line.
    private static func cell(_ text: String) -> String {
        String(text.map { $0.isNewline ? " " : $0 }).replacingOccurrences(of: "|", with: "\\|")
    }
}
