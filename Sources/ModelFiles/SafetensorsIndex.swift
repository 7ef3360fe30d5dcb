import Foundation

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// `model.safetensors.index.json`: `{"weight_map": {"tensor": "shard file", ...}, "metadata": {...}}`.
struct SafetensorsIndex {
    /// Which shard holds a tensor.
    let weightMap: [String: String]
    /// All shards, sorted.
    let shardNames: [String]
    private let path: String

    init(_ json: [UInt8], path: String, maximumShards: Int) throws(ModelFileError) {
        let object = try? JSONSerialization.jsonObject(with: Data(json))
        guard let root = object as? [String: Any], let map = root["weight_map"] as? [String: String], !map.isEmpty
        else {
            throw ModelFileError(
                code: .malformed, message: "\(path): expected an object with a \"weight_map\" from tensors to files")
        }
        let names = Set(map.values).sorted()
        guard names.count <= maximumShards else {
            throw ModelFileError(
                code: .tooLarge, message: "\(path): \(names.count) shards, expected at most \(maximumShards)")
        }
        weightMap = map
        shardNames = names
        self.path = path
    }

    /// The path of a shard. An index comes with a download, so it must not name files elsewhere. A link does not come with
    /// one: it is the machine's owner who made it, as hub caches do, and it is followed.
    ///
    /// - Throws: `badSplit` when the name has a folder in it, `inputOutput` when there is no such file.
    func path(ofShard name: String, in directory: String) throws(ModelFileError) -> String {
        guard !name.isEmpty, name != ".", name != "..", name.utf8.count <= 255,
            name.utf8.allSatisfy({ $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\\") && $0 != 0 })
        else {
            throw ModelFileError(
                code: .badSplit, message: "\(path): shard \"\(name.prefix(256))\" is not a file name in the folder")
        }
        let shard = directory + "/" + name
        guard access(shard, F_OK) == 0 else {
            throw ModelFileError(code: .inputOutput, message: "\(path): shard \(name) is missing")
        }
        return shard
    }

    /// Where each tensor is; `shards` in the order of `shardNames`.
    ///
    /// - Throws: `missingTensor`, `duplicateName` or `badSplit` when the shards are not what the index says.
    func locate(_ shards: [SafetensorsFile]) throws(ModelFileError) -> [String: Int] {
        var found: [String: Int] = [:]
        found.reserveCapacity(weightMap.count)
        for (number, shard) in shards.enumerated() {
            for name in shard.tensorNames {
                if let other = found.updateValue(number, forKey: name) {
                    throw ModelFileError(
                        code: .duplicateName,
                        message: "\(shard.path): tensor \(name) is in \(shardNames[other]) as well")
                }
                guard weightMap[name] == shardNames[number] else {
                    let place = weightMap[name].map { "in \($0)" } ?? "nowhere"
                    throw ModelFileError(
                        code: .badSplit, message: "\(shard.path): tensor \(name) is \(place) according to the index")
                }
            }
        }
        // Every tensor found is in the map, so equal counts mean equal sets.
        if found.count != weightMap.count,
            let missing = weightMap.keys.sorted().first(where: { found[$0] == nil })
        {
            throw ModelFileError(
                code: .missingTensor,
                message:
                    "\(path): tensor \(missing.prefix(256)) is not in \(weightMap[missing] ?? "any shard") as the index says"
            )
        }
        return found
    }
}
