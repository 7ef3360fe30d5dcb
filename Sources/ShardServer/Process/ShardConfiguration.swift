import Foundation
import InferenceCore
import ServiceSupport
import Wire

/// Start-time settings of one shard process. Configuration keys are those of `services/shard/shard.yaml`.
package struct ShardConfiguration: Sendable {
    /// Keys besides the common ones.
    package static let keys = [
        "model", "model-name", "stage", "stages", "layers", "next", "threads", "kv-blocks", "max-batched-tokens",
        "max-running", "max-waiting", "step-timeout",
    ]

    /// GGUF file.
    package var modelPath: String
    /// What clients call the model; the name of the file's folder unless set.
    package var modelName: String
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
    package var maxBatchedTokens: Int
    package var maxRunningSequences: Int
    package var maxWaitingSequences: Int
    /// A step that the next stages do not answer for this long fails the epoch.
    package var stepTimeout: Duration

    /// Reads and checks the settings.
    ///
    /// - Throws: `ConfigurationError` naming the setting, its value and what is expected.
    package init(_ settings: ServiceConfiguration) throws {
        modelPath = try settings.requiredString("model", hint: "the GGUF file to serve")
        let folder = URL(fileURLWithPath: modelPath).standardizedFileURL.deletingLastPathComponent().lastPathComponent
        modelName = try settings.string("model-name", default: folder)
        stageCount = try settings.int("stages", default: 1, in: 1...64)
        stageIndex = try settings.int("stage", default: 0, in: 0...(stageCount - 1))
        next = try settings.target("next")
        threads = try settings.int(
            "threads", default: min(max(1, ProcessInfo.processInfo.activeProcessorCount), 256), in: 1...256)
        kvBlockCount = try settings.int("kv-blocks", in: 1...(1 << 24))
        maxBatchedTokens = try settings.int("max-batched-tokens", default: 512, in: 1...8_192)
        maxRunningSequences = try settings.int("max-running", default: 64, in: 1...4_096)
        maxWaitingSequences = try settings.int("max-waiting", default: 256, in: 1...65_536)
        stepTimeout = try settings.duration(
            "step-timeout", default: .seconds(10), in: .milliseconds(10)...(.seconds(600)))
        layers = try Self.layers(settings)

        let isLast = stageIndex == stageCount - 1
        if isLast, next != nil {
            throw settings.invalid("next", expected: "nothing: stage \(stageIndex) of \(stageCount) is the last")
        }
        if !isLast, next == nil {
            throw ConfigurationError(
                .missingValue, "--next is needed: stage \(stageIndex) of \(stageCount) has a stage after it")
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
