import ModelFiles
import Tensors
import Testing

@Suite("GGUFFile")
struct GGUFFileTests {
    @Test("every metadata type is read", arguments: [UInt32(2), 3])
    func metadata(version: UInt32) throws {
        var builder = GGUFBuilder.sample()
        builder.version = version
        try ModelFixture.withFile(builder.file) { path in
            let file = try GGUFFile(path: path)
            let metadata = file.metadata
            #expect(file.version == version)
            #expect(metadata.count == 17)
            #expect(try metadata.int("a.u8") == 200)
            #expect(try metadata.int("a.i8") == -1)
            #expect(try metadata.int("a.u16") == 60000)
            #expect(try metadata.int("a.i16") == -2)
            #expect(try metadata.int("a.u32") == 4_000_000_000)
            #expect(try metadata.int("a.i32") == -3)
            #expect(try metadata.float("a.f32") == 1.5)
            #expect(try metadata.bool("a.bool"))
            #expect(try metadata.string("a.string") == "héllo")
            #expect(try metadata.int("a.i64") == .min)
            #expect(try metadata.float("a.f64") == -0.25)
            #expect(try metadata.float("a.i32") == -3)
            #expect(try metadata.strings("a.strings") == ["x", "", "日本"])
            #expect(try metadata.ints("a.ints") == [7, -7])
            #expect(try metadata.floats("a.floats") == [2])
            if case .uint64(let value) = metadata["a.u64"] { #expect(value == .max) } else { Issue.record("a.u64") }
            guard case .array(let nested) = metadata["a.nested"], case .array(let first) = nested[0],
                case .array(let bools) = metadata["a.bools"], case .bool(false) = bools[1]
            else {
                Issue.record("arrays have the wrong types")
                return
            }
            #expect(nested.count == 2)
            #expect(first.integers == [1, 2])
            #expect(try metadata.stringIfPresent("none") == nil)
            #expect { try metadata.string("none") } throws: { ($0 as? ModelFileError)?.code == .missingKey }
            #expect { try metadata.string("a.u8") } throws: { ($0 as? ModelFileError)?.code == .wrongType }
            #expect { try metadata.int("a.u64") } throws: { ($0 as? ModelFileError)?.code == .wrongType }
            #expect { try metadata.intsIfPresent("a.strings") } throws: { ($0 as? ModelFileError)?.code == .wrongType }
        }
    }

    @Test("tensors are views with the outermost dimension first")
    func tensors() throws {
        try ModelFixture.withFile(GGUFBuilder.sample().file) { path in
            let file = try GGUFFile(path: path)
            #expect(file.tensorNames == ["t.f32", "t.q4", "t.known", "t.scalar"])
            let tensor = try file.tensor("t.f32")
            #expect(tensor.shape == [2, 3])
            #expect(Array(tensor.bytes) == (0..<24).map { UInt8($0) })
            #expect(try file.tensor("t.q4").bytes.count == 36)
            #expect(try file.tensor("t.scalar").bytes.count == 1)
            #expect { try file.tensor("nope") } throws: { ($0 as? ModelFileError)?.code == .missingTensor }
        }
    }

    @Test("a tensor of a type that is known but not readable is refused only when it is asked for")
    func unreadable() throws {
        try ModelFixture.withFile(GGUFBuilder.sample().file) { path in
            let file = try GGUFFile(path: path)
            #expect { try file.tensor("t.known") } throws: { error in
                guard let error = error as? ModelFileError else { return false }
                return error.code == .unsupportedType && error.message.contains("IQ2_XXS")
            }
        }
    }

    @Test("a tensor keeps the mapping alive after the file object is gone")
    func lifetime() throws {
        let tensor = try ModelFixture.withFile(GGUFBuilder.sample().file) { try GGUFFile(path: $0).tensor("t.f32") }
        #expect(tensor.bytes[23] == 23)
    }

    /// A named way to break the sample file, and the error that must come of it.
    struct Broken: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let code: ModelFileError.Code
        let mutate: @Sendable (inout GGUFBuilder) -> Void

        init(
            _ description: String, _ code: ModelFileError.Code,
            _ mutate: @escaping @Sendable (inout GGUFBuilder) -> Void
        ) {
            testDescription = description
            self.code = code
            self.mutate = mutate
        }
    }

    @Test(
        "a broken file is refused with its path and what was expected",
        arguments: [
            Broken("wrong magic", .badMagic) { $0.magic = Array("GGML".utf8) },
            Broken("version 1", .unsupportedVersion) { $0.version = 1 },
            Broken("version 4", .unsupportedVersion) { $0.version = 4 },
            Broken("big-endian", .unsupportedVersion) { $0.version = UInt32(3).bigEndian },
            Broken("absurd tensor count", .tooLarge) { $0.tensorCount = .max },
            Broken("absurd key count", .tooLarge) { $0.keyCount = 1 << 62 },
            Broken("one key too many", .truncated) {
                $0 = GGUFBuilder()
                $0.keyCount = 1
                $0.keys = [GGUFBuilder.string("abcdefgh")]
            },
            Broken("unknown value type", .unknownType) { $0.key("x", 13, [0]) },
            Broken("unknown array type", .unknownType) {
                $0.key("x", 9, GGUFBuilder.bytes(UInt32(99)) + [0, 0, 0, 0, 0, 0, 0, 0])
            },
            Broken("absurd array count", .tooLarge) {
                $0.key("x", 9, GGUFBuilder.bytes(UInt32(0)) + GGUFBuilder.bytes(UInt64.max))
            },
            Broken("absurd string array count", .tooLarge) {
                $0.key("x", 9, GGUFBuilder.bytes(UInt32(8)) + GGUFBuilder.bytes(UInt64(1) << 60))
            },
            Broken("absurd string length", .tooLarge) { $0.key("x", 8, GGUFBuilder.bytes(UInt64.max)) },
            Broken("string past the end", .truncated) { $0.key("x", 8, GGUFBuilder.bytes(UInt64(100_000))) },
            Broken("bool of 2", .malformed) { $0.key("x", 7, [2]) },
            Broken("bool array with a 3", .malformed) {
                $0.key("x", 9, GGUFBuilder.bytes(UInt32(7)) + GGUFBuilder.bytes(UInt64(1)) + [3])
            },
            Broken("arrays nested too deep", .tooLarge) {
                $0.key("x", 9, (0..<20).flatMap { _ in GGUFBuilder.bytes(UInt32(9)) + GGUFBuilder.bytes(UInt64(1)) })
            },
            Broken("key twice", .duplicateName) { $0.key("a.u8", 0, [1]) },
            Broken("value not UTF-8", .notUTF8) { $0.key("x", 8, GGUFBuilder.bytes(UInt64(2)) + [0xC3, 0x28]) },
            Broken("array string not UTF-8", .notUTF8) {
                $0.key(
                    "x", 9,
                    GGUFBuilder.bytes(UInt32(8)) + GGUFBuilder.bytes(UInt64(1)) + GGUFBuilder.bytes(UInt64(1)) + [0x80])
            },
            Broken("key not UTF-8", .notUTF8) {
                $0.keys.append(GGUFBuilder.bytes(UInt64(3)) + [0xED, 0xA0, 0x80] + [0, 0, 0, 0, 0])
            },
            Broken("alignment not a power of two", .malformed) {
                $0.key("general.alignment", 4, GGUFBuilder.bytes(UInt32(24)))
            },
            Broken("alignment zero", .malformed) { $0.key("general.alignment", 4, GGUFBuilder.bytes(UInt32(0))) },
            Broken("alignment a string", .malformed) { $0.key("general.alignment", 8, GGUFBuilder.string("32")) },
            Broken("tensor twice", .duplicateName) { $0.tensor("t.f32", [1], type: 0, offset: 224) },
            Broken("five dimensions", .tooLarge) { $0.tensor("x", [1, 1, 1, 1, 1], type: 0, offset: 0) },
            Broken("dimension beyond Int", .tooLarge) { $0.tensor("x", [.max], type: 0, offset: 0) },
            Broken("dimensions that overflow", .malformed) { $0.tensor("x", [1 << 40, 1 << 40], type: 0, offset: 0) },
            Broken("half a block", .malformed) { $0.tensor("x", [31], type: 2, offset: 0) },
            Broken("unknown element type", .unknownType) { $0.tensor("x", [32], type: 4, offset: 0) },
            Broken("element type far out", .unknownType) { $0.tensor("x", [32], type: 4_000_000_000, offset: 0) },
            Broken("offset not aligned", .badOffset) { $0.tensor("x", [1], type: 24, offset: 1) },
            Broken("offset outside", .badOffset) { $0.tensor("x", [1], type: 24, offset: 1 << 40) },
            Broken("offset that overflows", .badOffset) { $0.tensor("x", [1], type: 24, offset: .max - 31) },
            Broken("data past the end", .badOffset) { $0.tensor("x", [1 << 30], type: 24, offset: 0) },
            Broken("tensors that overlap", .badOffset) { $0.tensor("x", [8], type: 24, offset: 0) },
            Broken("no data at all", .badOffset) { $0.data = [] },
        ])
    func broken(_ item: Broken) throws {
        var builder = GGUFBuilder.sample()
        item.mutate(&builder)
        try ModelFixture.withFile(builder.file) { path in
            #expect { try GGUFFile(path: path) } throws: { error in
                guard let error = error as? ModelFileError else { return false }
                return error.code == item.code && error.message.hasPrefix(path)
            }
        }
    }

    @Test("a file cut off anywhere is refused, naming the byte")
    func truncated() throws {
        let bytes = GGUFBuilder.sample().file
        for count in 0..<bytes.count {
            try ModelFixture.withFile(Array(bytes[..<count])) { path in
                #expect("cut to \(count) bytes") { try GGUFFile(path: path) } throws: { error in
                    guard let error = error as? ModelFileError else { return false }
                    return [.truncated, .tooLarge, .badOffset].contains(error.code) && error.message.contains("at byte")
                }
            }
        }
    }

    @Test("a missing file, a directory and an empty file are refused")
    func notFiles() throws {
        #expect { try GGUFFile(path: "/nonexistent/model.gguf") } throws: {
            ($0 as? ModelFileError)?.code == .inputOutput
        }
        #expect { try GGUFFile(path: "/") } throws: { ($0 as? ModelFileError)?.code == .inputOutput }
        try ModelFixture.withFile([]) { path in
            #expect { try GGUFFile(path: path) } throws: { ($0 as? ModelFileError)?.code == .truncated }
        }
    }
}
