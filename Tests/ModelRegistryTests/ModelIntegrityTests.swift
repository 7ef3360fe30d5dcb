import Foundation
import ModelFiles
import ModelRegistry
import Tensors
import Testing

/// Writes a GGUF file with two tensors of 64 f32 values each.
func writeModel(_ path: String, first: Float = 1) throws {
    try FileManager.default.createDirectory(
        atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path, withIntermediateDirectories: true)
    let tensors = try ["a.weight", "b.weight"].map { try GGUFWriter.Tensor(name: $0, shape: [2, 32], type: .f32) }
    let writer = try GGUFWriter(path: path, metadata: [("general.architecture", .string("llama"))], tensors: tensors)
    for value in [first, 2] {
        try [Float](repeating: value, count: 64).withUnsafeBytes { try writer.write($0) }
    }
    try writer.finish()
}

/// Overwrites one byte.
func flip(_ path: String, at offset: Int) throws {
    var data = try read(path)
    data[data.startIndex + offset] ^= 1
    try data.write(to: URL(fileURLWithPath: path))
}

struct ModelIntegrityTests {
    @Test("what is served is held against its manifest: bytes, files nobody listed, a signature where one is asked for")
    func serving() async throws {
        try await withModel { registry, file in
            let key = SigningKey()
            #expect(try ModelRegistry.servingProblems(modelAt: file, trusting: nil) == [])
            #expect(
                try ModelRegistry.servingProblems(modelAt: file, trusting: key.publicKey).first?.contains("not signed")
                    == true)
            var manifest = try registry.manifest(of: "net")
            try manifest.sign(with: key)
            try manifest.write(folder: registry.directory + "/net")
            #expect(try ModelRegistry.servingProblems(modelAt: file, trusting: key.publicKey) == [])
            #expect(
                try ModelRegistry.servingProblems(modelAt: file, trusting: SigningKey().publicKey).first?
                    .contains("another key") == true)

            let other = registry.directory + "/net/other.gguf"
            try writeModel(other, first: 9)
            #expect(
                try ModelRegistry.servingProblems(modelAt: other, trusting: nil) == ["\(other): not in the manifest"])
            #expect(try ModelRegistry.servingProblems(modelAt: file, trusting: nil) == [])
            #expect(
                try ModelRegistry.servingProblems(modelAt: file, trusting: key.publicKey)
                    == ["\(other): not in the manifest"])

            try flip(file, at: try read(file).count - 10)
            #expect(
                try ModelRegistry.servingProblems(modelAt: file, trusting: nil).first?.contains("SHA-256") == true)
            try FileManager.default.removeItem(atPath: registry.directory + "/net/" + ModelManifest.fileName)
            #expect(
                try ModelRegistry.servingProblems(modelAt: file, trusting: nil).first?
                    .contains(ModelManifest.fileName) == true)
        }
    }

    private func withModel(_ body: (ModelRegistry, _ file: String) throws -> Void) async throws {
        try await withTemporaryDirectory { scratch in
            try writeModel(scratch + "/source/net.gguf")
            let registry = ModelRegistry(directory: scratch + "/models")
            let reference = try #require(ModelReference("net"))
            _ = try registry.importModel(
                ModelImport(
                    path: scratch + "/source/net.gguf", reference: reference, kind: .textGeneration, copies: true))
            try body(registry, registry.directory + "/net/model.gguf")
        }
    }

    @Test("a changed byte is told to the tensor, or to the header")
    func tensors() async throws {
        try await withModel { registry, file in
            #expect(try registry.verify("net").problems == [])
            let size = try read(file).count
            try flip(file, at: size - 10)
            let problems = try registry.verify("net").problems
            #expect(problems.count == 1)
            #expect(problems.first?.hasSuffix("tensor changed: b.weight") == true)
            try flip(file, at: size - 300)
            #expect(try registry.verify("net").problems.first?.hasSuffix("tensors changed: a.weight, b.weight") == true)
        }
    }

    @Test("a changed header is told apart from changed tensors; a destroyed one is still found")
    func header() async throws {
        try await withModel { registry, file in
            // The last letter of "llama" in the only key.
            let bytes = try read(file)
            let place = try #require(bytes.range(of: Data("llama".utf8)))
            try flip(file, at: place.lowerBound + 4)
            #expect(try registry.verify("net").problems.first?.contains("the tensors are right") == true)
            try flip(file, at: 0)
            #expect(try registry.verify("net").problems.first?.contains("SHA-256") == true)
        }
    }

    @Test("digests of tensors that contradict the file's are found")
    func forgedTensorDigest() async throws {
        try await withModel { registry, _ in
            var manifest = try registry.manifest(of: "net")
            manifest.files[0].tensors?["a.weight"] = String(repeating: "0", count: 64)
            try manifest.write(folder: registry.directory + "/net")
            #expect(try registry.verify("net").problems.first?.contains("a.weight") == true)
        }
    }

    @Test("a signature holds until anything that it covers is changed")
    func signature() async throws {
        try await withModel { registry, _ in
            let folder = registry.directory + "/net"
            let key = SigningKey()
            let trusted = try VerifyingKey(pem: key.publicKey.pem)
            #expect(try registry.verify("net", trusting: trusted).problems.first?.contains("not signed") == true)
            var manifest = try registry.manifest(of: "net")
            try manifest.sign(with: key)
            try manifest.write(folder: folder)
            #expect(try registry.verify("net", trusting: trusted).problems == [])
            #expect(try registry.verify("net").problems == [])
            let other = SigningKey().publicKey
            #expect(try registry.verify("net", trusting: other).problems.first?.contains("another key") == true)

            let changes: [(inout ModelManifest) -> Void] = [
                { $0.name = "not" }, { $0.source = "file:x" }, { $0.kind = .embedding }, { $0.modelVersion = "2" },
                { $0.files[0].size += 1 }, { $0.files[0].path = "x.gguf" },
                { $0.files[0].sha256 = String(repeating: "1", count: 64) },
                { $0.files[0].tensors?["a.weight"] = String(repeating: "1", count: 64) }, { $0.files[0].tensors = nil },
                { $0.signature?.signature = Data(repeating: 0, count: 64).base64EncodedString() },
                { $0.signature?.signature = "?" }, { $0.signature?.algorithm = "none" },
                { $0.signature?.publicKey = other.pem },
            ]
            for (index, change) in changes.enumerated() {
                var forged = manifest
                change(&forged)
                #expect(forged.signatureProblem(trusting: trusted) != nil, "change \(index)")
            }
        }
    }

    @Test("the signed bytes are what the documentation says")
    func canonicalBytes() {
        let digest = String(repeating: "a", count: 64)
        let manifest = ModelManifest(
            name: "net", kind: .textGeneration, source: "file:net",
            files: [.init(path: "m.gguf", size: 7, sha256: digest, tensors: ["b": digest, "B": digest, "é": digest])],
            modelVersion: "1.0")
        let expected =
            "fathom-model-manifest 1\nname net\nversion 1.0\nkind text-generation\nsource file:net\n"
            + "file \(digest) 7 m.gguf\ntensor \(digest) B\ntensor \(digest) b\ntensor \(digest) é\n"
        #expect(String(decoding: manifest.canonicalBytes(), as: UTF8.self) == expected)
    }

    @Test("keys survive their PEM form, and other texts are refused")
    func keys() throws {
        let key = SigningKey()
        #expect(try SigningKey(pem: key.pem).publicKey.fingerprint == key.publicKey.fingerprint)
        for text in ["", "x", key.publicKey.pem, key.pem.replacingOccurrences(of: "MC4", with: "MC5"), key.pem + "x"] {
            #expect(throws: ModelRegistryError.self) { try SigningKey(pem: text) }
        }
        #expect(throws: ModelRegistryError.self) { try VerifyingKey(pem: key.pem) }
    }
}
