import Engine
import Foundation
import Testing

/// The tiny checkpoints of every architecture, against what Hugging Face transformers computes from them.
///
/// They lie outside of the repository: in `$FATHOM_ORACLE`, or in `shared/oracle` beside it. Without them there is
/// nothing to hold these tests to, and they do not run.
@Suite(.enabled(if: OracleFolder.path != nil)) struct ModelCheckTests {
    @Test("in f32 every architecture and file is within 1e-4 at every position, greedy tokens equal")
    func exact() throws {
        try check(ModelCheck(threads: 2, exact: true))
    }

    @Test("on the fast path every file is within its tolerance")
    func fast() throws {
        try check(ModelCheck(threads: 2, exact: false))
    }

    @Test("a wrong expectation is told: a shifted log-probability, another greedy token")
    func tellsDifferences() throws {
        let path = try #require(OracleFolder.path) + "/qwen2/expected.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let range = try #require(text.range(of: "\"logprobs\":"))
        let shifted = text.replacingOccurrences(of: "-1.", with: "-9.", range: range.lowerBound..<text.endIndex)
        let copy = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).json")
        try Data(shifted.utf8).write(to: copy)
        defer { try? FileManager.default.removeItem(at: copy) }
        let report = try ModelCheck(threads: 1, exact: true).run(
            modelPath: ModelCheck.modelPath(forExpectation: path), expectation: CheckExpectation(path: copy.path))
        #expect(!report.isWithinTolerance && report.positions.max > 1)
    }

    private func check(_ check: ModelCheck) throws {
        let expectations = try OracleFolder.expectations()
        #expect(expectations.count > 20)
        for path in expectations {
            do {
                let expectation = try CheckExpectation(path: path)
                let report = try check.run(
                    modelPath: ModelCheck.modelPath(forExpectation: path), expectation: expectation)
                #expect(report.isWithinTolerance, "\(path): \(report)")
            } catch {
                Issue.record("\(path): \(error)")
            }
        }
    }
}

/// Where the oracles are.
enum OracleFolder {
    static let path: String? = {
        let environment = ProcessInfo.processInfo.environment["FATHOM_ORACLE"]
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let beside = repository.deletingLastPathComponent().appendingPathComponent("shared/oracle").path
        return [environment, beside].compactMap { $0.map { $0 + "/architectures" } }.first {
            FileManager.default.fileExists(atPath: $0)
        }
    }()

    /// All expectations of decoder models.
    static func expectations() throws -> [String] {
        guard let path else { return [] }
        let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
        return try names.sorted().filter { $0.hasSuffix("expected.json") }.map { "\(path)/\($0)" }.filter {
            try String(contentsOfFile: $0, encoding: .utf8).contains(CheckExpectation.format)
        }
    }
}
