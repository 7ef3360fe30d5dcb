/// A GGUF model in parts, as `llama-gguf-split` writes it.
///
/// Parts are called `NAME-00001-of-00003.gguf`, counted from one, and lie in one folder. Each has `split.no` (from zero),
/// `split.count` and `split.tensors.count` (tensors of all parts together); only the first has the model's metadata.
enum GGUFSplit {
    /// The most parts a model may have; what the five digits of the names allow.
    static let maximumPartCount = 99_999

    /// A part's file name taken apart.
    struct Name: Equatable {
        /// All before the numbers, with the folder.
        let prefix: String
        /// From one.
        let number: Int
        let count: Int

        /// nil for a path that is not named as a part is.
        init?(path: String) {
            guard path.hasSuffix(".gguf") else { return nil }
            let tail = path.dropLast(5).suffix(15)  // "-00001-of-00003"
            guard tail.utf8.count == 15, tail.first == "-", tail.dropFirst(6).prefix(4) == "-of-",
                let number = Self.fiveDigits(tail.dropFirst().prefix(5)), let count = Self.fiveDigits(tail.suffix(5)),
                number >= 1, number <= count
            else { return nil }
            prefix = String(path.dropLast(5 + 15))
            self.number = number
            self.count = count
        }

        /// The path of another part of the same model.
        func path(number: Int) -> String {
            func digits(_ value: Int) -> String {
                let text = String(value)
                return String(repeating: "0", count: max(0, 5 - text.utf8.count)) + text
            }
            return "\(prefix)-\(digits(number))-of-\(digits(count)).gguf"
        }

        private static func fiveDigits(_ text: Substring) -> Int? {
            text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
        }
    }

    /// Opens the model that `path` is a part of: all its parts, in order; one for a file that is not split, or has been merged.
    ///
    /// - Throws: `ModelFileError` as for one file; `badSplit` naming the part that does not belong.
    static func parts(of path: String) throws(ModelFileError) -> [GGUFPart] {
        let opened = try GGUFPart(MappedFile(path: path))
        let count = try value("split.count", of: opened) ?? 1
        // `llama-gguf-split --merge` makes one file of the parts, and leaves the keys in it with a count of 0.
        guard count > 1 else { return [opened] }
        guard let name = Name(path: path) else {
            throw failure(path, "one of \(count) parts of a model, expected a name that ends in -00001-of-00003.gguf")
        }
        guard name.count == count else {
            throw failure(path, "split.count is \(count), but the name says \(name.count)")
        }
        var parts: [GGUFPart] = []
        for number in 1...count {
            parts.append(number == name.number ? opened : try GGUFPart(MappedFile(path: name.path(number: number))))
        }
        try check(parts)
        return parts
    }

    private static func check(_ parts: [GGUFPart]) throws(ModelFileError) {
        let expectedTensors = try value("split.tensors.count", of: parts[0])
        for (index, part) in parts.enumerated() {
            let path = part.file.path
            guard let number = try value("split.no", of: part), number == index else {
                throw failure(path, "split.no is not \(index), so this is not part \(index + 1)")
            }
            guard try value("split.count", of: part) == parts.count else {
                throw failure(path, "split.count is not \(parts.count) as in the first part")
            }
            guard try value("split.tensors.count", of: part) == expectedTensors else {
                throw failure(path, "split.tensors.count is not that of the first part; is this another model's part?")
            }
            guard part.parser.version == parts[0].parser.version else {
                throw failure(
                    path, "GGUF version \(part.parser.version), the first part has \(parts[0].parser.version)")
            }
            try checkSameModel(part, parts[0])
        }
        let total = parts.reduce(0) { $0 + $1.parser.tensors.count }
        guard expectedTensors == total else {
            throw failure(
                parts[0].file.path,
                "the parts hold \(total) tensors, split.tensors.count is \(expectedTensors.map(String.init) ?? "missing")"
            )
        }
    }

    /// Later parts need no metadata; what they have must not contradict the first part.
    private static func checkSameModel(_ part: GGUFPart, _ first: GGUFPart) throws(ModelFileError) {
        for key in ["general.architecture", "general.name"] {
            guard case .string(let value)? = part.parser.metadata[key] else { continue }
            guard case .string(value)? = first.parser.metadata[key] else {
                throw failure(part.file.path, "\(key) is not that of the first part; is this another model's part?")
            }
        }
    }

    /// A whole number of the metadata; nil when the key is missing.
    private static func value(_ key: String, of part: GGUFPart) throws(ModelFileError) -> Int? {
        guard let value = part.parser.metadata[key] else { return nil }
        guard let number = value.integer, (0...Int(Int32.max)).contains(number),
            key != "split.count" || number <= maximumPartCount
        else {
            throw failure(part.file.path, "\(key) is \(value.integer.map(String.init) ?? "not a whole number")")
        }
        return number
    }

    private static func failure(_ path: String, _ message: String) -> ModelFileError {
        ModelFileError(code: .badSplit, message: "\(path): \(message)")
    }
}
