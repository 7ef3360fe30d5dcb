import ArgumentParser
import Foundation
import ModelTools

extension ModelCommand {
    struct Quantize: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes a model as a smaller GGUF file and says what that costs.",
            discussion: """
                SOURCE is a GGUF file of any type, a safetensors folder, or an installed model. The file is one that
                llama.cpp loads as well. Perplexity before and after is measured where this engine can run the model.
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
            let report = try output.write(path, as: target)
            var perplexity: PerplexityChange?
            if !noPerplexity {
                do {
                    perplexity = try PerplexityChange(
                        source: path, result: output.output, text: text.map(Self.read) ?? PerplexityChange.builtInText)
                } catch {
                    Terminal.note("perplexity was not measured: \(error)")
                }
            }
            let result = QuantizationResult(weights: report, perplexity: perplexity)
            if json { try Terminal.json(result) } else { Terminal.write(result.text) }
        }

        private static func read(_ path: String) throws -> String {
            guard let data = FileManager.default.contents(atPath: path), data.count <= 64 << 20 else {
                throw CommandError(.fileUnavailable, "\(path): cannot read a text")
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
            Terminal.note(
                "wrote \(output.output), \(report.parameterCount) parameters, \(ByteText.format(Int64(report.byteCount)))"
            )
        }
    }

    /// Where a GGUF file goes.
    struct OutputOptions: ParsableArguments {
        @Option(help: "The GGUF file to write.", completion: .file())
        var output: String

        @Flag(help: "Replace the file if it is there.")
        var force = false

        @Option(help: "llama.cpp's name of the pre-tokeniser, where it cannot be told from tokenizer.json.")
        var preTokenizer: String?

        func write(_ source: String, as target: QuantizationTarget) throws -> ModelQuantizer.Report {
            guard force || !FileManager.default.fileExists(atPath: output) else {
                throw CommandError(.invalidArgument, "\(output) is there already; --force replaces it")
            }
            let plan = try ModelPlan.read(path: source, preTokenizer: preTokenizer)
            defer { Terminal.endProgress() }
            return try ModelQuantizer(plan, target: target).write(to: output) { share in
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
