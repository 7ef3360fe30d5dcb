import Foundation
import ModelFiles
import Tensors
import Testing

@Suite("Split GGUF")
struct GGUFSplitTests {
    /// Part `number` (from zero) with one tensor.
    private static func part(
        _ number: Int, of count: Int, tensors: Int? = nil, name: String? = nil, architecture: String? = nil
    ) -> [UInt8] {
        var builder = GGUFBuilder()
        if number == 0 || architecture != nil {
            builder.key("general.architecture", 8, GGUFBuilder.string(architecture ?? "llama"))
        }
        builder.key("split.no", 2, GGUFBuilder.bytes(UInt16(number)))
        builder.key("split.count", 2, GGUFBuilder.bytes(UInt16(count)))
        builder.key("split.tensors.count", 5, GGUFBuilder.bytes(Int32(tensors ?? count)))
        builder.tensor(name ?? "t\(number)", [2], type: 0, offset: 0)
        builder.data = GGUFBuilder.bytes(Float(number).bitPattern) + GGUFBuilder.bytes(Float(1).bitPattern)
        return builder.file
    }

    private static func names(_ count: Int) -> [String] { (1...count).map { "m-0000\($0)-of-0000\(count).gguf" } }

    private static let good = Dictionary(uniqueKeysWithValues: names(3).enumerated().map { ($1, part($0, of: 3)) })

    @Test("any part opens all, with the first part's metadata", arguments: 0..<3)
    func opens(from part: Int) throws {
        try SafetensorsBuilder.withFolder(Self.good) { folder in
            let file = try GGUFFile(path: folder + "/" + Self.names(3)[part])
            #expect(file.tensorNames == ["t0", "t1", "t2"])
            #expect(file.files.count == 3)
            #expect(file.path.hasSuffix(Self.names(3)[0]))
            let architecture = try file.metadata.string("general.architecture")
            #expect(architecture == "llama")
            let last = try file.tensor("t2").dequantized()
            file.adviseDontNeed()
            let middle = try file.tensor("t1").dequantized()
            #expect(last == [2, 1] && middle == [1, 1])
        }
    }

    @Test("one part that says so is a whole model")
    func single() throws {
        try ModelFixture.withFile(Self.part(0, of: 1)) { path in
            let names = try GGUFFile(path: path).tensorNames
            #expect(names == ["t0"])
        }
    }

    @Test("a merged file, in which llama-gguf-split leaves a count of 0, is a whole model", arguments: [Int64(0), 3])
    func merged(tensorCount: Int64) throws {
        var builder = GGUFBuilder.sample()
        builder.key("split.no", 2, GGUFBuilder.bytes(UInt16(0)))
        builder.key("split.tensors.count", 5, GGUFBuilder.bytes(Int32(tensorCount)))
        builder.key("split.count", 2, GGUFBuilder.bytes(UInt16(0)))
        try ModelFixture.withFile(builder.file) { path in
            let file = try GGUFFile(path: path)
            #expect(file.files.count == 1 && !file.tensorNames.isEmpty)
        }
    }

    private func expectFailure(
        _ change: (inout [String: [UInt8]]) -> Void, _ code: ModelFileError.Code = .badSplit, mentions: String,
        open: String = names(3)[0]
    ) throws {
        var files = Self.good
        change(&files)
        try SafetensorsBuilder.withFolder(files) { folder in
            let error = #expect(throws: ModelFileError.self) { try GGUFFile(path: folder + "/" + open) }
            #expect(error?.code == code && error?.message.contains(mentions) == true, "\(error?.description ?? "none")")
        }
    }

    @Test("parts that do not belong together are refused, naming the part")
    func contradictions() throws {
        let names = Self.names(3)
        try expectFailure({ $0[names[1]] = nil }, .inputOutput, mentions: names[1])
        try expectFailure({ $0[names[1]] = Self.part(2, of: 3) }, mentions: names[1])
        try expectFailure({ $0[names[2]] = Self.part(2, of: 4) }, mentions: names[2])
        try expectFailure({ $0[names[2]] = Self.part(2, of: 3, tensors: 9) }, mentions: names[2])
        try expectFailure({ $0[names[2]] = Self.part(2, of: 3, architecture: "qwen2") }, mentions: "another model")
        try expectFailure({ $0[names[2]] = Self.part(2, of: 3, name: "t0") }, .duplicateName, mentions: "t0")
        try expectFailure({ $0[names[2]] = GGUFBuilder.sample().file }, mentions: names[2])
        try expectFailure({ $0[names[2]] = [1, 2, 3] }, .truncated, mentions: names[2])
        try expectFailure(
            { files in for (i, name) in names.enumerated() { files[name] = Self.part(i, of: 3, tensors: 5) } },
            mentions: "hold 3 tensors")
        try expectFailure({ $0["x.gguf"] = Self.part(0, of: 3) }, mentions: "expected a name", open: "x.gguf")
        try expectFailure(
            { $0["m-00001-of-00002.gguf"] = Self.part(0, of: 3) }, mentions: "the name says 2",
            open: "m-00001-of-00002.gguf")
    }

    @Test("a count that no model has is refused before any other file is opened")
    func counts() throws {
        for value in [Int64(-1), 100_000, .max] {
            var builder = GGUFBuilder.sample()
            builder.key("split.count", 11, GGUFBuilder.bytes(value))
            try ModelFixture.withFile(builder.file) { path in
                #expect { try GGUFFile(path: path) } throws: { ($0 as? ModelFileError)?.code == .badSplit }
            }
        }
    }
}
