import Foundation
import ModelFiles
import Tensors
import Testing

@Suite("GGUFWriter")
struct GGUFWriterTests {
    private func withFolder<R>(_ body: (String) throws -> R) throws -> R {
        try SafetensorsBuilder.withFolder([:], body)
    }

    @Test("every kind of value, and tensors with their padding, come back as they were")
    func roundTrip() throws {
        try ModelFixture.withFile(GGUFBuilder.sample().file) { source in
            try withFolder { folder in
                let original = try GGUFFile(path: source)
                let metadata = original.metadata.keys.compactMap { key in original.metadata[key].map { (key, $0) } }
                let tensors = [
                    try GGUFWriter.Tensor(name: "a", shape: [2, 3], type: .f32),
                    try GGUFWriter.Tensor(name: "b", shape: [1, 2, 32], type: .q4_0),
                    try GGUFWriter.Tensor(name: "c", shape: [1], type: .f32),
                ]
                let path = folder + "/out.gguf"
                let writer = try GGUFWriter(path: path, metadata: metadata, tensors: tensors)
                let bytes = tensors.map { tensor in (0..<tensor.byteCount).map { UInt8(truncatingIfNeeded: $0 * 3) } }
                for data in bytes {
                    // In two calls, as a stream comes.
                    try data[..<3].withUnsafeBytes { try writer.write($0) }
                    try data[3...].withUnsafeBytes { try writer.write($0) }
                }
                try writer.finish()
                let written = try GGUFFile(path: path)
                #expect(written.tensorNames == ["a", "b", "c"])
                for (tensor, data) in zip(tensors, bytes) {
                    let view = try written.tensor(tensor.name)
                    #expect(view.shape == tensor.shape && view.elementType == tensor.type && Array(view.bytes) == data)
                }
                #expect(written.metadata.keys == original.metadata.keys)
                for key in original.metadata.keys {
                    #expect("\(try #require(written.metadata[key]))" == "\(try #require(original.metadata[key]))")
                }
                let left = try FileManager.default.contentsOfDirectory(atPath: folder)
                #expect(left == ["out.gguf"])
            }
        }
    }

    @Test("a write that is given up leaves neither the file nor a part of it, and keeps what was there")
    func abandoned() throws {
        try withFolder { folder in
            let path = folder + "/out.gguf"
            try ModelFixture.write([1, 2, 3], to: path)
            let tensor = try GGUFWriter.Tensor(name: "a", shape: [8], type: .f32)
            do {
                let writer = try GGUFWriter(path: path, metadata: [], tensors: [tensor])
                let error = #expect(throws: ModelFileError.self) { try writer.finish() }
                #expect(error?.code == .truncated)
                try [UInt8](repeating: 0, count: 30).withUnsafeBytes { try writer.write($0) }
                #expect(throws: ModelFileError.self) {
                    try [UInt8](repeating: 0, count: 3).withUnsafeBytes { try writer.write($0) }
                }
            }
            let left = try FileManager.default.contentsOfDirectory(atPath: folder)
            let content = FileManager.default.contents(atPath: path)
            #expect(left == ["out.gguf"] && content == Data([1, 2, 3]))
        }
    }

    @Test("shapes and types that GGUF does not have, and names that occur twice, are refused")
    func refusals() throws {
        let impossible: [([Int], ElementType)] = [
            ([], .f32), ([1, 1, 1, 1, 1], .f32), ([31], .q4_0), ([0], .f32), ([-1], .f32), ([2], .f8_E4M3),
            ([Int.max / 2], .f64),
        ]
        for (shape, type) in impossible {
            #expect(throws: ModelFileError.self) { try GGUFWriter.Tensor(name: "a", shape: shape, type: type) }
        }
        try withFolder { folder in
            let tensor = try GGUFWriter.Tensor(name: "a", shape: [8], type: .f32)
            #expect(throws: ModelFileError.self) {
                try GGUFWriter(path: folder + "/x", metadata: [], tensors: [tensor, tensor])
            }
            #expect(throws: ModelFileError.self) {
                try GGUFWriter(path: folder + "/none/x", metadata: [], tensors: [tensor])
            }
        }
    }
}
