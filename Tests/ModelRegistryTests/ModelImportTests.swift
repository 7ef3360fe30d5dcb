import Foundation
import ModelRegistry
import Testing

struct ModelImportTests {
    private func inode(_ path: String) throws -> UInt64 {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.systemFileNumber] as? NSNumber)?.uint64Value ?? 0
    }

    private func request(
        _ path: String, _ reference: String, copies: Bool = false, replaces: Bool = false
    ) throws
        -> ModelImport
    {
        ModelImport(
            path: path, reference: try #require(ModelReference(reference)), kind: .textGeneration, copies: copies,
            replaces: replaces)
    }

    @Test("a file is linked or copied, and the source stays as it was", arguments: [true, false])
    func file(copies: Bool) async throws {
        try await withTemporaryDirectory { scratch in
            let source = scratch + "/net.gguf"
            try writeModel(source)
            let before = try read(source)
            let registry = ModelRegistry(directory: scratch + "/models")
            let manifest = try registry.importModel(request(source, "net", copies: copies))
            #expect(manifest.files.map(\.path) == ["model.gguf"])
            #expect(manifest.files[0].tensors?.keys.sorted() == ["a.weight", "b.weight"])
            let installed = try registry.textModel("net").path
            #expect(try (inode(installed) == inode(source)) != copies)
            #expect(try registry.remove("net") == [])
            let after = try read(source)
            #expect(after == before)
            #expect(try registry.installed() == [])
        }
    }

    @Test("a folder comes whole, links resolved, hidden files and a foreign manifest left out")
    func folder() async throws {
        try await withTemporaryDirectory { scratch in
            let source = scratch + "/net"
            try write(Data("{}".utf8), to: source + "/config.json")
            try write(Data("b".utf8), to: source + "/sub/model.safetensors")
            try write(Data("h".utf8), to: source + "/.git/x")
            try write(Data("{}".utf8), to: source + "/fathom-model.json")
            try write(Data("blob".utf8), to: scratch + "/blob")
            try FileManager.default.createSymbolicLink(
                atPath: source + "/tokenizer.json", withDestinationPath: scratch + "/blob")
            let registry = ModelRegistry(directory: scratch + "/models")
            let manifest = try registry.importModel(request(source, "net"))
            #expect(manifest.files.map(\.path) == ["config.json", "sub/model.safetensors", "tokenizer.json"])
            try FileManager.default.removeItem(atPath: scratch + "/blob")
            #expect(try registry.verify("net").problems == [])
        }
    }

    @Test("any part of a split model brings all of them, and a missing one is named")
    func parts() async throws {
        try await withTemporaryDirectory { scratch in
            for number in 1...2 { try writeModel(scratch + "/m-0000\(number)-of-00002.gguf", first: Float(number)) }
            let registry = ModelRegistry(directory: scratch + "/models")
            let manifest = try registry.importModel(request(scratch + "/m-00002-of-00002.gguf", "net"))
            #expect(manifest.files.map(\.path) == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"])
            #expect(try registry.textModel("net").path.hasSuffix("m-00001-of-00002.gguf"))
            try FileManager.default.removeItem(atPath: scratch + "/m-00001-of-00002.gguf")
            let failure = #expect(throws: ModelRegistryError.self) {
                try registry.importModel(request(scratch + "/m-00002-of-00002.gguf", "other"))
            }
            #expect(failure?.message.contains("m-00001-of-00002.gguf") == true)
            #expect(try registry.installed().count == 1)
        }
    }

    @Test("versions stand side by side; a bare name is the newest; replacing must be asked for")
    func versions() async throws {
        try await withTemporaryDirectory { scratch in
            let registry = ModelRegistry(directory: scratch + "/models")
            for version in ["1.9", "1.10"] {
                try writeModel(scratch + "/net.gguf", first: version == "1.9" ? 1 : 3)
                _ = try registry.importModel(request(scratch + "/net.gguf", "net:\(version)", copies: true))
            }
            #expect(try registry.installed().map(\.reference.description) == ["net:1.10", "net:1.9"])
            #expect(try registry.resolve("net").description == "net:1.10")
            #expect(try registry.textModel("net:1.9").path.contains("net@1.9/"))
            #expect(throws: ModelRegistryError.self) {
                try registry.importModel(request(scratch + "/net.gguf", "net:1.9"))
            }
            _ = try registry.importModel(request(scratch + "/net.gguf", "net:1.9", replaces: true))
            #expect(try registry.verify("net:1.9").problems == [])
            #expect(throws: ModelRegistryError.self) { try registry.textModel("net:3") }
        }
    }

    @Test("an alias stands for a model, follows others, and goes with its model")
    func aliases() async throws {
        try await withTemporaryDirectory { scratch in
            let registry = ModelRegistry(directory: scratch + "/models")
            try writeModel(scratch + "/net.gguf")
            _ = try registry.importModel(request(scratch + "/net.gguf", "net:1"))
            try registry.setAlias("chat", to: "net:1")
            try registry.setAlias("default", to: "chat")
            #expect(try registry.textModel("default").path.contains("net@1/"))
            #expect(try registry.verify("chat").problems == [])
            #expect(throws: ModelRegistryError.self) { try registry.setAlias("chat", to: "default") }
            #expect(throws: ModelRegistryError.self) { try registry.setAlias("x", to: "nothing") }
            #expect(throws: ModelRegistryError.self) { try registry.setAlias("../x", to: "net:1") }
            #expect(try registry.aliases() == ["chat": "net:1", "default": "chat"])
            // Nothing can be installed under a name that stands for something else.
            #expect(throws: ModelRegistryError.self) {
                try registry.importModel(request(scratch + "/net.gguf", "chat"))
            }
            let recipe = ModelRecipe(
                name: "chat", kind: .embedding, source: try ModelSource(parsing: "hf:a/b"),
                files: [WantedFile(member: "m", path: "m")])
            let puller = ModelPuller(registry: registry, configuration: ModelPullConfiguration())
            await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe) }
            #expect(try registry.remove("net:1") == ["chat", "default"])
            #expect(try registry.aliases() == [:])
            #expect(throws: ModelRegistryError.self) { try registry.removeAlias("chat") }
        }
    }

    @Test("an alias file that leads in a circle or holds something else is an error, not a hang")
    func brokenAliases() async throws {
        try await withTemporaryDirectory { scratch in
            let registry = ModelRegistry(directory: scratch)
            for text in [#"{"a":"b","b":"a"}"#, #"{"a":"../b"}"#, "[]", "x"] {
                try write(Data(text.utf8), to: scratch + "/aliases.json")
                let failure = #expect(throws: ModelRegistryError.self) { try registry.resolve("a") }
                #expect(failure?.code == .manifestMalformed)
            }
        }
    }
}
