import Foundation
import Glibc
import ModelRegistry
import Testing

struct ModelImportTests {
    private func inode(_ path: String) throws -> UInt64 {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.systemFileNumber] as? NSNumber)?.uint64Value ?? 0
    }

    private func request(
        _ path: String, _ reference: String, copies: Bool = false, replaces: Bool = false, followsLinks: Bool = false
    ) throws
        -> ModelImport
    {
        ModelImport(
            path: path, reference: try #require(ModelReference(reference)), kind: .textGeneration, copies: copies,
            replaces: replaces, followsLinks: followsLinks)
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
            try link(source + "/tokenizer.json", to: "sub/model.safetensors")
            let registry = ModelRegistry(directory: scratch + "/models")
            let manifest = try registry.importModel(request(source, "net"))
            #expect(manifest.files.map(\.path) == ["config.json", "sub/model.safetensors", "tokenizer.json"])
            try FileManager.default.removeItem(atPath: source)
            #expect(try registry.verify("net").problems == [])
        }
    }

    private func link(_ path: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    }

    @Test(
        "a link out of the folder, to nothing or to a folder is refused with its name, and nothing is installed",
        arguments: ["../secret", "nowhere", "sub", ".", ".."])
    func strangeLinks(_ target: String) async throws {
        try await withTemporaryDirectory { scratch in
            let source = scratch + "/net"
            try write(Data("{}".utf8), to: source + "/config.json")
            try write(Data("x".utf8), to: source + "/sub/part.json")
            try write(Data("secret".utf8), to: scratch + "/secret")
            try link(source + "/tokenizer.json", to: target)
            let registry = ModelRegistry(directory: scratch + "/models")
            let failure = #expect(throws: ModelRegistryError.self) { try registry.importModel(request(source, "net")) }
            #expect(failure?.code == .invalidArgument)
            #expect(failure?.message.contains(source + "/tokenizer.json is a link") == true)
            #expect(try registry.installed() == [])
            #expect(!FileManager.default.fileExists(atPath: registry.directory + "/net"))
        }
    }

    @Test("a link out of the folder is followed where that is asked for")
    func followsLinks() async throws {
        try await withTemporaryDirectory { scratch in
            let source = scratch + "/net"
            try write(Data("{}".utf8), to: source + "/config.json")
            try write(Data("meant".utf8), to: scratch + "/elsewhere")
            try link(source + "/tokenizer.json", to: "../elsewhere")
            let registry = ModelRegistry(directory: scratch + "/models")
            _ = try registry.importModel(request(source, "net", followsLinks: true))
            #expect(try read(registry.directory(of: "net") + "/tokenizer.json") == Data("meant".utf8))
        }
    }

    @Test("a snapshot of a hub's cache is imported through its links to the blobs, and through no others")
    func hubCache() async throws {
        try await withTemporaryDirectory { scratch in
            let entry = scratch + "/hub/models--owner--net"
            let snapshot = entry + "/snapshots/c0ffee"
            try write(Data("{}".utf8), to: entry + "/blobs/aa11")
            try write(Data("b".utf8), to: entry + "/blobs/bb22")
            try write(Data("other".utf8), to: scratch + "/hub/models--owner--other/blobs/cc33")
            try FileManager.default.createDirectory(atPath: snapshot + "/sub", withIntermediateDirectories: true)
            try link(snapshot + "/config.json", to: "../../blobs/aa11")
            try link(snapshot + "/sub/model.safetensors", to: "../../../blobs/bb22")
            let registry = ModelRegistry(directory: scratch + "/models")
            let manifest = try registry.importModel(request(snapshot, "net"))
            #expect(manifest.files.map(\.path) == ["config.json", "sub/model.safetensors"])
            #expect(try read(registry.directory(of: "net") + "/sub/model.safetensors") == Data("b".utf8))
            try link(snapshot + "/tokenizer.json", to: "../../../models--owner--other/blobs/cc33")
            let failure = #expect(throws: ModelRegistryError.self) { try registry.importModel(request(snapshot, "x")) }
            #expect(failure?.message.contains("--follow-links") == true)
        }
    }

    @Test("a file that was named is taken though it is a link; its unnamed parts are held to the rule")
    func namedLink() async throws {
        try await withTemporaryDirectory { scratch in
            try writeModel(scratch + "/far/net.gguf")
            try link(scratch + "/net.gguf", to: "far/net.gguf")
            let registry = ModelRegistry(directory: scratch + "/models")
            _ = try registry.importModel(request(scratch + "/net.gguf", "net"))
            #expect(try inode(registry.textModel("net").path) == inode(scratch + "/far/net.gguf"))
            try FileManager.default.createDirectory(atPath: scratch + "/near", withIntermediateDirectories: true)
            for number in 1...2 {
                let name = "m-0000\(number)-of-00002.gguf"
                try writeModel(scratch + "/far/" + name, first: Float(number))
                try link(scratch + "/near/" + name, to: "../far/" + name)
            }
            let failure = #expect(throws: ModelRegistryError.self) {
                try registry.importModel(request(scratch + "/near/m-00001-of-00002.gguf", "parts"))
            }
            #expect(failure?.message.contains("m-00002-of-00002.gguf is a link out of the folder") == true)
            let manifest = try registry.importModel(
                request(scratch + "/near/m-00001-of-00002.gguf", "parts", followsLinks: true))
            #expect(manifest.files.count == 2)
        }
    }

    @Test("a pipe in a folder is refused, not read")
    func pipe() async throws {
        try await withTemporaryDirectory { scratch in
            try write(Data("{}".utf8), to: scratch + "/net/config.json")
            #expect(mkfifo(scratch + "/net/tokenizer.json", 0o600) == 0)
            let registry = ModelRegistry(directory: scratch + "/models")
            let failure = #expect(throws: ModelRegistryError.self) {
                try registry.importModel(request(scratch + "/net", "net"))
            }
            #expect(failure?.message.contains("tokenizer.json is neither a file nor a folder") == true)
        }
    }

    @Test("what quantising cost comes along with the file that it is about")
    func quantizationRecord() async throws {
        try await withTemporaryDirectory { scratch in
            try writeModel(scratch + "/net-q8.gguf")
            try write(Data("{}".utf8), to: scratch + "/net-q8.quantization.json")
            let registry = ModelRegistry(directory: scratch + "/models")
            let manifest = try registry.importModel(request(scratch + "/net-q8.gguf", "net"))
            #expect(manifest.files.map(\.path) == ["model.gguf", QuantizationRecord.fileName])
        }
    }

    @Test("a name may be OWNER/NAME, with versions and aliases, and is removed whole")
    func nameWithSlash() async throws {
        try await withTemporaryDirectory { scratch in
            let registry = ModelRegistry(directory: scratch + "/models")
            try writeModel(scratch + "/net.gguf")
            _ = try registry.importModel(request(scratch + "/net.gguf", "Owner/Net-1"))
            _ = try registry.importModel(request(scratch + "/net.gguf", "Owner/Net-2:1.0"))
            #expect(try registry.installed().map(\.reference.description) == ["Owner/Net-1", "Owner/Net-2:1.0"])
            #expect(try registry.textModel("Owner/Net-1").name == "Owner/Net-1")
            #expect(try registry.textModel("Owner/Net-2").name == "Owner/Net-2")
            try registry.setAlias("Owner/chat", to: "Owner/Net-2")
            #expect(try registry.verify("Owner/chat").problems == [])
            #expect(throws: ModelRegistryError.self) { try registry.setAlias("Owner/Net-1", to: "Owner/Net-2") }
            for name in ["a/b/c", "/a", "a/", "a//b", "../a", "a/..", "a/.b", "a%2Fb"] {
                #expect(ModelReference(name) == nil, "\(name)")
            }
            _ = try registry.remove("Owner/Net-1")
            #expect(try registry.remove("Owner/Net-2:1.0") == ["Owner/chat"])
            #expect(try registry.installed() == [])
            // A folder of that path comes before a name, as with other names.
            try FileManager.default.createDirectory(atPath: scratch + "/models/x", withIntermediateDirectories: true)
            #expect(try registry.installed() == [])
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
