import ArgumentParser
import Foundation
import ModelTools
import Transformer

extension ModelCommand {
    struct Inspect: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows what a model is made of and what a machine needs to run it; reads headers only.")

        @Argument(help: "A GGUF file, a safetensors folder, or an installed model.", completion: .file())
        var model: String

        @Option(help: "Pipeline stages to cut the layers into.")
        var stages: Int = 1

        @Option(help: "Memory of the machine, such as 16GiB (default: this one's).")
        var memory: String?

        @Option(help: "Positions of the KV cache (default: what the model was trained for, at most 8192).")
        var context: Int?

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            guard (1...1024).contains(stages) else { throw ValidationError("--stages \(stages); expected 1...1024") }
            let path = try ModelLocation.path(model)
            let summary = try ModelSummary(path: path)
            let bytes = try memory.map(SizeText.parse) ?? Int(clamping: ProcessInfo.processInfo.physicalMemory)
            let tokens = context ?? min(8192, max(summary.contextTokens, 1))
            guard (1...100_000_000).contains(tokens) else {
                throw ValidationError("--context \(tokens); expected 1...100000000")
            }
            let report = InspectionReport(
                summary, stages: stages, memory: bytes, contextTokens: tokens, papers: try ModelPapers(path: path),
                problem: Self.problem(path, summary))
            if json { try Terminal.json(report) } else { Terminal.write(report.text) }
        }

        /// Why the engine refuses the model, by what its headers say; nil when it does not. Encoders are the store's.
        private static func problem(_ path: String, _ summary: ModelSummary) -> String? {
            guard !summary.isEncoder else { return nil }
            do {
                _ = try ModelWeights(path: path)
                return nil
            } catch {
                return ErrorText.describe(error)
            }
        }
    }
}

/// Sizes as people type them.
package enum SizeText {
    /// Bytes of `16GiB`, `500MB` or `1024`.
    ///
    /// - Throws: ``CommandError`` `invalidArgument`.
    package static func parse(_ text: String) throws -> Int {
        let digits = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        let factors: [String: Double] = [
            "": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 1024, "MIB": 1_048_576,
            "GIB": 1_073_741_824, "TIB": 1_099_511_627_776,
        ]
        let unit = text.dropFirst(digits.count).trimmingCharacters(in: .whitespaces).uppercased()
        guard let value = Double(digits), let factor = factors[unit], value > 0, value * factor < 1e18 else {
            throw CommandError(.invalidArgument, "\(text) is not a size; expected one such as 16GiB")
        }
        return Int(value * factor)
    }
}

/// A summary with what follows from it for a machine.
struct InspectionReport: Encodable {
    let model: ModelSummary
    let plan: MemoryPlan
    /// Bytes of the machine that is asked about.
    let memoryByteCount: Int
    /// Whether each stage fits into such a machine, with an eighth to spare.
    let fits: Bool
    /// Positions that one such machine can keep for the whole model; 0 when the weights do not fit.
    let longestContextTokens: Int
    /// Such machines that the model needs; nil when one layer is too large for one.
    let machinesNeeded: Int?
    /// As the model says it; nil when it does not.
    let license: String?
    let hasChatTemplate: Bool
    /// Why this engine does not run the model; nil when it does, as far as headers tell.
    let problem: String?

    init(
        _ summary: ModelSummary, stages: Int, memory: Int, contextTokens: Int, papers: ModelPapers, problem: String?
    ) {
        license = papers.license
        hasChatTemplate = papers.chatTemplate != nil
        self.problem = problem
        model = summary
        plan = MemoryPlan(summary, stages: stages, contextTokens: contextTokens)
        memoryByteCount = memory
        fits = plan.largestStageByteCount <= memory / 8 * 7
        longestContextTokens = MemoryPlan.longestContext(summary, memory: memory)
        machinesNeeded = MemoryPlan.fewestStages(summary, memory: memory, contextTokens: contextTokens)
    }

    var text: String {
        func size(_ bytes: Int) -> String { ByteText.format(Int64(bytes)) }
        var lines = [
            ("model", "\(model.name) (\(model.format), \(model.fileCount) \(model.fileCount == 1 ? "file" : "files"))"),
            ("architecture", model.architecture),
            ("layers", "\(model.layerCount), width \(model.modelWidth)"),
            ("heads", "\(model.headCount) of queries, \(model.keyValueHeadCount) of keys and values"),
            ("licence", license ?? "not stated"),
            ("vocabulary", "\(model.vocabularySize)"),
            ("context", "\(model.contextTokens) tokens"),
            ("parameters", Self.count(model.parameterCount)),
        ]
        if model.expertCount > 0 {
            lines.append(("experts", "\(model.expertCount), \(model.expertUsedCount) used for a token"))
            lines.append(("active", "\(Self.count(model.activeParameterCount)) parameters for a token"))
        }
        lines.append(("weights", size(model.weightByteCount)))
        if model.isEncoder {
            lines.append(("KV cache", "none: an encoder keeps nothing between texts"))
        } else {
            lines.append(("KV cache", "\(size(model.kvBytesPerToken)) per token (f16)"))
            lines.append(("chat template", hasChatTemplate ? "yes" : "none: it continues text, but does not chat"))
        }
        if let window = model.slidingWindow {
            lines.append(
                (
                    "windows",
                    "\(model.slidingLayerCount) of \(model.layerCount) layers see the last \(window) tokens only"
                ))
        }
        var text = lines.map { "\($0.padding(toLength: 15, withPad: " ", startingAt: 0))\($1)\n" }.joined()

        var types = TextTable(header: ["TYPE", "TENSORS", "PARAMETERS", "BYTES"])
        for type in model.types {
            types.add([type.type, "\(type.tensorCount)", "\(type.elementCount)", size(type.byteCount)])
        }
        text += "\n\(types.text)\n"
        text += model.isEncoder ? stageTable : "With a context of \(plan.contextTokens) tokens:\n" + stageTable
        if model.slidingWindow != nil {
            text += "HELD HERE: this engine keeps the whole context of every layer, also of those with a window.\n"
        }
        return text + "\n" + verdict(size(memoryByteCount)) + "\n"
    }

    /// Encoders have no cache; where layers have windows, what the model needs and what this engine keeps differ.
    private var stageTable: String {
        func size(_ bytes: Int) -> String { ByteText.format(Int64(bytes)) }
        let hasWindows = model.slidingWindow != nil
        let cache =
            model.isEncoder ? [] : hasWindows ? ["KV CACHE", "HELD HERE", "TOGETHER"] : ["KV CACHE", "TOGETHER"]
        var stages = TextTable(header: ["STAGE", "LAYERS", "WEIGHTS"] + cache)
        for (index, stage) in plan.stages.enumerated() {
            let row = ["\(index)", "\(stage.firstLayer)..<\(stage.endLayer)", size(stage.weightByteCount)]
            let kept = hasWindows ? [size(stage.keptKVByteCount)] : []
            stages.add(row + (model.isEncoder ? [] : [size(stage.kvByteCount)] + kept + [size(stage.byteCount)]))
        }
        return stages.text
    }

    private func verdict(_ memory: String) -> String {
        let stages = plan.stages.count
        if let problem { return "This engine does not run it: \(problem)" }
        if fits {
            if model.isEncoder { return "A machine with \(memory) runs it." }
            return stages == 1
                ? "A machine with \(memory) runs it, with a context of up to \(longestContextTokens) tokens."
                : "\(stages) machines with \(memory) run it."
        }
        guard let machinesNeeded else { return "A layer does not fit a machine with \(memory)." }
        return "Does not fit \(memory)\(stages == 1 ? "" : " a stage"); with \(machinesNeeded) such machines "
            + "(--stages \(machinesNeeded)) it does."
    }

    private static func count(_ value: Int) -> String {
        switch value {
        case 1_000_000_000...: String(format: "%.2f billion", Double(value) / 1e9)
        case 1_000_000...: String(format: "%.1f million", Double(value) / 1e6)
        default: "\(value)"
        }
    }
}
