import Foundation
import InferenceCore
import ModelFiles
import ModelRegistry

/// What tells one model from another: all stages of a replica group must agree on it.
package struct ModelIdentity: Sendable, Equatable {
    /// SHA-256 of the file in hex when a manifest gives it; else, and for models of several files, a fingerprint with the
    /// prefix `fp-`, see ``init(path:bytes:)``.
    package let digest: String

    /// The part of `fathom-model.json` that matters here; the rest is for `fathom model verify`.
    private struct Manifest: Decodable {
        struct File: Decodable {
            var path: String
            var size: Int64
            var sha256: String
        }
        var files: [File]

        /// nil where there is none, or none that can be read.
        init?(beside path: String) {
            let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
            guard let data = try? Data(contentsOf: folder.appendingPathComponent(ModelManifest.fileName)),
                data.count <= ModelManifest.maximumByteCount,
                let manifest = try? JSONDecoder().decode(Manifest.self, from: data)
            else { return nil }
            self = manifest
        }
    }

    /// Finds the digest of a model file.
    ///
    /// `fathom-model.json` beside the file lists digests that were verified when the model was installed; it is used when
    /// it names the file with its present size. The bytes are not hashed again: `fathom model verify` does that. Otherwise
    /// the digest is a fingerprint: FNV-1a hashes over the file's size, its first MiB (GGUF metadata and tensor table) and
    /// 4 KiB at 64 places spread over the rest. It tells models apart; it does not protect from a forger.
    ///
    /// - Throws: `dataLoss` when the manifest gives the file another size.
    package init(path: String, bytes: UnsafeRawBufferPointer) throws {
        digest = try Self.digest(path: path, bytes: bytes, manifest: Manifest(beside: path))
    }

    /// Finds the digest of a model: its file's, or one of the digests of all its files, which lie in one folder.
    ///
    /// - Throws: as ``init(path:bytes:)``.
    package init(_ source: any TensorSource) throws {
        // Read once: a manifest of many tensors is long.
        let manifest = source.files.first.flatMap { Manifest(beside: $0.path) }
        let digests = try source.files.map { try Self.digest(path: $0.path, bytes: $0.bytes, manifest: manifest) }
        var bytes = digests.flatMap { Array($0.utf8) }
        // The shape is in a file of its own.
        if let checkpoint = source as? SafetensorsCheckpoint { bytes += checkpoint.configuration }
        if digests.count == 1, !(source is SafetensorsCheckpoint) {
            digest = digests[0]
        } else {
            digest = bytes.withUnsafeBytes(Self.fingerprint)
        }
    }

    private static func digest(path: String, bytes: UnsafeRawBufferPointer, manifest: Manifest?) throws -> String {
        let name = URL(fileURLWithPath: path).lastPathComponent
        guard let file = manifest?.files.first(where: { $0.path == name }) else { return fingerprint(bytes) }
        guard file.size == Int64(bytes.count) else {
            throw InferenceError(
                code: .dataLoss,
                message: "\(path) has \(bytes.count) bytes; \(ModelManifest.fileName) says \(file.size)")
        }
        return file.sha256.lowercased()
    }

    package init(digest: String) {
        self.digest = digest
    }

    private static func fingerprint(_ bytes: UnsafeRawBufferPointer) -> String {
        var hashes: [UInt64] = [0xCBF2_9CE4_8422_2325, 0x8422_2325_CBF2_9CE4]
        func mix(_ part: UnsafeRawBufferPointer.SubSequence) {
            for byte in part {
                hashes[0] = (hashes[0] ^ UInt64(byte)) &* 0x100_0000_01B3
                hashes[1] = (hashes[1] &+ UInt64(byte)) &* 0x9E37_79B9_7F4A_7C15
            }
        }
        let head = min(bytes.count, 1 << 20)
        mix(bytes[0..<head])
        let rest = bytes.count - head
        for place in 0..<64 where rest > 0 {
            let start = head + rest / 64 * place
            mix(bytes[start..<min(start + 4_096, bytes.count)])
        }
        let parts = [UInt64(bytes.count)] + hashes
        return "fp-" + parts.map { String($0, radix: 16).leftPadded(to: 16) }.joined()
    }
}

extension String {
    /// Zeros in front up to `count` characters.
    fileprivate func leftPadded(to count: Int) -> String {
        String(repeating: "0", count: Swift.max(0, count - self.count)) + self
    }
}
