import Engine
import Foundation
import Testing

/// Every architecture against what Hugging Face transformers computes, on checkpoints that are made here: unlike
/// `ModelCheckTests` this needs nothing from outside of the repository.
@Suite struct TinyCheckpointTests {
    @Test(
        "every family is within 1e-4 in f32, and within its tolerance on the fast path",
        arguments: TinyCheckpoint.families)
    func agrees(family: String) throws {
        let checkpoint = try TinyCheckpoint(family)
        defer { checkpoint.remove() }
        let path = checkpoint.folder.appendingPathComponent("expected.json").path
        for exact in [true, false] {
            let report = try ModelCheck(threads: 2, exact: exact).run(
                modelPath: ModelCheck.modelPath(forExpectation: path), expectation: CheckExpectation(path: path))
            #expect(report.isWithinTolerance, "\(family), exact \(exact): \(report)")
            #expect(report.greedyCount == 16)
        }
    }

    @Test("a wrong value of config.json shows")
    func tellsDifferences() throws {
        let checkpoint = try TinyCheckpoint("qwen3")
        defer { checkpoint.remove() }
        let configuration = checkpoint.folder.appendingPathComponent("config.json")
        let text = try String(contentsOf: configuration, encoding: .utf8)
        let changed = text.replacingOccurrences(of: "\"rope_theta\": 10000", with: "\"rope_theta\": 20000")
        #expect(changed != text)
        try Data(changed.utf8).write(to: configuration)
        let path = checkpoint.folder.appendingPathComponent("expected.json").path
        let report = try ModelCheck(threads: 1, exact: true).run(
            modelPath: ModelCheck.modelPath(forExpectation: path), expectation: CheckExpectation(path: path))
        #expect(!report.isWithinTolerance)
    }
}
