import CKernels

/// An instruction set the kernels are built for.
package enum InstructionSet: UInt32, Sendable, CaseIterable {
    case generic = 0
    case avx2 = 1
    case avx512 = 2
}

/// What the gate of a feed-forward layer goes through before it multiplies.
package enum GateActivation: Sendable, CaseIterable {
    /// `x / (1 + exp(-x))`.
    case silu
    /// GELU in its approximation by tanh, `gelu_pytorch_tanh` of transformers.
    case geluTanh
}

/// The numeric kernels of one instruction set.
///
/// Every set gives bit-identical results; a token's result depends neither on its batch nor on how the work is split
/// over threads. Letters: `T` tokens, `D` width, `H` heads, `dh` head width, `V` vocabulary.
// @unchecked: the table is constant for the life of the process.
package struct KernelSet: @unchecked Sendable {
    let table: UnsafePointer<ck_kernels>
    package let instructionSet: InstructionSet

    /// The best set for this machine, or the one the environment variable `FATHOM_KERNELS` (`generic`, `avx2`,
    /// `avx512`) names if this machine has it.
    package static let active = KernelSet(table: ck_kernels_active())

    /// The given set, or nil when this machine or build lacks it. Tests hold the sets against each other with this.
    package init?(_ instructionSet: InstructionSet) {
        guard let table = ck_kernels_for(ck_isa(rawValue: instructionSet.rawValue)) else { return nil }
        self.init(table: table)
    }

    init(table: UnsafePointer<ck_kernels>) {
        self.table = table
        self.instructionSet = InstructionSet(rawValue: table.pointee.isa.rawValue) ?? .generic
    }

    // MARK: Rows of width D

    /// `output[i] = x[i] / sqrt(mean(x²) + epsilon) * weight[i]`; may be in place.
    package func rmsNorm(
        _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, epsilon: Float, count: Int,
        into output: UnsafeMutablePointer<Float>
    ) {
        table.pointee.rmsnorm(x, weight, epsilon, count, output)
    }

    /// `output[i] += x[i]`.
    package func add(_ x: UnsafePointer<Float>, to output: UnsafeMutablePointer<Float>, count: Int) {
        table.pointee.add(x, count, output)
    }

    /// `output[i] += scale * x[i]`, rounded once.
    package func addScaled(
        _ x: UnsafePointer<Float>, scale: Float, to output: UnsafeMutablePointer<Float>, count: Int
    ) {
        table.pointee.add_scaled(x, scale, count, output)
    }

    /// `output[i] = activation(gate[i]) * up[i]`; may be in place. A fused gate·up matrix needs
    /// `PackedMatrix.multiplyGated` instead.
    package func multiplyGate(
        _ activation: GateActivation, gate: UnsafePointer<Float>, up: UnsafePointer<Float>, count: Int,
        into output: UnsafeMutablePointer<Float>
    ) {
        switch activation {
        case .silu: table.pointee.silu_mul(gate, up, count, output)
        case .geluTanh: table.pointee.gelu_mul(gate, up, count, output)
        }
    }

    /// RMS norm of each of `heads` heads `[heads, dh]` in place, with one weight `[dh]` for all: the q and k norms of
    /// some models.
    package func rmsNormHeads(
        _ x: UnsafeMutablePointer<Float>, heads: Int, headWidth: Int, weight: UnsafePointer<Float>, epsilon: Float
    ) {
        for head in 0..<heads {
            let row = x + head * headWidth
            rmsNorm(row, weight: weight, epsilon: epsilon, count: headWidth, into: row)
        }
    }

    /// Rotates `heads` heads `[heads, dh]` in place.
    /// - Parameters:
    ///   - rotary: leading values of a head that rotate; even, at most `dh`.
    ///   - cosine, sine: `[rotary / 2]`, the row of this token's position.
    ///   - interleaved: pairs `(2i, 2i + 1)` as llama GGUF files need; otherwise `(i, i + rotary / 2)`.
    package func rope(
        _ x: UnsafeMutablePointer<Float>, heads: Int, headWidth: Int, rotary: Int, cosine: UnsafePointer<Float>,
        sine: UnsafePointer<Float>, interleaved: Bool
    ) {
        if interleaved {
            table.pointee.rope_interleaved(x, heads, headWidth, rotary, cosine, sine)
        } else {
            table.pointee.rope_halves(x, heads, headWidth, rotary, cosine, sine)
        }
    }

    // MARK: Rows of width V

    /// The largest value and `log(Σ exp(x))` of a row of at least one value.
    package func maxAndLogSumExp(_ x: UnsafePointer<Float>, count: Int) -> (max: Float, logSumExp: Float) {
        precondition(count > 0)
        var logSumExp: Float = 0
        let max = table.pointee.max_log_sum_exp(x, count, &logSumExp)
        return (max, logSumExp)
    }

    /// The lowest index of the largest value of a row of at least one value.
    package func argmax(_ x: UnsafePointer<Float>, count: Int) -> Int {
        precondition(count > 0)
        return table.pointee.argmax(x, count)
    }

    /// `output[i] = exp((x[i] - shift) * factor)`, and their sum in a fixed order; may be in place. With the row's
    /// maximum as shift and 1 / temperature as factor these are unnormalised probabilities.
    package func expScaled(
        _ x: UnsafePointer<Float>, count: Int, shift: Float, factor: Float, into output: UnsafeMutablePointer<Float>
    ) -> Float {
        table.pointee.exp_scaled(x, count, shift, factor, output)
    }

    /// The `k` largest values, largest first, ties by the lower index. `k` is cut to `count`.
    package func topK(_ x: UnsafePointer<Float>, count: Int, k: Int) -> [(index: Int, value: Float)] {
        selectTopK(x, count: count, k: k)
    }

    // MARK: Conversions

    /// Nearest even; values too large become infinities.
    package func convertToF16(_ x: UnsafePointer<Float>, count: Int, into output: UnsafeMutablePointer<UInt16>) {
        table.pointee.f32_to_f16(x, count, output)
    }

    package func convertFromF16(_ x: UnsafePointer<UInt16>, count: Int, into output: UnsafeMutablePointer<Float>) {
        table.pointee.f16_to_f32(x, count, output)
    }
}
