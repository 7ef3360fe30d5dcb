import Foundation
import ModelFiles
import Testing
import Transformer

/// Tiny checkpoints of every architecture: in `$FATHOM_ORACLE`, or in `shared/oracle` beside the repository.
enum OracleModels {
    static let folder: String? = {
        let environment = ProcessInfo.processInfo.environment["FATHOM_ORACLE"]
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let beside = repository.deletingLastPathComponent().appendingPathComponent("shared/oracle").path
        return [environment, beside].compactMap { $0.map { $0 + "/architectures" } }.first {
            FileManager.default.fileExists(atPath: $0)
        }
    }()

    /// Paths below the folder of all decoder models: folders of safetensors and GGUF files.
    static let names: [String] = {
        guard let folder else { return [] }
        let all = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        let checkpoints = all.filter {
            !$0.contains("bert") && SafetensorsCheckpoint.isCheckpoint("\(folder)/\($0)")
        }
        return (checkpoints + all.filter { $0.hasSuffix(".gguf") }).sorted()
    }()

    static func weights(_ name: String) throws -> ModelWeights {
        try ModelWeights(path: "\(#require(folder))/\(name)")
    }
}
