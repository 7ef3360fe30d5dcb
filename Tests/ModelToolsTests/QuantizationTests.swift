import Foundation
import ModelFiles
import ModelTools
import Tensors
import Testing

/// Quantised files against those of llama.cpp's quantiser.
@Suite("Quantisation", .disabled(if: Oracle.isMissing, "the oracle folder is not here"))
struct QuantizationTests {
    private func quantize<R>(_ source: String, _ target: QuantizationTarget, _ body: (GGUFFile) throws -> R) throws -> R
    {
        try withTemporaryDirectory { folder in
            let path = folder + "/model.gguf"
            _ = try ModelQuantizer(ModelPlan.read(path: source), target: target).write(to: path)
            return try body(GGUFFile(path: path))
        }
    }

    @Test(
        "the same types, and blocks of 32 have the same bytes, from GGUF",
        arguments: [
            ("llama-deepseek-llm", QuantizationTarget.q8_0, "Q8_0"), ("llama-deepseek-llm", .q4_K_M, "Q4_K_M"),
            ("qwen2", .q8_0, "Q8_0"), ("qwen2", .q4_K_M, "Q4_K_M"), ("deepseek-v3", .q8_0, "Q8_0"),
            ("deepseek-v2-lite-27l", .q8_0, "Q8_0"),
        ])
    func equalsReference(name: String, target: QuantizationTarget, suffix: String) throws {
        let reference = try GGUFFile(path: Oracle.path("gguf/\(name)/\(name)-\(suffix).gguf"))
        for source in [Oracle.path("gguf/\(name)/\(name)-F16.gguf"), Oracle.path(name)] {
            try quantize(source, target) { file in
                #expect(Set(file.tensorNames) == Set(reference.tensorNames))
                for name in reference.tensorNames {
                    let ours = try file.tensor(name)
                    let theirs = try reference.tensor(name)
                    #expect(ours.elementType == theirs.elementType, "\(name)")
                    #expect(ours.bytes.elementsEqual(theirs.bytes), "\(name)")
                }
                #expect(try file.metadata.int("general.file_type") == reference.metadata.int("general.file_type"))
            }
        }
    }

    /// The sources of these are not in the folder; their Q8_0 is, and is fine enough to compare types by.
    @Test(
        "the mixtures choose the same types as llama.cpp",
        arguments: [
            ("llama-k256", QuantizationTarget.q4_K_M, "Q4_K_M"), ("llama-k256", .q5_K_M, "Q5_K_M"),
            ("llama-k256", .q4_0, "Q4_0"), ("deepseek-v3-k256", .q4_K_M, "Q4_K_M"),
        ])
    func mixtures(name: String, target: QuantizationTarget, suffix: String) throws {
        let reference = try GGUFFile(path: Oracle.path("gguf/\(name)/\(name)-\(suffix).gguf"))
        try quantize(Oracle.path("gguf/\(name)/\(name)-Q8_0.gguf"), target) { file in
            for name in reference.tensorNames {
                let ours = try file.tensor(name).elementType.name
                let theirs = try reference.tensor(name).elementType.name
                #expect(ours == theirs, "\(name)")
            }
        }
    }

    @Test("the report's error is that of the file")
    func report() throws {
        try withTemporaryDirectory { folder in
            let plan = try ModelPlan.read(path: Oracle.path("llama-deepseek-llm"))
            let report = try ModelQuantizer(plan, target: .q8_0).write(to: folder + "/m.gguf")
            #expect((0.001..<0.02).contains(report.relativeError))
            #expect(report.classes.contains { $0.name == "attn_norm" && $0.relativeError == 0 && $0.types == ["F32"] })
            #expect(report.parameterCount == report.classes.reduce(0) { $0 + $1.elementCount })
            let finer = try ModelQuantizer(plan, target: .f32).write(to: folder + "/f.gguf")
            #expect(finer.relativeError == 0)
        }
    }

    @Test("a value that is not a number is refused, and nothing is left")
    func notFinite() throws {
        try withTemporaryDirectory { folder in
            var plan = try ModelPlan.read(path: Oracle.path("llama-deepseek-llm"))
            let bad = PlannedTensor(name: "x.weight", shape: [2, 32], sources: []) {
                { _, output in for i in 0..<32 { output[i] = i == 7 ? .nan : 1 } }
            }
            plan = ModelPlan(source: plan.source, metadata: plan.metadata, tensors: plan.tensors + [bad])
            #expect { try ModelQuantizer(plan, target: .q8_0).write(to: folder + "/m.gguf") } throws: {
                "\($0)".contains("x.weight")
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        }
    }
}
