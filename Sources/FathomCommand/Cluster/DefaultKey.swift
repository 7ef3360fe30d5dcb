import Foundation
import Identity

/// The key that the tool itself uses, of the tenant "default".
package enum DefaultKey {
    package static let tenant = "default"

    /// The plain key of this home: the one of earlier runs if it is still valid, else a new one.
    ///
    /// - Throws: `IdentityError`, ``CommandError`` `fileUnavailable`.
    package static func ensure(_ home: HomeDirectory) throws -> String {
        if let data = FileManager.default.contents(atPath: home.plainKeyFile),
            let key = APIKey(String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)),
            try KeyFile.load(path: home.keyFile).keys.contains(where: { $0.sha256 == key.sha256 && $0.revokedAt == nil }
            )
        {
            return key.plainText
        }
        let key = try KeyFile.update(path: home.keyFile) { file in
            try file.add(tenant: tenant, note: "made by fathom up")
        }
        try AtomicFile.write(Data((key.plainText + "\n").utf8), to: home.plainKeyFile)
        return key.plainText
    }
}
