import Foundation
import Tensors

/// A model folder as the training frameworks publish it: `config.json` beside `model.safetensors`, or beside shards that
/// `model.safetensors.index.json` lists.
///
/// Opening reads the headers of all shards and checks them against the index; the tensors stay in the mappings, so that
/// a pipeline stage pays for its own only. FP8 matrices come with their block scales (`NAME_scale_inv`). Thread-safe:
/// nothing changes after `init`.
package final class SafetensorsCheckpoint: TensorSource {
    /// Bounds far above any real folder.
    private enum Limit {
        static let configurationBytes = 16 << 20
        static let indexBytes = 256 << 20
        static let shards = 100_000
    }

    /// The folder.
    package let path: String
    /// The bytes of `config.json`.
    package let configuration: [UInt8]
    package let tensorNames: [String]
    private let shards: [SafetensorsFile]
    /// Which of `shards` holds a tensor.
    private let shardIndex: [String: Int]
    /// Rows and columns of the blocks of FP8 matrices.
    private let scaleBlock: (rows: Int, columns: Int)

    package var files: [MappedFile] { shards.map(\.file) }

    /// Opens the folder at `directory`.
    ///
    /// - Throws: `ModelFileError` for a file that is missing or broken, an index that names files outside the folder,
    ///   tensors that the index or a shard lacks, and tensors in two shards.
    package init(directory: String) throws {
        let configuration = try Self.bytes(of: directory + "/config.json", atMost: Limit.configurationBytes)
        let single = directory + "/model.safetensors"
        let indexPath = directory + "/model.safetensors.index.json"
        if FileManager.default.fileExists(atPath: single) || !FileManager.default.fileExists(atPath: indexPath) {
            shards = [try SafetensorsFile(path: single)]
            shardIndex = Dictionary(uniqueKeysWithValues: shards[0].tensorNames.map { ($0, 0) })
        } else {
            let index = try SafetensorsIndex(
                Self.bytes(of: indexPath, atMost: Limit.indexBytes), path: indexPath, maximumShards: Limit.shards)
            shards = try index.shardNames.map { try SafetensorsFile(path: index.path(ofShard: $0, in: directory)) }
            shardIndex = try index.locate(shards)
        }
        path = directory
        self.configuration = configuration
        scaleBlock = try Self.scaleBlock(configuration, path: directory + "/config.json")
        let shardIndex = shardIndex
        tensorNames = shards.flatMap(\.tensorNames).filter { name in
            !(name.hasSuffix(Self.scaleSuffix) && shardIndex[String(name.dropLast(Self.scaleSuffix.count))] != nil)
        }
    }

    /// Whether `path` is a folder that holds a checkpoint of this kind.
    package static func isCheckpoint(_ path: String) -> Bool {
        ["model.safetensors", "model.safetensors.index.json"].contains {
            FileManager.default.fileExists(atPath: "\(path)/\($0)")
        }
    }

    package func description(of name: String) -> TensorDescription? {
        shardIndex[name].flatMap { shards[$0].description(of: name) }
    }

    package func tensor(_ name: String) throws -> TensorView {
        let stored = try storedTensor(name)
        guard stored.elementType == .f8_E4M3 else { return stored }
        let scaleName = name + Self.scaleSuffix
        guard contains(scaleName) else {
            throw ModelFileError(
                code: .malformed, message: "\(path): FP8 tensor \(name) has no scales, expected \(scaleName)")
        }
        do {
            let scales = try BlockScales(
                storedTensor(scaleName), blockRows: scaleBlock.rows, blockColumns: scaleBlock.columns)
            return try TensorView(
                name: name, shape: stored.shape, elementType: stored.elementType, bytes: stored.bytes,
                owner: stored.owner, scales: scales)
        } catch let error as TensorError {
            throw ModelFileError(code: .malformed, message: "\(path): FP8 \(error)", cause: error)
        }
    }

    // MARK: - Parts

    private static let scaleSuffix = "_scale_inv"

    private func storedTensor(_ name: String) throws -> TensorView {
        guard let shard = shardIndex[name] else {
            throw ModelFileError(code: .missingTensor, message: "\(path): tensor \(name) is missing")
        }
        return try shards[shard].tensor(name)
    }

    private static func bytes(of path: String, atMost limit: Int) throws -> [UInt8] {
        let file = try MappedFile(path: path)
        guard file.byteCount <= limit else {
            throw ModelFileError(
                code: .tooLarge, message: "\(path): \(file.byteCount) bytes, expected at most \(limit)")
        }
        return Array(file.bytes)
    }

    /// `quantization_config.weight_block_size`, 128 by 128 when it does not say.
    private static func scaleBlock(_ configuration: [UInt8], path: String) throws -> (rows: Int, columns: Int) {
        let object = try? JSONSerialization.jsonObject(with: Data(configuration))
        guard let root = object as? [String: Any] else {
            throw ModelFileError(code: .malformed, message: "\(path): not a JSON object")
        }
        guard let quantization = root["quantization_config"] as? [String: Any],
            let block = quantization["weight_block_size"]
        else { return (128, 128) }
        guard let sizes = block as? [Int], sizes.count == 2, sizes.allSatisfy({ (1...65_536).contains($0) }) else {
            throw ModelFileError(code: .malformed, message: "\(path): weight_block_size is not two sizes of 1...65536")
        }
        return (sizes[0], sizes[1])
    }
}
