import ArgumentParser
import Foundation
import ModelRegistry
import ModelTools

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

extension ModelCommand {
    struct Quantize: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes a model as a smaller GGUF file and says what that costs.",
            discussion: """
                SOURCE is a GGUF file of any type, a safetensors folder, or an installed model. The file is one that
                llama.cpp loads as well. Its size is said before it is written. Perplexity before and after is measured
                where this engine can run the model. OUTPUT.quantization.json keeps the figures for `import` and `card`.
                """)

        @Argument(help: "The model.", completion: .file())
        var source: String

        @Option(help: "Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0, BF16, F16 or F32.")
        var type: String

        @OptionGroup var output: OutputOptions

        @Option(help: "Text to measure perplexity on (default: a short one that is built in).", completion: .file())
        var text: String?

        @Flag(help: "Do not measure perplexity.")
        var noPerplexity = false

        @Flag(help: "Print the report as JSON.")
        var json = false

        func run() throws {
            let target = try QuantizationTarget.parse(type)
            let path = try ModelLocation.path(source)
            let report = try output.write(path, as: target) { forecast in
                Terminal.note(Self.announcement(forecast, target))
                guard forecast.isLossForNothing, !output.force else { return }
                throw CommandError(
                    .invalidArgument,
                    "not written: \(source) is quantised already (\(forecast.quantizedSourceTypes.joined(separator: ", "))), "
                        + "and as \(target.rawValue) it would be no smaller and less precise. Start from the published "
                        + "weights, choose a smaller type, or write it all the same with --force.")
            }
            var perplexity: PerplexityChange?
            if !noPerplexity {
                do {
                    perplexity = try PerplexityChange(
                        source: path, result: output.output, text: text.map(Self.read) ?? PerplexityChange.builtInText)
                } catch {
                    Terminal.note("perplexity was not measured: \(ErrorText.describe(error))")
                }
            }
            let result = QuantizationResult(weights: report, perplexity: perplexity)
            try QuantizationNote(source: source, target: target, result: result, output: output.output).write()
            if json { try Terminal.json(result) } else { Terminal.write(result.text) }
        }

        /// What is about to be written, and what speaks against it.
        private static func announcement(_ forecast: ModelQuantizer.Forecast, _ target: QuantizationTarget) -> String {
            func size(_ bytes: Int) -> String { ByteText.format(Int64(bytes)) }
            let share = Double(forecast.byteCount) / Double(max(forecast.sourceByteCount, 1))
            let sizes =
                "\(size(forecast.sourceByteCount)) become \(size(forecast.byteCount)) as \(target.rawValue) "
                + String(format: "(%.0f %%)", 100 * share)
            guard !forecast.quantizedSourceTypes.isEmpty else { return sizes }
            return sizes
                + "\nWarning: the source is quantised already (\(forecast.quantizedSourceTypes.joined(separator: ", ")));"
                + " its values are rounded a second time, and the errors add up."
        }

        private static func read(_ path: String) throws -> String {
            guard let data = FileManager.default.contents(atPath: path) else {
                throw CommandError(.fileUnavailable, "the text \(path) cannot be read")
            }
            guard data.count <= 64 << 20 else {
                throw CommandError(
                    .invalidArgument, "the text \(path) has \(data.count) bytes, at most \(64 << 20) are read")
            }
            return String(decoding: data, as: UTF8.self)
        }
    }

    struct Convert: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes a safetensors folder as a GGUF file, with its tokeniser and chat template.")

        @Argument(
            help: "Folder with config.json, safetensors and tokenizer.json, or an installed model.", completion: .file()
        )
        var source: String

        @Option(help: "Type of the matrices: F16, BF16, F32, or one of `quantize`.")
        var type: String = QuantizationTarget.f16.rawValue

        @OptionGroup var output: OutputOptions

        func run() throws {
            let report = try output.write(ModelLocation.path(source), as: QuantizationTarget.parse(type))
            // What an earlier file of this name lost says nothing about this one.
            unlink(QuantizationRecord.path(beside: output.output))
            Terminal.note(
                "wrote \(output.output), \(report.parameterCount) parameters, \(ByteText.format(Int64(report.byteCount)))"
            )
        }
    }

    /// Where a GGUF file goes.
    struct OutputOptions: ParsableArguments {
        @Option(help: "The GGUF file to write.", completion: .file())
        var output: String

        @Flag(help: "Replace the file if it is there; quantise also where the result is no smaller and less precise.")
        var force = false

        @Option(help: "llama.cpp's name of the pre-tokeniser, where it cannot be told from tokenizer.json.")
        var preTokenizer: String?

        /// - Parameter check: sees what is about to be written; throws to leave it.
        func write(
            _ source: String, as target: QuantizationTarget,
            check: (ModelQuantizer.Forecast) throws -> Void = { _ in }
        ) throws -> ModelQuantizer.Report {
            guard force || !FileManager.default.fileExists(atPath: output) else {
                throw CommandError(.invalidArgument, "\(output) is there already; --force replaces it")
            }
            let plan = try ModelPlan.read(path: source, preTokenizer: preTokenizer)
            let quantizer = ModelQuantizer(plan, target: target)
            try check(quantizer.forecast())
            defer { Terminal.endProgress() }
            return try quantizer.write(to: output) { share in
                Terminal.progress("\(output)  \(Int(100 * share)) %")
            }
        }
    }
}

extension QuantizationTarget {
    /// - Throws: `ValidationError` for another word.
    static func parse(_ text: String) throws -> QuantizationTarget {
        guard let target = allCases.first(where: { $0.rawValue.lowercased() == text.lowercased() }) else {
            throw ValidationError("--type \(text); expected one of \(allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return target
    }
}

/// What `quantize` prints.
struct QuantizationResult: Encodable {
    let weights: ModelQuantizer.Report
    let perplexity: PerplexityChange?

    var text: String {
        var table = TextTable(header: ["TENSORS", "TYPES", "PARAMETERS", "BYTES", "RELATIVE ERROR (RMSE)"])
        for part in weights.classes {
            table.add([
                part.name, part.types.joined(separator: "+"), "\(part.elementCount)",
                ByteText.format(Int64(part.byteCount)), Self.percent(part.relativeError),
            ])
        }
        table.add([
            "all", "", "\(weights.parameterCount)", ByteText.format(Int64(weights.byteCount)),
            Self.percent(weights.relativeError),
        ])
        guard let perplexity else { return table.text }
        let change = perplexity.after / perplexity.before - 1
        return table.text
            + String(
                format: "\nPerplexity over %d tokens: %.4f before, %.4f after (%+.3f %%)\n", perplexity.tokenCount,
                perplexity.before, perplexity.after, 100 * change)
    }

    private static func percent(_ value: Double) -> String { String(format: "%.4f %%", 100 * value) }
}

/// What stays beside a quantised file: where it came from and what that cost.
struct QuantizationNote: Codable {
    var source: String
    var type: String
    /// Bytes of the file that this is about; another one of its name has other figures.
    var fileByteCount: Int
    /// Root mean square error of the weights relative to the source's.
    var relativeError: Double
    var perplexityBefore: Double?
    var perplexityAfter: Double?
    var perplexityTokenCount: Int?

    /// Not part of the file.
    private var path = ""

    private enum CodingKeys: String, CodingKey {
        case source, type, fileByteCount, relativeError, perplexityBefore, perplexityAfter, perplexityTokenCount
    }

    init(source: String, target: QuantizationTarget, result: QuantizationResult, output: String) {
        self.source = URL(fileURLWithPath: source).lastPathComponent
        type = target.rawValue
        fileByteCount = Self.size(output)
        relativeError = result.weights.relativeError
        perplexityBefore = result.perplexity?.before
        perplexityAfter = result.perplexity?.after
        perplexityTokenCount = result.perplexity?.tokenCount
        path = QuantizationRecord.path(beside: output)
    }

    /// The note about the model file, in its folder or beside it; nil when there is none about this very file.
    init?(about model: String) {
        guard model.hasSuffix(".gguf") else { return nil }
        let folder = URL(fileURLWithPath: model).deletingLastPathComponent().path
        let paths = [folder + "/" + QuantizationRecord.fileName, QuantizationRecord.path(beside: model)]
        guard let note = paths.lazy.compactMap({ AtomicFile.read(Self.self, from: $0) }).first,
            note.fileByteCount == Self.size(model)
        else { return nil }
        self = note
    }

    func write() throws { try AtomicFile.write(json: self, to: path, mode: 0o644) }

    private static func size(_ path: String) -> Int {
        ((try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? NSNumber)?.intValue ?? 0
    }
}
