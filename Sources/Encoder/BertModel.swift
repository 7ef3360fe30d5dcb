import COpenBLAS
import Foundation
import ModelFiles
import Tensors

/// The forward pass of a BERT encoder (Devlin et al. 2019), in f32 by BLAS: embeddings by mean pooling (Reimers & Gurevych
/// 2019), or the score of a pair of texts by a classifier over the first token.
///
/// Sequences of different lengths are laid one behind the other, so that the linear layers see one matrix of all
/// tokens and no padding; attention goes sequence by sequence. Letters: T tokens of the pass, D hidden size, F
/// intermediate size, H heads, dh head width, R rows of a block.
///
/// A layer is two parallel regions: attention, a head of a sequence at a time, and everything else, a block of rows at a
/// time, so that what a block needs stays in the cache from one matrix to the next. BLAS runs single-threaded below:
/// its own threads would meet after every product and leave the parts between to one of them.
///
/// Owned and called by one thread.
final class BertModel {
    let configuration: EncoderConfiguration
    private let weights: EncoderWeights
    private let classifier: ClassifierWeights?
    private let workers: RowWorkers
    private var scratch = Scratch()

    /// Space of a pass; grows to the largest pass and stays.
    private struct Scratch {
        var tokens = 0
        var longest = 0
        /// [T, D]
        var hidden = FloatBuffer(count: 0)
        /// [T, 3 D]
        var queryKeyValue = FloatBuffer(count: 0)
        /// [T, D]
        var context = FloatBuffer(count: 0)
        /// One for each worker.
        var own: [WorkerScratch] = []
    }

    /// Space of one worker.
    private struct WorkerScratch {
        /// [R, F]
        var intermediate: FloatBuffer
        /// [R, D]
        var output: FloatBuffer
        /// [longest, longest rounded up to whole lanes]
        var scores: FloatBuffer
    }

    /// - Parameter threads: Threads of a pass, the caller's included.
    init(configuration: EncoderConfiguration, file: SafetensorsFile, threads: Int) throws {
        self.configuration = configuration
        weights = try EncoderWeights(file: file, configuration: configuration)
        classifier = try ClassifierWeights(file: file, configuration: configuration)
        workers = RowWorkers(threads: threads)
        OpenBLASKernels.prepare()
        // OpenBLAS keeps one such number per process.
        openblas_set_num_threads(1)
    }

    /// Whether the model scores pairs of texts.
    var isClassifier: Bool { classifier != nil }

    /// The embeddings of token sequences, each 1...maxPositions ids, unit length.
    ///
    /// - Throws: `invalidInput` for an id outside the vocabulary or a length out of range.
    func embed(_ sequences: [[UInt32]]) throws -> [[Float]] {
        try run(sequences, types: nil)
        return pool(sequences)
    }

    /// The logit of each sequence, 1...maxPositions ids with as many token types.
    ///
    /// - Throws: `unsupportedModel` for a model without a classifier; `invalidInput` as `embed(_:)`, and for a token type
    ///   that the model does not have.
    func score(_ sequences: [[UInt32]], types: [[UInt32]]) throws -> [Float] {
        guard let classifier else {
            throw EncoderError(
                code: .unsupportedModel, message: "the model has no classifier, expected a cross-encoder")
        }
        try run(sequences, types: types)
        var first = 0
        return sequences.map { sequence in
            let hidden = scratch.hidden.base + first * configuration.hiddenSize
            first += sequence.count
            return Self.logit(classifier, hidden)
        }
    }

    private static func logit(_ classifier: ClassifierWeights, _ hidden: UnsafePointer<Float>) -> Float {
        let pooled = apply(classifier.pooler, hidden).map { tanhf($0) }
        return apply(classifier.classifier, pooled)[0]
    }

    /// W x + b of one row.
    private static func apply(_ layer: EncoderWeights.Linear, _ input: UnsafePointer<Float>) -> [Float] {
        (0..<layer.outputs).map { output in
            let row = layer.weight.base + output * layer.inputs
            return (0..<layer.inputs).reduce(layer.bias.base[output]) { $0 + row[$1] * input[$1] }
        }
    }

    /// Leaves the hidden states of all sequences in the scratch space, one behind the other.
    private func run(_ sequences: [[UInt32]], types: [[UInt32]]?) throws {
        try check(sequences, types)
        let tokens = sequences.reduce(0) { $0 + $1.count }
        guard tokens > 0 else { return }
        reserve(tokens: tokens, longest: sequences.map(\.count).max() ?? 0)
        try lookUp(sequences, types)
        for layer in weights.layers { forward(layer, sequences, tokens) }
    }

    private func check(_ sequences: [[UInt32]], _ types: [[UInt32]]?) throws {
        for sequence in sequences {
            guard (1...configuration.maxPositions).contains(sequence.count) else {
                throw EncoderError(
                    code: .invalidInput,
                    message: "a sequence has \(sequence.count) tokens, expected 1...\(configuration.maxPositions)")
            }
            if let id = sequence.first(where: { Int($0) >= configuration.vocabularySize }) {
                throw EncoderError(
                    code: .invalidInput,
                    message: "token id \(id) is outside the vocabulary of \(configuration.vocabularySize)")
            }
        }
        guard let types else { return }
        guard types.map(\.count) == sequences.map(\.count),
            types.allSatisfy({ $0.allSatisfy { Int($0) < weights.typeCount } })
        else {
            throw EncoderError(
                code: .invalidInput,
                message: "token types do not fit the tokens, or are not below \(weights.typeCount)")
        }
    }

    private func reserve(tokens: Int, longest: Int) {
        let width = configuration.hiddenSize
        if tokens > scratch.tokens {
            scratch.tokens = tokens
            scratch.hidden = FloatBuffer(count: tokens * width)
            scratch.queryKeyValue = FloatBuffer(count: tokens * 3 * width)
            scratch.context = FloatBuffer(count: tokens * width)
        }
        if longest > scratch.longest || scratch.own.isEmpty {
            scratch.longest = longest
            scratch.own = (0..<workers.threads).map { _ in
                WorkerScratch(
                    intermediate: FloatBuffer(count: RowWorkers.greatestBlock * configuration.intermediateSize),
                    output: FloatBuffer(count: RowWorkers.greatestBlock * width),
                    scores: FloatBuffer(count: longest * Self.wholeLanes(longest)))
            }
        }
    }

    private static func wholeLanes(_ count: Int) -> Int {
        (count + VectorMath.width - 1) / VectorMath.width * VectorMath.width
    }

    /// hidden = LayerNorm(word + position + type), of type 0 unless `types` says otherwise.
    private func lookUp(_ sequences: [[UInt32]], _ types: [[UInt32]]?) throws {
        let width = configuration.hiddenSize
        var row = 0
        for (index, sequence) in sequences.enumerated() {
            for (position, id) in sequence.enumerated() {
                let target = scratch.hidden.base + row * width
                try weights.wordEmbeddings.dequantizedRow(Int(id), into: target)
                let place = weights.positions.base + position * width
                let type = weights.types.base + Int(types?[index][position] ?? 0) * width
                for column in 0..<width { target[column] += place[column] + type[column] }
                row += 1
            }
        }
        norm(weights.embeddingNorm, scratch.hidden.base, nil, row)
    }

    private func forward(_ layer: EncoderWeights.Layer, _ sequences: [[UInt32]], _ tokens: Int) {
        let width = configuration.hiddenSize
        let scratch = scratch
        workers.forEachBlock(of: tokens) { _, rows in
            linear(
                layer.queryKeyValue, scratch.hidden.base + rows.lowerBound * width,
                into: scratch.queryKeyValue.base + rows.lowerBound * 3 * width, rows.count)
        }
        var firsts: [Int] = []
        var first = 0
        for sequence in sequences {
            firsts.append(first)
            first += sequence.count
        }
        let heads = configuration.headCount
        workers.forEach(sequences.count * heads, tokens: tokens) { worker, index in
            let sequence = index / heads
            attend(
                first: firsts[sequence], count: sequences[sequence].count, head: index % heads,
                scores: scratch.own[worker].scores.base)
        }
        workers.forEachBlock(of: tokens) { worker, rows in
            let own = scratch.own[worker]
            let hidden = scratch.hidden.base + rows.lowerBound * width
            linear(
                layer.attentionOutput, scratch.context.base + rows.lowerBound * width, into: own.output.base, rows.count
            )
            norm(layer.attentionNorm, hidden, own.output.base, rows.count)
            linear(layer.intermediate, hidden, into: own.intermediate.base, rows.count)
            VectorMath.gelu(own.intermediate.base, count: rows.count * configuration.intermediateSize)
            linear(layer.output, own.intermediate.base, into: own.output.base, rows.count)
            norm(layer.outputNorm, hidden, own.output.base, rows.count)
        }
    }

    /// output[rows, outputs] = input[rows, inputs] · Wᵀ + b
    private func linear(
        _ layer: EncoderWeights.Linear, _ input: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>,
        _ rows: Int
    ) {
        for row in 0..<rows {
            (output + row * layer.outputs).update(from: layer.bias.base, count: layer.outputs)
        }
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(layer.outputs), Int32(layer.inputs), 1,
            input, Int32(layer.inputs), layer.weight.base, Int32(layer.inputs), 1, output, Int32(layer.outputs))
    }

    /// hidden = LayerNorm(hidden + residual)
    private func norm(
        _ norm: EncoderWeights.LayerNorm, _ hidden: UnsafeMutablePointer<Float>, _ residual: UnsafePointer<Float>?,
        _ rows: Int
    ) {
        VectorMath.addLayerNorm(
            hidden, residual, weight: norm.weight.base, bias: norm.bias.base, rows: rows,
            columns: configuration.hiddenSize, epsilon: configuration.layerNormEpsilon)
    }

    /// Self-attention of one head of the sequence at rows `first..<first + count`: every token sees every other.
    private func attend(first: Int, count: Int, head: Int, scores: UnsafeMutablePointer<Float>) {
        let width = configuration.hiddenSize
        let headWidth = configuration.headWidth
        let stride = Self.wholeLanes(count)
        let scale = 1 / Float(headWidth).squareRoot()
        let query = scratch.queryKeyValue.base + first * 3 * width + head * headWidth
        let key = query + width
        let value = key + width
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(count), Int32(count), Int32(headWidth), scale, query,
            Int32(3 * width), key, Int32(3 * width), 0, scores, Int32(stride))
        for row in 0..<count { VectorMath.softmax(scores + row * stride, count: count) }
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(count), Int32(headWidth), Int32(count), 1, scores,
            Int32(stride), value, Int32(3 * width), 0, scratch.context.base + first * width + head * headWidth,
            Int32(width))
    }

    /// Mean over a sequence's tokens, scaled to unit length.
    private func pool(_ sequences: [[UInt32]]) -> [[Float]] {
        let width = configuration.hiddenSize
        var first = 0
        return sequences.map { sequence in
            var mean = [Float](repeating: 0, count: width)
            for row in first..<first + sequence.count {
                let values = scratch.hidden.base + row * width
                for column in 0..<width { mean[column] += values[column] }
            }
            first += sequence.count
            // The length takes the division by the count with it.
            let length = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let scale = 1 / max(length, .leastNormalMagnitude)
            return mean.map { $0 * scale }
        }
    }
}
