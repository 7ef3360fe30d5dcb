import ArgumentParser
import Encoder
import Engine
import Foundation
import ModelRegistry

extension ModelCommand {
    /// `fathom model check`.
    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Compares models with what another engine computed from them; exit status 1 when one is too far off.",
            discussion: """
                For every expected.json, or NAME.expected.json beside NAME.gguf, under DIR the model beside it is run over
                the prompts and greedy tokens in the file. Printed are median, 90th percentile and maximum of the
                log-probabilities' differences, at each position the largest over the top entries, and how many greedy
                tokens agree.

                With --exact weights, activations and KV cache are f32, and the maximum may be 1e-4. Otherwise median and
                90th percentile must not exceed what the file says of llama.cpp or, where it says nothing, what the
                stored types warrant. Positions at which a router all but tied (their margin in the file is below MARGIN)
                are judged apart: low precision may choose another expert there.
                """)

        @Argument(help: "Folder to search, a GGUF file, or an installed model.", completion: .file())
        var model: String

        @Flag(help: "Compute in f32 throughout: slow, and as exact as f32 is.")
        var exact = false

        @Flag(help: "Print JSON.")
        var json = false

        @Option(help: "Compute threads.")
        var threads = ProcessInfo.processInfo.activeProcessorCount

        @Option(name: .customLong("router-margin"), help: "Margin below which positions are judged apart.")
        var routerMargin: Double?

        func validate() throws {
            guard (1...256).contains(threads) else { throw ValidationError("--threads \(threads); expected 1...256") }
        }

        func run() async throws {
            let place = try Self.place(model)
            let expectations = try ExpectationFile.all(in: place.directory).filter {
                place.file == nil || $0.name == place.file
            }
            guard !expectations.isEmpty else {
                throw CommandError(
                    .fileUnavailable,
                    "\(model) has no figures of another engine to compare with: there is no "
                        + (place.file ?? "expected.json or NAME.expected.json")
                        + " in \(place.directory) (docs/models.md says what is in one)")
            }
            var outcomes: [CheckOutcome] = []
            for expectation in expectations { outcomes.append(await outcome(of: expectation)) }
            try show(outcomes)
            if outcomes.contains(where: { $0.verdict == .failed }) { throw ExitCode(1) }
        }

        /// The folder to search, and the only file that counts where a GGUF file was named.
        private static func place(_ model: String) throws -> (directory: String, file: String?) {
            var isFolder: ObjCBool = false
            // A folder need not be a model: those below it are checked as well.
            if FileManager.default.fileExists(atPath: model, isDirectory: &isFolder), isFolder.boolValue {
                return (model, nil)
            }
            let url = URL(fileURLWithPath: try ModelLocation.path(model)).standardizedFileURL
            var isCheckpoint: ObjCBool = false
            if FileManager.default.fileExists(atPath: url.path, isDirectory: &isCheckpoint), isCheckpoint.boolValue {
                return (url.path, nil)
            }
            return (
                url.deletingLastPathComponent().path, url.deletingPathExtension().lastPathComponent + ".expected.json"
            )
        }

        private func outcome(of file: ExpectationFile) async -> CheckOutcome {
            var outcome = CheckOutcome(path: file.name, verdict: .failed)
            do {
                switch file.format {
                case .decoder:
                    let check = ModelCheck(threads: threads, exact: exact, routerMargin: routerMargin)
                    let report = try check.run(
                        modelPath: ModelCheck.modelPath(forExpectation: file.path),
                        expectation: CheckExpectation(path: file.path))
                    outcome.decoder = report
                    outcome.verdict = report.isWithinTolerance ? .passed : .failed
                case .encoder:
                    let check = try EncoderCheck(path: file.path)
                    guard let folder = try file.encoderFolder(sha256: check.modelSHA256) else {
                        outcome.verdict = .skipped
                        outcome.reason = "its model is neither beside it nor installed"
                        return outcome
                    }
                    let report = try await check.run(directory: folder, threads: threads)
                    outcome.encoder = report
                    outcome.verdict = report.isWithinTolerance ? .passed : .failed
                }
            } catch {
                outcome.reason = ErrorText.describe(error)
            }
            return outcome
        }

        private func show(_ outcomes: [CheckOutcome]) throws {
            if json {
                try Terminal.json(outcomes)
                return
            }
            var table = TextTable(
                header: ["FILE", "VERDICT", "MEDIAN", "P90", "MAX", "GREEDY", "NEAR TIES", "ALLOWED", "BY"])
            for outcome in outcomes { table.add(outcome.row) }
            Terminal.write(table.text)
            for outcome in outcomes {
                if let reason = outcome.reason { Terminal.note("\(outcome.path): \(reason)") }
            }
        }
    }
}

/// An expectation found under the folder.
private struct ExpectationFile {
    enum Format: String, CaseIterable {
        case decoder = "tiny-lm-oracle-1"
        case encoder = "tiny-bert-oracle-1"
    }

    let path: String
    /// The path below the folder.
    let name: String
    let format: Format

    /// In order of their names; files of other formats are left out.
    static func all(in directory: String) throws -> [ExpectationFile] {
        let manager = FileManager.default
        guard let names = manager.enumerator(atPath: directory) else {
            throw CommandError(.fileUnavailable, "\(directory) cannot be read")
        }
        return try names.compactMap { $0 as? String }.sorted().compactMap { name in
            guard name.hasSuffix("/expected.json") || name == "expected.json" || name.hasSuffix(".expected.json") else {
                return nil
            }
            let path = "\(directory)/\(name)"
            guard let data = manager.contents(atPath: path) else {
                throw CommandError(.fileUnavailable, "\(path) cannot be read")
            }
            let header: Header
            do {
                header = try JSONDecoder().decode(Header.self, from: data)
            } catch {
                throw CommandError(
                    .invalidArgument, "\(path) holds no figures of an engine: \(ErrorText.describe(error))",
                    cause: error)
            }
            return Format(rawValue: header.format).map { ExpectationFile(path: path, name: name, format: $0) }
        }
    }

    private struct Header: Decodable {
        let format: String
    }

    /// The folder of the encoder that is meant: this one, or that of an installed model with this digest.
    func encoderFolder(sha256: String?) throws -> String? {
        let own = (path as NSString).deletingLastPathComponent
        if FileManager.default.fileExists(atPath: own + "/model.safetensors") { return own }
        let registry = ModelRegistry.standard()
        let model = try registry.installed().first { model in
            model.files.contains { $0.path == "model.safetensors" && $0.sha256 == sha256 }
        }
        return model.map { registry.directory(of: $0.reference.description) }
    }
}

/// What came of one file.
private struct CheckOutcome: Encodable {
    enum Verdict: String, Encodable {
        case passed, failed, skipped
    }

    let path: String
    var verdict: Verdict
    var reason: String?
    var decoder: CheckReport?
    var encoder: EncoderCheck.Report?

    var row: [String] {
        func text(_ value: Double) -> String { String(format: "%.3g", value) }
        if let decoder {
            let (positions, ties, tolerance) = (decoder.positions, decoder.nearTies, decoder.tolerance)
            let allowed =
                tolerance.max.map { "max \(text($0))" }
                ?? "\(text(tolerance.median ?? .infinity)) / \(text(tolerance.p90 ?? .infinity))"
            let apart =
                tolerance.routerMargin == 0
                ? "-" : "\(ties.count) < \(text(tolerance.routerMargin)): max \(text(ties.max))"
            return [
                path, verdict.rawValue, text(positions.median), text(positions.p90), text(positions.max),
                "\(decoder.greedyAgreeing)/\(decoder.greedyCount)", apart, allowed, tolerance.source,
            ]
        }
        if let encoder {
            let words = encoder.otherTokens == 0 ? "f32" : "\(encoder.otherTokens) texts with other tokens"
            return [
                path, verdict.rawValue, "-", "-", text(encoder.maxDifference), "-", "-",
                "max \(text(encoder.tolerance))",
                words,
            ]
        }
        return [path, verdict.rawValue, "-", "-", "-", "-", "-", "-", "-"]
    }
}
