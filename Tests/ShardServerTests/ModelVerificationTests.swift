import Foundation
import InferenceCore
import ModelFiles
import ModelRegistry
import ShardServer
import Tensors
import Testing
import Wire

@Suite struct ModelVerificationTests {
    /// The mapped files of a model, whatever is in them.
    private struct Files: TensorSource {
        let path: String
        let files: [MappedFile]
        let tensorNames: [String] = []

        init(_ folder: String, _ names: [String]) throws {
            path = folder
            files = try names.map { try MappedFile(path: folder + "/" + $0) }
        }

        func description(of name: String) -> TensorDescription? { nil }

        func tensor(_ name: String) throws -> TensorView {
            throw ModelFileError(code: .missingTensor, message: name)
        }
    }

    /// A folder with weights, a template and a manifest that is right.
    private func withModel(_ body: (_ folder: String, _ manifest: ModelManifest) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("verify-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var files: [ModelManifest.File] = []
        for (name, text) in [("model.gguf", "weights of some length"), ("chat_template.jinja", "{{ 1 }}")] {
            try write(text, folder + "/" + name)
            let (size, digest) = try FileDigest.of(path: folder + "/" + name)
            files.append(ModelManifest.File(path: name, size: size, sha256: digest))
        }
        let manifest = ModelManifest(name: "tiny", kind: .textGeneration, source: "test", files: files)
        try manifest.write(folder: folder)
        try body(folder, manifest)
    }

    private func write(_ text: String, _ path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    /// What is wrong, or nil.
    private func problem(
        _ verification: ModelVerification, _ folder: String, _ names: [String] = ["model.gguf"]
    ) throws
        -> String?
    {
        do {
            try verification.check(Files(folder, names))
            return nil
        } catch let error as InferenceError {
            #expect(error.code == .dataLoss && !error.message.contains(folder))
            return error.message
        }
    }

    @Test("files that are as the manifest says pass, and a changed one is named")
    func digests() throws {
        try withModel { folder, _ in
            #expect(try problem(.digest, folder) == nil)
            try write("{{ 2 }}", folder + "/chat_template.jinja")
            #expect(try problem(.digest, folder)?.contains("chat_template.jinja differs") == true)
            #expect(try problem(.off, folder) == nil)
            try write("{{ 1 }}", folder + "/chat_template.jinja")
            try write("Weights of some length", folder + "/model.gguf")
            #expect(try problem(.digest, folder)?.contains("model.gguf differs") == true)
            try FileManager.default.removeItem(atPath: folder + "/chat_template.jinja")
            try write("weights of some length", folder + "/model.gguf")
            #expect(try problem(.digest, folder)?.contains("chat_template.jinja cannot be read") == true)
        }
    }

    @Test("weights that the manifest does not list, and a folder without one, are refused")
    func unlisted() throws {
        try withModel { folder, _ in
            try write("more", folder + "/other.gguf")
            #expect(try problem(.digest, folder) == nil, "what is not loaded need not be listed")
            #expect(
                try problem(.digest, folder, ["model.gguf", "other.gguf"])?.contains("other.gguf is not in") == true)
            try FileManager.default.removeItem(atPath: folder + "/" + ModelManifest.fileName)
            #expect(try problem(.digest, folder)?.contains("has no fathom-model.json") == true)
            try write("{", folder + "/" + ModelManifest.fileName)
            #expect(try problem(.digest, folder)?.contains("cannot be used") == true)
        }
    }

    @Test("with signatures the right key must have signed, and nothing else may lie in the folder")
    func signatures() throws {
        try withModel { folder, manifest in
            let (key, other) = (SigningKey(), SigningKey())
            let verification = ModelVerification.signature(key.publicKey)
            #expect(try problem(verification, folder)?.contains("not signed") == true)
            var signed = manifest
            try signed.sign(with: other)
            try signed.write(folder: folder)
            #expect(try problem(verification, folder)?.contains("another key") == true)
            try signed.sign(with: key)
            try signed.write(folder: folder)
            #expect(try problem(verification, folder) == nil)
            #expect(try problem(.digest, folder) == nil)

            var changed = signed
            changed.files[1].sha256 = String(repeating: "0", count: 64)
            try changed.write(folder: folder)
            #expect(try problem(verification, folder)?.contains("changed after it was signed") == true)
            try signed.write(folder: folder)
            try write("{}", folder + "/generation_config.json")
            #expect(try problem(verification, folder)?.contains("generation_config.json is not in") == true)
        }
    }

    @Test("what is loaded is what was hashed, also when the file is replaced in between")
    func replaced() throws {
        try withModel { folder, _ in
            try write("Weights of some length", folder + "/model.gguf")
            let opened = try Files(folder, ["model.gguf"])
            try write("weights of some length", folder + "/model.gguf")
            #expect(throws: InferenceError.self) { try ModelVerification.digest.check(opened) }
        }
    }

    @Test(
        "why a model cannot be loaded is said without the paths of the machine",
        arguments: [
            (
                ModelFileError(.malformed, path: "/srv/m/tiny/model.gguf", offset: 8, "bad count") as any Error,
                "bad count"
            ),
            (ModelFileError(code: .missingKey, message: "/srv/m/tiny/config.json: x is missing"), "config.json: x is"),
            (ModelFileError(code: .inputOutput, message: "/mnt/data/blobs/ab: gone"), " ab: gone"),
            (InferenceError(code: .unsupportedModel, message: "tensor 'mystery.weight' is not part"), "mystery.weight"),
            (InferenceError(code: .dataLoss, message: "/srv/m/tiny/model.gguf has 3 bytes"), "model.gguf has 3"),
        ])
    func reasons(error: any Error, expected: String) {
        let found = InferenceError(loading: "tiny", path: "/srv/m/tiny/model.gguf", error)
        #expect(found.message.hasPrefix("model tiny is unusable: ") && found.message.contains(expected), "\(found)")
        for folder in ["/srv", "/m/", "/mnt", "blobs"] { #expect(!found.message.contains(folder), "\(found)") }
        let status = found.rpcError(contextLimit: 0)
        #expect(status.metadata["param"] == "model" && status.message == found.message)
    }
}
