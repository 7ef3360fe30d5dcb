import Engine
import Foundation
import InferenceCore
import Kernels
import ModelFiles
import ModelRegistry
import ServiceSupport
import Wire

/// Start-time settings of one shard process. Configuration keys are those of `services/shard/shard.yaml`.
package struct ShardConfiguration: Sendable {
    /// Keys besides the common ones.
    package static let keys = [
        "model", "model-name", "memory-budget", "stage", "stages", "layers", "next", "threads", "kv-blocks", "kv-type",
        "max-batched-tokens", "max-running", "max-waiting", "prefix-cache", "draft-tokens",
        "prefill-share", "step-timeout", "relink-timeout", "verify-models", "verify-key",
    ]

    /// Most models of one process.
    package static let maxModelCount = 64

    /// At least one. The first is loaded at the start, the others when they are asked for.
    package var models: [ModelSpecification]
    /// What loaded models may take together: weights, KV cache and buffers; nil: no bound.
    package var memoryBudget: Int?
    /// This process's place in the pipeline, 0 is the head.
    package var stageIndex: Int
    package var stageCount: Int
    /// nil: by weight bytes.
    package var layers: Range<Int>?
    /// The next stage; nil on the last.
    package var next: WireTarget?
    /// Compute threads.
    package var threads: Int
    /// nil: from a memory budget.
    package var kvBlockCount: Int?
    /// How the KV cache holds numbers; the same on all stages.
    package var kvType: KeyValueType
    package var maxBatchedTokens: Int
    package var maxRunningSequences: Int
    package var maxWaitingSequences: Int
    /// Whether requests of one tenant share the KV of common prefixes.
    package var reusesPrefixes: Bool
    /// Most guessed tokens of one step; 0 turns speculative decoding off.
    package var maxDraftTokens: Int
    /// How long a prompt's chunk may take, in decode steps, while sequences decode; nil: as long as it takes.
    package var prefillShare: Double?
    /// A step that the next stages do not answer for this long fails the epoch.
    package var stepTimeout: Duration
    /// How long sequences in flight wait for a lost link to come back; zero: they fail at once.
    package var relinkTimeout: Duration
    /// What model files must prove before they are loaded.
    package var verification: ModelVerification

    /// Reads and checks the settings.
    ///
    /// - Throws: `ConfigurationError` naming the setting, its value and what is expected.
    package init(_ settings: ServiceConfiguration) throws {
        models = try Self.models(settings)
        memoryBudget = try Self.memoryBudget(settings)
        stageCount = try settings.int("stages", default: 1, in: 1...64)
        stageIndex = try settings.int("stage", default: 0, in: 0...63)
        guard stageIndex < stageCount else {
            throw settings.invalid("stage", expected: "a whole number in 0...\(stageCount - 1)")
        }
        next = try settings.target("next")
        threads = try settings.int(
            "threads", default: min(max(1, ProcessInfo.processInfo.activeProcessorCount), 256), in: 1...256)
        kvBlockCount = try settings.int("kv-blocks", in: 1...(1 << 24))
        kvType = try settings.choice("kv-type", default: .f16)
        maxBatchedTokens = try settings.int("max-batched-tokens", default: 512, in: 1...(1 << 20))
        maxRunningSequences = try settings.int("max-running", default: 64, in: 1...4_096)
        maxWaitingSequences = try settings.int("max-waiting", default: 256, in: 1...65_536)
        reusesPrefixes = try settings.bool("prefix-cache", default: true)
        maxDraftTokens = try settings.int(
            "draft-tokens", default: EngineConfiguration.defaultMaxDraftTokens, in: 0...256)
        let share = try settings.double(
            "prefill-share", default: EngineConfiguration.defaultPrefillShare, in: 0...1_000_000)
        prefillShare = share == 0 ? nil : share
        stepTimeout = try settings.duration(
            "step-timeout", default: .seconds(10), in: .milliseconds(10)...(.seconds(600)))
        relinkTimeout = try settings.duration(
            "relink-timeout", default: EngineConfiguration.defaultRelinkTimeout, in: .zero...(.seconds(600)))
        verification = try Self.verification(settings)
        layers = try Self.layers(settings)
        if layers != nil, models.count > 1 {
            throw settings.invalid("layers", expected: "nothing: it cannot fit each of \(models.count) models")
        }

        let isLast = stageIndex == stageCount - 1
        if isLast, next != nil {
            throw settings.invalid("next", expected: "nothing: stage \(stageIndex) of \(stageCount) is the last")
        }
        if !isLast, next == nil {
            throw ConfigurationError(
                .missingValue, "--next is needed: stage \(stageIndex) of \(stageCount) has a stage after it")
        }
    }

    /// Models as MODEL or NAME=MODEL, where MODEL is a path or what the registry knows: a name, `name:version` or an
    /// alias. See `ModelArgument` for what is a name.
    private static func models(_ settings: ServiceConfiguration) throws -> [ModelSpecification] {
        let texts = try settings.strings("model")
        guard !texts.isEmpty else {
            _ = try settings.requiredString(
                "model", hint: "the GGUF file or safetensors folder to serve, or several as NAME=PATH")
            return []
        }
        let modelName = try settings.string("model-name")
        if modelName != nil, texts.count > 1 {
            throw settings.invalid("model-name", expected: "nothing: with several models, name each as NAME=PATH")
        }
        let models = texts.map { text in
            var (name, path) = (modelName ?? "", text)
            let argument = ModelArgument(text)
            if let given = argument.name, name.isEmpty { name = given }
            path = argument.model
            if let installed = Self.installedModel(path) {
                if name.isEmpty { name = path }
                path = installed
            }
            if name.isEmpty { name = Self.folderName(of: path) }
            return ModelSpecification(name: name, path: path)
        }
        guard models.count <= maxModelCount, models.allSatisfy({ !$0.path.isEmpty }) else {
            throw ConfigurationError(
                .invalidValue,
                "--model: got \(models.count) models, expected at most \(maxModelCount), each with a path")
        }
        if let twice = models.map(\.name).duplicate {
            throw ConfigurationError(
                .invalidValue, "--model: two models are called \"\(twice)\"; name each as NAME=PATH")
        }
        return models
    }

    /// What a model without a name is called: the folder of a file, or the folder that is the model.
    private static func folderName(of path: String) -> String {
        let url = URL(fileURLWithPath: path).standardizedFileURL
        return (SafetensorsCheckpoint.isCheckpoint(path) ? url : url.deletingLastPathComponent()).lastPathComponent
    }

    /// The path of an installed model; nil for a path, and for a name that is not in the registry: opening it will say so.
    private static func installedModel(_ text: String) -> String? {
        guard !FileManager.default.fileExists(atPath: text) else { return nil }
        return try? ModelRegistry.standard().textModel(text).path
    }

    private static func memoryBudget(_ settings: ServiceConfiguration) throws -> Int? {
        guard let text = try settings.string("memory-budget") else { return nil }
        guard let byteCount = MemorySize.parse(text), byteCount > 0 else {
            throw settings.invalid("memory-budget", expected: "an amount of memory such as 800MiB, 12GiB or bytes")
        }
        return byteCount
    }

    /// A key is read at the start: a process that could verify nothing must not run.
    private static func verification(_ settings: ServiceConfiguration) throws -> ModelVerification {
        let level: ModelVerification.Level = try settings.choice("verify-models", default: .off)
        let path = try settings.string("verify-key")
        guard level == .signature else {
            if path != nil {
                throw settings.invalid("verify-key", expected: "nothing: it is for --verify-models signature")
            }
            return level == .digest ? .digest : .off
        }
        guard let path else {
            throw ConfigurationError(
                .missingValue,
                "--verify-key is needed: --verify-models signature has to know whose signature counts")
        }
        do {
            let pem = try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
            return .signature(try VerifyingKey(pem: pem))
        } catch {
            throw settings.invalid("verify-key", expected: "a file with an Ed25519 public key in PEM form")
        }
    }

    /// Layers as "A..<B".
    private static func layers(_ settings: ServiceConfiguration) throws -> Range<Int>? {
        guard let text = try settings.string("layers") else { return nil }
        let parts = text.split(separator: "..<", omittingEmptySubsequences: false)
        guard parts.count == 2, let lower = Int(parts[0]), let upper = Int(parts[1]), 0 <= lower, lower < upper else {
            throw settings.invalid("layers", expected: "A..<B with 0 <= A < B, such as 0..<15")
        }
        return lower..<upper
    }
}

extension [String] {
    /// The first element that was there before.
    fileprivate var duplicate: String? {
        var seen: Set<String> = []
        return first { !seen.insert($0).inserted }
    }
}
