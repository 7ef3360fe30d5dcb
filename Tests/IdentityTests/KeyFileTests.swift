import Foundation
import Identity
import Testing

struct KeyFileTests {
    @Test("a saved file is read back equal, holds no key and is private")
    func roundTrip() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            var file = KeyFile()
            let key = try file.add(tenant: "acme", note: "test")
            try file.save(path: path)
            #expect(try KeyFile.load(path: path) == file)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            #expect(!text.contains(key.plainText))
            #expect(text.contains(key.sha256))
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["keys.json"])
        }
    }

    @Test("links prepared in place of the file, its lock or its new form are not written through")
    func preparedLinks() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            let victim = directory + "/victim"
            func link(_ name: String) throws {
                try FileManager.default.createSymbolicLink(atPath: name, withDestinationPath: victim)
            }
            try link(path + ".lock")
            let failure = #expect(throws: IdentityError.self) {
                try KeyFile.update(path: path) { try $0.add(tenant: "acme") }
            }
            #expect(failure?.code == .fileUnavailable)
            #expect(failure.map { "\($0)" }?.contains("fileUnavailable") == false)
            try FileManager.default.removeItem(atPath: path + ".lock")
            try link(path)
            try link("\(path).new-\(ProcessInfo.processInfo.processIdentifier)")
            try KeyFile().save(path: path)
            #expect(!FileManager.default.fileExists(atPath: victim))
            #expect(try KeyFile.load(path: path).keys.isEmpty)
        }
    }

    @Test("an absent file is an empty one")
    func absent() throws {
        try withTemporaryDirectory { directory in
            let file = try KeyFile.load(path: directory + "/none.json")
            #expect(file.keys.isEmpty)
        }
    }

    @Test(
        "a file of another shape is refused",
        arguments: [
            "", "[]", "{\"version\":2,\"keys\":[]}",
            """
            {"version":1,"keys":[{"id":"k","tenant":"../x","sha256":"00","createdAt":"2026-01-01T00:00:00Z"}]}
            """,
        ])
    func malformed(_ content: String) throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            try content.write(toFile: path, atomically: true, encoding: .utf8)
            let error = #expect(throws: IdentityError.self) { try KeyFile.load(path: path) }
            #expect(error?.code == .fileMalformed)
        }
    }

    @Test("revoking is idempotent and an unknown id is an error")
    func revocation() throws {
        var file = KeyFile()
        _ = try file.add(tenant: "acme")
        let id = try #require(file.keys.first?.id)
        try file.revoke(id, now: Date(timeIntervalSince1970: 100))
        try file.revoke(id, now: Date(timeIntervalSince1970: 200))
        #expect(file.keys[0].revokedAt == Date(timeIntervalSince1970: 100))
        let error = #expect(throws: IdentityError.self) { try file.revoke("key_0") }
        #expect(error?.code == .keyNotFound)
    }

    @Test("a bad tenant name is refused")
    func badTenant() {
        var file = KeyFile()
        let error = #expect(throws: IdentityError.self) { try file.add(tenant: "no spaces") }
        #expect(error?.code == .invalidArgument)
        #expect(file.keys.isEmpty)
    }

    @Test("concurrent updates lose nothing")
    func concurrentUpdates() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<16 {
                    group.addTask { _ = try KeyFile.update(path: path) { try $0.add(tenant: "tenant-\(index)") } }
                }
                try await group.waitForAll()
            }
            #expect(Set(try KeyFile.load(path: path).keys.map(\.tenant)).count == 16)
        }
    }
}

/// Runs `body` with an empty directory that is gone afterwards.
func withTemporaryDirectory<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let path = NSTemporaryDirectory() + "/identity-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

/// Runs `body` with an empty directory that is gone afterwards.
func withTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
    let path = NSTemporaryDirectory() + "/identity-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
}
