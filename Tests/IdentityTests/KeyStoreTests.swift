import Foundation
import Identity
import Testing

struct KeyStoreTests {
    @Test("a known key gives its principal; others give nothing")
    func authentication() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            let (a, b) = try KeyFile.update(path: path) { (try $0.add(tenant: "a"), try $0.add(tenant: "b")) }
            let store = try KeyStore(path: path)
            #expect(store.authenticate(a.plainText)?.tenant == "a")
            #expect(store.authenticate(b.plainText)?.tenant == "b")
            #expect(store.authenticate(APIKey.generate().plainText) == nil)
            #expect(store.authenticate("nonsense") == nil)
            #expect(store.authenticate(a.sha256) == nil)
        }
    }

    @Test("a changed file counts after the check interval, and not before")
    func reload() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            let start = ContinuousClock.now
            let first = try KeyFile.update(path: path) { try $0.add(tenant: "a") }
            let store = try KeyStore(path: path, now: start)
            let second = try KeyFile.update(path: path) { file in
                try file.revoke(file.keys[0].id)
                return try file.add(tenant: "b")
            }
            #expect(store.authenticate(first.plainText, now: start + .milliseconds(900)) != nil)
            #expect(store.authenticate(second.plainText, now: start + .milliseconds(950)) == nil)
            #expect(store.authenticate(first.plainText, now: start + .milliseconds(1_100)) == nil)
            #expect(store.authenticate(second.plainText, now: start + .milliseconds(1_200))?.tenant == "b")
            #expect(store.activeKeyCount == 1)
        }
    }

    @Test("a file that became unreadable keeps the old keys and says so")
    func brokenReload() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            let start = ContinuousClock.now
            let key = try KeyFile.update(path: path) { try $0.add(tenant: "a") }
            let store = try KeyStore(path: path, now: start)
            try "{".write(toFile: path, atomically: true, encoding: .utf8)
            #expect(store.authenticate(key.plainText, now: start + .seconds(2)) != nil)
            #expect(store.reloadError != nil)
            try KeyFile().save(path: path)
            #expect(store.authenticate(key.plainText, now: start + .seconds(4)) == nil)
            #expect(store.reloadError == nil)
        }
    }

    @Test("looking without a key notices a file that became unreadable, and one that is well again without a change")
    func refresh() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            let start = ContinuousClock.now
            try KeyFile.update(path: path) { _ = try $0.add(tenant: "a") }
            let store = try KeyStore(path: path, now: start)
            #expect(store.refresh(now: start + .seconds(2)) == nil)
            let aside = directory + "/aside.json"
            try FileManager.default.moveItem(atPath: path, toPath: aside)
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            #expect(store.refresh(now: start + .seconds(4)) != nil)
            #expect(store.activeKeyCount == 1)
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.moveItem(atPath: aside, toPath: path)
            #expect(store.refresh(now: start + .seconds(6)) == nil)
        }
    }

    @Test("only a file that is not there is an empty one")
    func unreachable() throws {
        try withTemporaryDirectory { directory in
            #expect(try KeyFile.load(path: directory + "/none.json") == KeyFile())
            try "no directory".write(toFile: directory + "/file", atomically: true, encoding: .utf8)
            #expect(throws: IdentityError.self) { try KeyFile.load(path: directory + "/file/keys.json") }
        }
    }

    @Test("a broken file refuses the start")
    func brokenStart() throws {
        try withTemporaryDirectory { directory in
            let path = directory + "/keys.json"
            try "{".write(toFile: path, atomically: true, encoding: .utf8)
            #expect(throws: IdentityError.self) { try KeyStore(path: path) }
        }
    }
}
