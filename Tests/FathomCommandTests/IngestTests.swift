import FathomCommand
import Foundation
import Testing

struct DocumentListingTests {
    /// A folder as folders are: `docs` with links, empty and unreadable things, other kinds of files.
    private func withFolder(_ body: (_ directory: String) throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            for name in ["good.md", "sub/deep.txt", "sub/picture.png", "noextension", ".hidden.md"] {
                try write("x", to: directory + "/docs/" + name)
            }
            let files = FileManager.default
            try files.createSymbolicLink(atPath: directory + "/docs/dangling.txt", withDestinationPath: "nowhere")
            try files.createSymbolicLink(atPath: directory + "/docs/sub/circle", withDestinationPath: "..")
            try files.createSymbolicLink(atPath: directory + "/docs/link.md", withDestinationPath: "good.md")
            #expect(mkfifo(directory + "/docs/pipe.txt", 0o600) == 0)
            try body(directory)
        }
    }

    @Test("everything that is not ingested is named with its reason, and ends nothing")
    func reasons() async throws {
        try await withFolder { directory in
            let listing = try DocumentFinder.find([
                directory + "/docs", directory + "/none.md", directory + "/docs/sub/picture.png",
            ])
            #expect(listing.documents.map(\.name) == ["good.md", "link.md", "sub/deep.txt"])
            #expect(
                Set(listing.failures.map(\.name)) == [
                    "dangling.txt", directory + "/none.md", directory + "/docs/sub/picture.png",
                ])
            #expect(Set(listing.skipped.map(\.name)) == ["noextension", "pipe.txt", "sub/circle", "sub/picture.png"])
            #expect((listing.failures + listing.skipped).allSatisfy { !$0.reason.isEmpty })
            #expect(listing.skipped.contains { $0.name == "sub/picture.png" && $0.reason.contains(".png") })
        }
    }

    @Test("a document is known by its absolute path, however it was reached, or by that below a root")
    func identity() async throws {
        try await withFolder { directory in
            let real = URL(fileURLWithPath: directory).resolvingSymlinksInPath().path
            let ways = [
                directory + "/docs", directory + "/docs/", directory + "/docs/sub/..", directory + "/docs/good.md",
            ]
            for way in ways {
                let listing = try DocumentFinder.find([way])
                #expect(listing.documents.first?.id == real + "/docs/good.md", "\(way)")
            }
            let twice = try DocumentFinder.find([directory + "/docs", directory + "/docs/sub"])
            #expect(twice.documents.count == 3)
            let below = try DocumentFinder.find([directory + "/docs"], root: directory)
            #expect(below.documents.map(\.id) == ["docs/good.md", "docs/link.md", "docs/sub/deep.txt"])
            let outside = try DocumentFinder.find([directory + "/docs"], root: directory + "/docs/sub")
            #expect(outside.documents.isEmpty && outside.failures.count == 1)
            #expect(throws: CommandError.self) { try DocumentFinder.find([directory], root: directory + "/none") }
        }
    }

    @Test("only what was looked for and is not there is gone")
    func gone() async throws {
        try await withFolder { directory in
            let real = URL(fileURLWithPath: directory).resolvingSymlinksInPath().path
            let listing = try DocumentFinder.find([directory + "/docs"])
            #expect(listing.isGone(real + "/docs/removed.md"))
            #expect(!listing.isGone(real + "/docs/good.md"))
            #expect(!listing.isGone(real + "/docs/dangling.txt"))
            #expect(!listing.isGone(real + "/other/removed.md"))
            #expect(!listing.isGone("somebody's id"))
            let below = try DocumentFinder.find([directory], root: directory)
            #expect(below.isGone("docs/removed.md") && !below.isGone("docs/good.md"))
            #expect(!below.isGone(real + "/docs/removed.md"))
        }
    }
}

struct KnownDocumentsTests {
    private func known(_ json: String) throws -> KnownDocuments {
        KnownDocuments(try JSONDecoder().decode([VectorStoreFileObject].self, from: Data(json.utf8)))
    }

    @Test("a document is kept, replaced, adopted or added by what the store holds of it")
    func actions() throws {
        let documents = try known(
            """
            [{"id": "1", "status": "completed", "document_id": "a", "sha256": "aa"},
             {"id": "2", "status": "failed", "document_id": "a", "sha256": "ab"},
             {"id": "3", "status": "completed", "document_id": "b", "sha256": "ba"},
             {"id": "4", "status": "in_progress", "document_id": "b", "sha256": "bb"},
             {"id": "5", "status": "failed", "document_id": "c", "sha256": "ca"},
             {"id": "6", "status": "completed", "document_id": null, "sha256": "da"},
             {"id": "7", "status": "completed"}]
            """)
        #expect(documents.action(for: "a", sha256: "aa") == .keep(file: "1", isIndexed: true))
        #expect(documents.action(for: "a", sha256: "ab") == .replace)
        #expect(documents.action(for: "b", sha256: "bb") == .keep(file: "4", isIndexed: false))
        // The version that is on its way would replace this one.
        #expect(documents.action(for: "b", sha256: "ba") == .replace)
        #expect(documents.action(for: "c", sha256: "ca") == .add)
        #expect(documents.action(for: "d", sha256: "da") == .adopt(file: "6"))
        #expect(documents.action(for: "d", sha256: "db") == .add)
        #expect(documents.gone { $0 != "a" }.map(\.document) == ["b", "c"])
        #expect(documents.gone { $0 == "b" }.map(\.files) == [["3", "4"]])
    }

    @Test("the report says what was done in one line")
    func summary() {
        var report = IngestReport()
        report.added = 3
        report.changed = 1
        report.unchanged = 12
        report.removed = 2
        #expect(report.summary == "3 added, 1 changed, 12 unchanged, 2 removed, 0 failed" && report.isComplete)
        report.untried = 4
        #expect(report.summary.hasSuffix(", 4 not tried") && !report.isComplete)
    }
}
