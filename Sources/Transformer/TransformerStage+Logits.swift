import InferenceCore
import Kernels

extension TransformerStage {
    package func withLogits(
        rows: [Int], hidden: UnsafeBufferPointer<Float>,
        _ body: (_ index: Int, _ logits: UnsafeMutableBufferPointer<Float>) throws -> Void
    ) throws {
        guard let head else {
            throw InferenceError(code: .internalError, message: "stage \(layerRange) has no LM head")
        }
        let rowLimit = hidden.count / model.modelWidth
        guard let states = hidden.baseAddress, rows.allSatisfy({ (0..<rowLimit).contains($0) }) else {
            throw InferenceError(code: .internalError, message: "rows outside the \(rowLimit) hidden states")
        }
        for start in stride(from: 0, to: rows.count, by: Self.logitRows) {
            let group = rows[start..<min(start + Self.logitRows, rows.count)]
            project(Array(group), hidden: states, head: head)
            for index in group.indices {
                let offset = (index - start) * model.vocabularySize
                try body(
                    index, UnsafeMutableBufferPointer(start: logits.pointer + offset, count: model.vocabularySize))
            }
        }
    }

    /// Logits of at most `logitRows` rows into `logits`.
    private func project(_ rows: [Int], hidden: UnsafePointer<Float>, head: OutputHead) {
        let width = model.modelWidth
        pool.run { thread in
            let input = scratch.model.prepare(tokens: rows.count, thread: thread, pool: pool) { token, row in
                kernels.rmsNorm(
                    hidden + rows[token] * width, weight: head.norm.pointer, epsilon: model.normEpsilon, count: width,
                    into: row)
                return UnsafePointer(row)
            }
            pool.forEachChunk(of: head.projection.panelCount, chunk: 16) { panels in
                head.projection.multiply(
                    input, tokens: 0..<rows.count, panels: panels, into: logits.pointer,
                    outputStride: model.vocabularySize)
                if let cap = model.logitCap { soften(panels, rows: rows.count, cap: cap) }
            }
        }
    }

    /// Caps the logits of some panels, of each row: cap * tanh(x / cap), written as cap - 2 cap / (1 + exp(2 x / cap)).
    private func soften(_ panels: Range<Int>, rows: Int, cap: Float) {
        let first = panels.lowerBound * PackedMatrix.panelRows
        let count = min(panels.upperBound * PackedMatrix.panelRows, model.vocabularySize) - first
        for row in 0..<rows {
            let values = logits.pointer + row * model.vocabularySize + first
            _ = kernels.expScaled(values, count: count, shift: 0, factor: 2 / cap, into: values)
            for index in 0..<count { values[index] = cap - 2 * cap / (1 + values[index]) }
        }
    }
}
