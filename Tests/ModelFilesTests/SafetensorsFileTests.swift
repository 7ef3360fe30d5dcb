import ModelFiles
import Tensors
import Testing

@Suite("SafetensorsFile")
struct SafetensorsFileTests {
    static func file(_ header: String, data: Int) -> [UInt8] {
        GGUFBuilder.bytes(UInt64(header.utf8.count)) + Array(header.utf8)
            + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
    }

    static let sample = file(
        #"{"__metadata__":{"format":"pt","note":"\u00e9\n"},"b":{"dtype":"I8","shape":[3],"data_offsets":[24,27]},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"e":{"dtype":"F16","shape":[0,4],"data_offsets":[27,27]},"f":{"dtype":"F8_E5M2","shape":[5],"data_offsets":[27,32]}}   "#,
        data: 32)

    @Test("tensors and metadata are read")
    func sample() throws {
        try ModelFixture.withFile(Self.sample) { path in
            let file = try SafetensorsFile(path: path)
            #expect(file.metadata == ["format": "pt", "note": "é\n"])
            #expect(file.tensorNames == ["a", "b", "e", "f"])
            let tensor = try file.tensor("a")
            #expect(tensor.shape == [2, 3])
            #expect(tensor.elementType == .f32)
            #expect(Array(tensor.bytes) == (0..<24).map { UInt8($0) })
            #expect(try Array(file.tensor("b").bytes) == [24, 25, 26])
            #expect(try file.tensor("e").bytes.isEmpty)
            #expect { try file.tensor("f") } throws: { ($0 as? ModelFileError)?.code == .unsupportedType }
            #expect { try file.tensor("g") } throws: { ($0 as? ModelFileError)?.code == .missingTensor }
        }
    }

    @Test("a tensor at an odd address is readable all the same", arguments: 0..<8)
    func misaligned(padding: Int) throws {
        let header = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"# + String(repeating: " ", count: padding)
        try ModelFixture.withFile(Self.file(header, data: 8)) { path in
            let tensor = try SafetensorsFile(path: path).tensor("a")
            #expect(Array(tensor.bytes) == Array(0..<8))
            #expect(UInt(bitPattern: tensor.bytes.baseAddress) % 4 == 0)
        }
    }

    @Test("the encoder's weights open with all their tensors")
    func encoder() throws {
        let file = try SafetensorsFile(path: try ModelFixture.path("all-minilm-l6-v2/model.safetensors"))
        #expect(try file.tensor("embeddings.word_embeddings.weight").shape == [30522, 384])
        #expect(file.tensors.count == file.tensorNames.count)
    }

    @Test(
        "a broken file is refused with its path and what was expected",
        arguments: [
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, ModelFileError.Code.malformed),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7, .badOffset),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9, .badOffset),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12, .badOffset),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, .badOffset),
            (
                #"{"a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}}"#,
                3, .badOffset
            ),
            (
                #"{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"I8","shape":[1],"data_offsets":[2,3]}}"#,
                3, .badOffset
            ),
            (
                #"{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}}"#,
                2, .duplicateName
            ),
            (#"{"a":{"dtype":"Q3","shape":[1],"data_offsets":[0,1]}}"#, 1, .unknownType),
            (#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,1]}}"#, 1, .tooLarge),
            (#"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,1]}}"#, 1, .tooLarge),
            (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,1]}}"#, 1, .malformed),
            (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,1]}}"#, 1, .malformed),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, 1, .malformed),
            (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1,2]}}"#, 1, .tooLarge),
            (#"{"a":{"dtype":"F32","data_offsets":[0,1]}}"#, 1, .malformed),
            (#"{"a":{"dtype":"I8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}"#, 1, .duplicateName),
            (#"{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1],"x":{}}}"#, 1, .malformed),
            (#"{"a":[]}"#, 0, .malformed), (#"{"a":{}"#, 0, .malformed), (#"[]"#, 0, .malformed),
            (#"{} x"#, 0, .malformed),
            (#"{"__metadata__":{"a":1}}"#, 0, .malformed), (#"{"__metadata__":{"a":"x","a":"y"}}"#, 0, .duplicateName),
            (#"{"a\ud800":{}}"#, 0, .malformed), (#"{"a\q":{}}"#, 0, .malformed),
        ])
    func broken(header: String, data: Int, code: ModelFileError.Code) throws {
        try ModelFixture.withFile(Self.file(header, data: data)) { path in
            #expect { try SafetensorsFile(path: path) } throws: { error in
                guard let error = error as? ModelFileError else { return false }
                return error.code == code && error.message.hasPrefix("\(path): at byte")
            }
        }
    }

    @Test("a header size beyond the file or the limit, and bytes that are not UTF-8, are refused")
    func header() throws {
        for (bytes, code) in [
            (GGUFBuilder.bytes(UInt64(1000)) + Array("{}".utf8), ModelFileError.Code.truncated),
            (GGUFBuilder.bytes(UInt64.max) + Array("{}".utf8), .badMagic),
            (GGUFBuilder.bytes(UInt64(0)), .malformed), ([1, 2, 3], .truncated),
            (GGUFBuilder.bytes(UInt64(4)) + [0x7B, 0x22, 0xFF, 0x22], .notUTF8),
            (GGUFBuilder.sample().file, .badMagic),
        ] {
            try ModelFixture.withFile(bytes) { path in
                #expect { try SafetensorsFile(path: path) } throws: { ($0 as? ModelFileError)?.code == code }
            }
        }
    }
}
