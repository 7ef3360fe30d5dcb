extension GGUFDocument {
    /// Changes one field, or two, to something that a hostile or careless writer could put there.
    mutating func mutate(_ random: inout SplitMix64) {
        for _ in 0..<Int.random(in: 1...2, using: &random) {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6: mutateKey(&random)
            case 6..<9: mutateTensor(&random)
            default: mutateData(&random)
            }
        }
    }

    // MARK: - Metadata

    private mutating func mutateKey(_ random: inout SplitMix64) {
        guard !keys.isEmpty else { return }
        let index = Int.random(in: keys.indices, using: &random)
        switch Int.random(in: 0..<12, using: &random) {
        case 0: keys.remove(at: index)
        case 1:
            let other = keys[Int.random(in: keys.indices, using: &random)]
            (keys[index].type, keys[index].value) = (other.type, other.value)
        case 2: (keys[index].type, keys[index].value) = (ValueType.string, Self.string(Self.text(&random)))
        case 3: (keys[index].type, keys[index].value) = (ValueType.array, Self.array(&random))
        case 4, 5:
            let edges = [Double.nan, .infinity, -.infinity, 0, -1, 1e300, 1e-300, 0.5, 1e9]
            let value = edges.randomElement(using: &random) ?? 0
            keys[index].type = Bool.random(using: &random) ? ValueType.float64 : ValueType.float32
            keys[index].value =
                keys[index].type == ValueType.float64
                ? Self.bytes(value.bitPattern) : Self.bytes(Float(value).bitPattern)
        case 6: (keys[index].type, keys[index].value) = (ValueType.bool, [UInt8.random(in: 0...1, using: &random)])
        case 7 where keys[index].type == ValueType.array: shortenArray(index, &random)
        case 7, 8:
            // A key that the file lacks so far.
            let known = [
                "vocab_size", "rope.scaling.type", "rope.scaling.factor", "rope.dimension_count", "expert_count",
                "expert_used_count", "expert_group_count", "attention.key_length", "attention.sliding_window",
                "attention.sliding_window_pattern", "leading_dense_block_count", "attention.kv_lora_rank",
            ]
            let architecture = keys.first { $0.name.hasSuffix(".block_count") }?.name.split(separator: ".").first
            let name = "\(architecture ?? "llama").\(known.randomElement(using: &random) ?? "")"
            keys.removeAll { $0.name == name }
            keys.append(Key(name: name, type: ValueType.int64, value: Self.bytes(Self.edge(&random))))
        default:
            (keys[index].type, keys[index].value) = (ValueType.int64, Self.bytes(Self.edge(&random)))
            if Bool.random(using: &random) {
                let small = UInt32.random(in: 0...600, using: &random)
                (keys[index].type, keys[index].value) = (ValueType.uint32, Self.bytes(small))
            }
        }
    }

    /// Takes elements of scalars off the end.
    private mutating func shortenArray(_ index: Int, _ random: inout SplitMix64) {
        let value = keys[index].value
        let element = Int(value[0])
        guard ValueType.sizes.indices.contains(element), ValueType.sizes[element] > 0 else { return }
        let size = ValueType.sizes[element]
        let count = Int.random(in: 0...max(0, (value.count - 12) / size), using: &random)
        keys[index].value = Array(value[..<4]) + Self.bytes(UInt64(count)) + value[12..<12 + count * size]
    }

    static func edge(_ random: inout SplitMix64) -> Int64 {
        let edges: [Int64] = [
            0, 1, 2, 3, 5, 7, 16, 31, 63, 255, 256, 257, 1024, 65_535, 65_536, 1 << 20, .max, .max - 1, .min, -1, -2,
            1 << 31, 1 << 32, 1 << 40, 1 << 62, 1 << 53,
        ]
        return edges.randomElement(using: &random) ?? 0
    }

    private static func text(_ random: inout SplitMix64) -> String {
        let texts = [
            "", "llama", "deepseek2", "gemma3", "yarn", "linear", "none", "gpt2", "bert", "t5", "default", "qwen2",
            "\u{0}", String(repeating: "x", count: 100_000), "{{ messages[0] }}",
            "{% for i in range(99999999) %}{% for j in range(99999999) %}x{% endfor %}{% endfor %}",
            String(repeating: "{{ (", count: 5_000), "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        ]
        return texts.randomElement(using: &random) ?? ""
    }

    private static func array(_ random: inout SplitMix64) -> [UInt8] {
        switch Int.random(in: 0..<5, using: &random) {
        case 0: return bytes(ValueType.string) + bytes(UInt64(0))
        case 1: return bytes(ValueType.string) + bytes(UInt64(2)) + string("a") + string("")
        case 2: return bytes(ValueType.int64) + bytes(UInt64(2)) + bytes(edge(&random)) + bytes(edge(&random))
        case 3: return bytes(ValueType.float64) + bytes(UInt64(1)) + bytes(Double.nan.bitPattern)
        default:
            let inner = bytes(ValueType.array) + bytes(UInt64(1))
            let depth = Int.random(in: 0..<20, using: &random)
            return (0..<depth).flatMap { _ in inner } + bytes(ValueType.uint32) + bytes(UInt64(0))
        }
    }

    // MARK: - Tensors

    private mutating func mutateTensor(_ random: inout SplitMix64) {
        guard !tensors.isEmpty else { return }
        let index = Int.random(in: tensors.indices, using: &random)
        let other = Int.random(in: tensors.indices, using: &random)
        switch Int.random(in: 0..<9, using: &random) {
        case 0: tensors.remove(at: index)
        case 1: (tensors[index].name, tensors[other].name) = (tensors[other].name, tensors[index].name)
        case 2: tensors[index].offset = tensors[other].offset
        case 3: tensors[index].offset = UInt64(bitPattern: Self.edge(&random))
        case 4: tensors[index].type = UInt32.random(in: 0...40, using: &random)
        case 5: tensors[index].dimensions.reverse()
        case 6: mutateName(index, &random)
        default: mutateShape(index, &random)
        }
    }

    private mutating func mutateShape(_ index: Int, _ random: inout SplitMix64) {
        let edge = UInt64(bitPattern: Self.edge(&random))
        switch Int.random(in: 0..<5, using: &random) {
        case 0 where !tensors[index].dimensions.isEmpty: tensors[index].dimensions.removeLast()
        case 1: tensors[index].dimensions.append(edge)
        case 2: tensors[index].dimensions = [0, edge]
        case 3: tensors[index].dimensions = [edge, 0, 5]
        default:
            guard let place = tensors[index].dimensions.indices.randomElement(using: &random) else { return }
            tensors[index].dimensions[place] = edge
        }
    }

    private mutating func mutateName(_ index: Int, _ random: inout SplitMix64) {
        let names = [
            "blk.-1.attn_q.weight", "blk.\(Int.max).ffn_down.weight", "blk.\(Int.min).ffn_down.weight", "blk.0.x",
            "blk.99999999999999999999.attn_q.weight", "", "blk..", "blk.1.attn_v.weight.ffn_down", "rope_freqs.weight",
            "output.weight", "a\u{1B}[2J\nb", "blk.0.attn_q.bias", "blk.0.ffn_down_exps.weight",
            "blk.0.attn_kv_b.weight",
        ]
        tensors[index].name = names.randomElement(using: &random) ?? ""
    }

    /// Weights that are no numbers, or infinite, or just others.
    private mutating func mutateData(_ random: inout SplitMix64) {
        guard !data.isEmpty else { return }
        let start = Int.random(in: data.indices, using: &random)
        let byte = UInt8.random(in: 0...255, using: &random)
        for at in start..<min(start + Int.random(in: 1...20_000, using: &random), data.count) {
            data[at] = Bool.random(using: &random) ? 0xFF : byte
        }
    }
}

/// A small seeded generator: the same mutants in every run.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}

extension [UInt8] {
    /// Changes some bytes, as a broken disk or transfer does.
    mutating func mutate(below limit: Int, _ random: inout SplitMix64) {
        for _ in 0..<Int.random(in: 1...4, using: &random) where !isEmpty {
            let at = Int.random(in: 0..<Swift.min(Swift.max(limit, 1), count), using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: self[at] = UInt8.random(in: 0...255, using: &random)
            case 1: self[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: removeSubrange(at...)
            case 3: removeSubrange(at..<Swift.min(at + Int.random(in: 1...16, using: &random), count))
            default: self[at] = Array("0123456789-.,:{}[]\"\\eu".utf8).randomElement(using: &random) ?? 0
            }
        }
    }
}
