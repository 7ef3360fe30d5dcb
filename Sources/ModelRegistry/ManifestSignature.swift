import Crypto
import Foundation

/// An Ed25519 signature over what a manifest says (RFC 8032).
package struct ManifestSignature: Codable, Sendable, Equatable {
    /// Always `Ed25519`.
    package var algorithm: String
    /// The signer's public key, 32 bytes in base64: which key it was, not a reason to trust it.
    package var publicKey: String
    /// 64 bytes in base64.
    package var signature: String
}

extension ModelManifest {
    /// The bytes that are signed: one fact a line, in an order that does not depend on how the JSON was written.
    ///
    /// ```
    /// fathom-model-manifest 1
    /// name NAME
    /// version VERSION            (when there is one)
    /// kind KIND
    /// source SOURCE
    /// further-source SOURCE      (one for each, in the manifest's order)
    /// file SHA256 SIZE PATH      (files in the manifest's order)
    /// tensor SHA256 NAME         (the file's tensors, sorted by their UTF-8 bytes)
    /// ```
    /// Each line ends with a line feed. No part can hold a control character, so no two manifests have the same bytes.
    package func canonicalBytes() -> Data {
        var text = "fathom-model-manifest \(version)\nname \(name)\n"
        if let modelVersion { text += "version \(modelVersion)\n" }
        text += "kind \(kind.rawValue)\nsource \(source)\n"
        for source in furtherSources ?? [] { text += "further-source \(source)\n" }
        for file in files {
            text += "file \(file.sha256) \(file.size) \(file.path)\n"
            let tensors = (file.tensors ?? [:]).sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            for (name, digest) in tensors { text += "tensor \(digest) \(name)\n" }
        }
        return Data(text.utf8)
    }

    /// Signs what the manifest says now; an earlier signature is replaced.
    package mutating func sign(with key: SigningKey) throws {
        signature = ManifestSignature(
            algorithm: "Ed25519", publicKey: key.publicKey.bytes.base64EncodedString(),
            signature: try key.signature(for: canonicalBytes()).base64EncodedString())
    }

    /// What is wrong with the signature, or nil.
    ///
    /// - Parameter key: The key that must have signed; without one a signature must only be right for the key it names,
    ///   and need not be there.
    package func signatureProblem(trusting key: VerifyingKey?) -> String? {
        guard let signature else { return key == nil ? nil : "the manifest is not signed" }
        guard signature.algorithm == "Ed25519", let bytes = Data(base64Encoded: signature.signature),
            let named = Data(base64Encoded: signature.publicKey).flatMap({ try? VerifyingKey(bytes: $0) })
        else { return "the manifest's signature is malformed" }
        if let key, key.bytes != named.bytes {
            return "the manifest is signed by another key (\(named.fingerprint)), expected \(key.fingerprint)"
        }
        return named.isValid(bytes, for: canonicalBytes())
            ? nil : "the manifest was changed after it was signed (key \(named.fingerprint))"
    }
}

/// A private Ed25519 key, as PKCS #8 in PEM: what `openssl genpkey -algorithm ed25519` writes.
package struct SigningKey: Sendable {
    private static let prefix = Data([
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ])
    private static let label = "PRIVATE KEY"

    private let key: Curve25519.Signing.PrivateKey

    /// A new random key.
    package init() { key = Curve25519.Signing.PrivateKey() }

    /// - Throws: ``ModelRegistryError`` `invalidArgument`.
    package init(pem: String) throws {
        let bytes = try PEM.decode(pem, label: Self.label, prefix: Self.prefix)
        do {
            key = try Curve25519.Signing.PrivateKey(rawRepresentation: bytes)
        } catch {
            throw ModelRegistryError(code: .invalidArgument, message: "not an Ed25519 private key", cause: error)
        }
    }

    package var pem: String { PEM.encode(key.rawRepresentation, label: Self.label, prefix: Self.prefix) }

    package var publicKey: VerifyingKey { VerifyingKey(key: key.publicKey) }

    func signature(for data: Data) throws -> Data {
        do {
            return try key.signature(for: data)
        } catch {
            throw ModelRegistryError(code: .invalidArgument, message: "the key cannot sign", cause: error)
        }
    }
}

/// A public Ed25519 key, as SubjectPublicKeyInfo in PEM: what `openssl pkey -pubout` writes.
package struct VerifyingKey: Sendable {
    private static let prefix = Data([0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00])
    private static let label = "PUBLIC KEY"

    private let key: Curve25519.Signing.PublicKey

    fileprivate init(key: Curve25519.Signing.PublicKey) { self.key = key }

    /// - Throws: ``ModelRegistryError`` `invalidArgument`.
    package init(pem: String) throws { try self.init(bytes: PEM.decode(pem, label: Self.label, prefix: Self.prefix)) }

    init(bytes: Data) throws {
        do {
            key = try Curve25519.Signing.PublicKey(rawRepresentation: bytes)
        } catch {
            throw ModelRegistryError(code: .invalidArgument, message: "not an Ed25519 public key", cause: error)
        }
    }

    package var pem: String { PEM.encode(bytes, label: Self.label, prefix: Self.prefix) }

    var bytes: Data { key.rawRepresentation }

    /// The first 16 hex digits of the key's SHA-256; for people.
    package var fingerprint: String { String(FileDigest.hexadecimal(SHA256.hash(data: bytes)).prefix(16)) }

    func isValid(_ signature: Data, for data: Data) -> Bool { key.isValidSignature(signature, for: data) }
}

/// The two fixed PEM forms of 32-byte Ed25519 keys.
private enum PEM {
    static func encode(_ key: Data, label: String, prefix: Data) -> String {
        "-----BEGIN \(label)-----\n\((prefix + key).base64EncodedString())\n-----END \(label)-----\n"
    }

    static func decode(_ text: String, label: String, prefix: Data) throws -> Data {
        let lines = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
        guard lines.first == "-----BEGIN \(label)-----", lines.last == "-----END \(label)-----",
            let bytes = Data(base64Encoded: lines.dropFirst().dropLast().joined()),
            bytes.count == prefix.count + 32, bytes.starts(with: prefix)
        else {
            throw ModelRegistryError(
                code: .invalidArgument, message: "expected an Ed25519 \(label.lowercased()) in PEM form")
        }
        return bytes.suffix(32)
    }
}
