import ModelFiles
import Tensors

/// What a quantised file is made of; raw values are llama.cpp's names.
package enum QuantizationTarget: String, CaseIterable, Sendable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case q8_0 = "Q8_0"
    case q4_0 = "Q4_0"
    case q4_K_M = "Q4_K_M"
    case q5_K_M = "Q5_K_M"
    case q6_K = "Q6_K"

    /// The type of most matrices.
    var baseType: ElementType {
        switch self {
        case .f32: .f32
        case .f16: .f16
        case .bf16: .bf16
        case .q8_0: .q8_0
        case .q4_0: .q4_0
        case .q4_K_M: .q4_K
        case .q5_K_M: .q5_K
        case .q6_K: .q6_K
        }
    }

    /// `general.file_type`: llama.cpp's `llama_ftype`.
    var fileType: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q8_0: 7
        case .q4_K_M: 15
        case .q5_K_M: 17
        case .q6_K: 18
        case .bf16: 32
        }
    }

    var isQuantized: Bool {
        switch self {
        case .f32, .f16, .bf16: false
        default: true
        }
    }
}

/// Which tensor gets which type, as llama.cpp's own quantiser decides it: norms, biases and routers stay f32, the output
/// is finer, and the `_M` mixtures spend more bits on the values and the down projections of the layers that need them.
struct QuantizationMixture {
    let target: QuantizationTarget
    private let layerCount: Int
    private let expertCount: Int
    private let hasOutput: Bool
    private let isSeventyBillion: Bool
    /// Position of an `attn_v` or `ffn_down` tensor among those of its kind, in layer order.
    private let positions: [String: Int]
    private let valueCount: Int

    init(_ target: QuantizationTarget, plan: ModelPlan) throws {
        self.target = target
        let metadata = plan.typedMetadata
        let architecture = try metadata.string("general.architecture")
        layerCount = try metadata.int("\(architecture).block_count")
        guard ModelSummary.layerBounds.contains(layerCount) else {
            throw ModelToolsError(
                .malformed,
                "\(plan.source): \(layerCount) layers, expected 1...\(ModelSummary.layerBounds.upperBound)")
        }
        expertCount = try metadata.intIfPresent("\(architecture).expert_count") ?? 0
        hasOutput = plan.tensors.contains { $0.name == "output.weight" }
        // llama.cpp's "70B": a llama of 80 layers whose query heads outnumber the key heads.
        let heads = try metadata.intIfPresent("\(architecture).attention.head_count")
        let keyHeads = try metadata.intIfPresent("\(architecture).attention.head_count_kv") ?? heads
        isSeventyBillion = architecture == "llama" && layerCount == 80 && heads != keyHeads
        var positions: [String: Int] = [:]
        func number(_ isKind: (String) -> Bool) -> Int {
            let names = plan.tensors.map(\.name).filter(isKind)
                .sorted { (Self.layer(of: $0) ?? 0, $0) < (Self.layer(of: $1) ?? 0, $1) }
            for (index, name) in names.enumerated() { positions[name] = index }
            return names.count
        }
        valueCount = number { $0.contains("attn_v.weight") }
        _ = number { $0.contains("ffn_down") }
        self.positions = positions
    }

    /// The type to write `tensor` in.
    func type(of tensor: PlannedTensor) -> ElementType {
        guard isMatrixToQuantize(tensor) else { return .f32 }
        guard target.isQuantized else { return target.baseType }
        let chosen = chosenType(tensor.name, isWide: tensor.columns % target.baseType.blockSize == 0)
        if tensor.columns % chosen.blockSize == 0 { return chosen }
        let fallback: ElementType =
            switch chosen {
            case .q4_K: .q5_0
            case .q5_K: .q5_1
            case .q6_K: .q8_0
            default: .f16
            }
        return tensor.columns % fallback.blockSize == 0 ? fallback : .f16
    }

    private func isMatrixToQuantize(_ tensor: PlannedTensor) -> Bool {
        let name = tensor.name
        // A dimension of one at the outside does not make a matrix.
        guard tensor.shape.drop(while: { $0 == 1 }).count >= 2, name.hasSuffix("weight") else { return false }
        return !name.contains("_norm.weight") && !name.contains("ffn_gate_inp.weight")
            && name != "position_embd.weight" && name != "token_types.weight"
    }

    private func chosenType(_ name: String, isWide: Bool) -> ElementType {
        let base = target.baseType
        if name == "output.weight" || !hasOutput && name == "token_embd.weight" {
            return base == .q8_0 || !isWide ? .q8_0 : .q6_K
        }
        let isMedium = target == .q4_K_M || target == .q5_K_M
        if name.contains("attn_v.weight") {
            if expertCount == 8 { return .q8_0 }
            var type = base
            if isMedium, usesMoreBits(positions[name] ?? 0, of: valueCount) { type = .q6_K }
            return isSeventyBillion && type == .q4_K ? .q5_K : type
        }
        if name.contains("attn_k.weight"), expertCount == 8 { return .q8_0 }
        if name.contains("ffn_down"), isMedium {
            let layer = expertCount > 1 ? Self.layer(of: name) ?? 0 : positions[name] ?? 0
            return usesMoreBits(layer, of: layerCount) ? .q6_K : base
        }
        if name.contains("attn_output.weight"), expertCount == 8, target == .q4_K_M { return .q5_K }
        return base
    }

    /// The first and last eighth, and every third layer between.
    private func usesMoreBits(_ layer: Int, of count: Int) -> Bool {
        layer < count / 8 || layer >= 7 * count / 8 || (layer - count / 8) % 3 == 2
    }

    private static func layer(of name: String) -> Int? {
        let parts = name.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[0] == "blk", let layer = Int(parts[1]), layer >= 0 else { return nil }
        return layer
    }
}
