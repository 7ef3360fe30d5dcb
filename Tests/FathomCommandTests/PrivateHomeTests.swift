import FathomCommand
import Foundation
import Glibc
import Testing

struct PrivateHomeTests {
    private func mode(_ path: String) throws -> mode_t {
        var information = stat()
        try #require(stat(path, &information) == 0)
        return information.st_mode & 0o7777
    }

    @Test("a new home and its folders are for their owner only, whatever the umask")
    func fresh() async throws {
        try await withTemporaryDirectory { scratch in
            let home = HomeDirectory(path: scratch + "/a/b/home")
            try home.prepare()
            try home.prepare()
            for folder in [scratch + "/a", home.path, home.logDirectory, home.runDirectory, home.storeDirectory] {
                #expect(try mode(folder) == 0o700, "\(folder)")
            }
        }
    }

    @Test("a home that others could enter is closed to them, with all its folders")
    func tightens() async throws {
        try await withTemporaryDirectory { scratch in
            let home = HomeDirectory(path: scratch + "/home")
            try home.prepare()
            try write("x", to: home.keyFile)
            for folder in [home.path, home.logDirectory] { #expect(chmod(folder, 0o755) == 0) }
            try home.prepare()
            #expect(try mode(home.path) == 0o700)
            #expect(try mode(home.logDirectory) == 0o700)
        }
    }

    @Test("a folder with other things in it is not taken over and not closed")
    func otherFolder() async throws {
        try await withTemporaryDirectory { scratch in
            try write("x", to: scratch + "/photos/cat.jpg")
            #expect(chmod(scratch + "/photos", 0o755) == 0)
            let failure = #expect(throws: CommandError.self) { try HomeDirectory(path: scratch + "/photos").prepare() }
            #expect(failure?.message.contains("cat.jpg") == true)
            #expect(try mode(scratch + "/photos") == 0o755)
            // Closed already, it is the user's own decision.
            #expect(chmod(scratch + "/photos", 0o700) == 0)
            try HomeDirectory(path: scratch + "/photos").prepare()
        }
    }

    @Test(
        "a home of another user is refused for everything", .enabled(if: geteuid() == 0, "only root can give one away"))
    func others() async throws {
        try await withTemporaryDirectory { scratch in
            let home = HomeDirectory(path: scratch + "/home")
            try home.prepare()
            try #require(chown(home.path, 12_345, 12_345) == 0)
            for attempt in [{ try home.prepare() }, { try home.checkOwner() }, { _ = try ClusterFile.load(home) }] {
                let failure = #expect(throws: CommandError.self) { try attempt() }
                #expect(failure?.message.contains("belongs to user 12345, not to you") == true)
            }
            // A link that somebody else made to a folder of ours.
            try #require(chown(home.path, geteuid(), getegid()) == 0)
            try FileManager.default.createSymbolicLink(atPath: scratch + "/link", withDestinationPath: home.path)
            try HomeDirectory(path: scratch + "/link").prepare()
            try #require(lchown(scratch + "/link", 12_345, 12_345) == 0)
            #expect(throws: CommandError.self) { try HomeDirectory(path: scratch + "/link").prepare() }
        }
    }

    @Test("a prepared link, a hard link, a pipe or a folder in place of a log or the lock is not written through")
    func preparedFiles() async throws {
        try await withTemporaryDirectory { scratch in
            let home = HomeDirectory(path: scratch + "/home")
            try home.prepare()
            let victim = scratch + "/victim"
            try write("precious", to: victim)
            let preparations: [(String, (String) throws -> Void)] = [
                ("link", { try FileManager.default.createSymbolicLink(atPath: $0, withDestinationPath: victim) }),
                (
                    "dangling",
                    { try FileManager.default.createSymbolicLink(atPath: $0, withDestinationPath: victim + "2") }
                ),
                ("hard", { try FileManager.default.linkItem(atPath: victim, toPath: $0) }),
                ("pipe", { #expect(mkfifo($0, 0o600) == 0) }),
                ("folder", { try FileManager.default.createDirectory(atPath: $0, withIntermediateDirectories: false) }),
            ]
            for (name, prepare) in preparations {
                try prepare(home.logFile(name))
                #expect(throws: CommandError.self, "\(name)") { try home.openLog(name) }
                try? FileManager.default.removeItem(atPath: home.lockFile)
                try prepare(home.lockFile)
                #expect(throws: CommandError.self, "\(name)") { try home.lock() }
            }
            #expect(try read(victim) == "precious")
            #expect(!FileManager.default.fileExists(atPath: victim + "2"))
            let log = try home.openLog("plain")
            close(log)
            #expect(try mode(home.logFile("plain")) == 0o600)
        }
    }

    @Test("rotation neither reads nor writes through links")
    func rotation() async throws {
        try await withTemporaryDirectory { scratch in
            try write("precious", to: scratch + "/victim")
            let rotation = LogRotation(maximumBytes: 4, keptFiles: 2)
            try FileManager.default.createSymbolicLink(
                atPath: scratch + "/a.log", withDestinationPath: scratch + "/victim")
            #expect(!rotation.rotateIfNeeded(scratch + "/a.log"))
            try write("long log", to: scratch + "/b.log")
            try FileManager.default.createSymbolicLink(
                atPath: scratch + "/b.log.1", withDestinationPath: scratch + "/victim")
            #expect(rotation.rotateIfNeeded(scratch + "/b.log"))
            #expect(try read(scratch + "/victim") == "precious")
            #expect(try read(scratch + "/b.log.1") == "long log")
        }
    }
}
