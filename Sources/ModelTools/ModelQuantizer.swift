import Dispatch
import ModelFiles
import Synchronization
import Tensors

/// Writes a model as a GGUF file in another type, and measures what that costs in precision.
///
/// One tensor after the other, a few megabytes at a time, on all processors.
package struct ModelQuantizer {
    /// What a class of tensors, such as all `ffn_down`, became.
    package struct ClassReport: Sendable, Equatable, Codable {
        /// The part of the name after the layer.
        package var name: String
        /// Names of the types written, sorted.
        package var types: [String]
        package var elementCount: Int
        package var byteCount: Int
        /// Root of the mean squared difference from the source, divided by the root mean square of the source.
        package var relativeError: Double
    }

    /// The whole file.
    package struct Report: Sendable, Equatable, Codable {
        package var classes: [ClassReport]
        package var parameterCount: Int
        package var byteCount: Int
        /// Over all values together.
        package var relativeError: Double
    }

    private let plan: ModelPlan
    private let target: QuantizationTarget

    package init(_ plan: ModelPlan, target: QuantizationTarget) {
        self.plan = plan
        self.target = target
    }

    /// What writing would come to, known from names, shapes and types alone.
    package struct Forecast: Sendable, Equatable, Codable {
        /// Bytes of the tensors as the source stores them, and as they will be written.
        package var sourceByteCount: Int
        package var byteCount: Int
        /// Types of the source's matrices that hold rounded values already, sorted by their bytes, largest first.
        package var quantizedSourceTypes: [String]

        /// Values that are rounded a second time into a file that is not smaller: more bytes for less precision.
        package var isLossForNothing: Bool { !quantizedSourceTypes.isEmpty && byteCount >= sourceByteCount }
    }

    /// - Throws: ``ModelToolsError``, `ModelFileError` as ``write(to:progress:)``.
    package func forecast() throws -> Forecast {
        let mixture = try QuantizationMixture(target, plan: plan)
        var forecast = Forecast(sourceByteCount: 0, byteCount: 0, quantizedSourceTypes: [])
        var rounded: [String: Int] = [:]
        for tensor in plan.tensors {
            let type = mixture.type(of: tensor)
            let output = try GGUFWriter.Tensor(name: tensor.name, shape: tensor.shape, type: type)
            let bytes = tensor.storedType.byteCount(elements: tensor.elementCount) ?? output.byteCount
            forecast.sourceByteCount += bytes
            forecast.byteCount += output.byteCount
            // What keeps its type is copied, and loses nothing.
            if tensor.storedType.blockSize > 1, type != tensor.storedType {
                rounded[tensor.storedType.name, default: 0] += bytes
            }
        }
        if target.isQuantized {
            forecast.quantizedSourceTypes = rounded.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
        }
        return forecast
    }

    /// Writes the file at `path`.
    ///
    /// - Parameter progress: Called with the share that is done, 0...1, after each tensor.
    /// - Throws: `ModelFileError`, ``ModelToolsError``, `TensorError`; nothing is left under `path` then.
    package func write(to path: String, progress: (Double) -> Void = { _ in }) throws -> Report {
        var plan = plan
        plan.set("general.file_type", .uint32(target.fileType))
        plan.set("general.quantization_version", .uint32(2))
        let mixture = try QuantizationMixture(target, plan: plan)
        let outputs = try plan.tensors.map {
            try GGUFWriter.Tensor(name: $0.name, shape: $0.shape, type: mixture.type(of: $0))
        }
        let writer = try GGUFWriter(path: path, metadata: plan.metadata, tensors: outputs)
        let total = plan.tensors.reduce(0) { $0 + $1.elementCount }
        var done = 0
        var sums: [String: ClassSum] = [:]
        for (tensor, output) in zip(plan.tensors, outputs) {
            let error = try write(tensor, as: output.type, to: writer)
            tensor.close()
            sums[Self.className(of: tensor.name), default: ClassSum()].add(output, tensor.elementCount, error)
            done += tensor.elementCount
            progress(Double(done) / Double(max(total, 1)))
        }
        try writer.finish()
        return Self.report(sums)
    }

    /// Sums for an error: of squared differences, and of squares.
    private struct SquaredError {
        var difference = 0.0
        var square = 0.0
    }

    private struct ClassSum {
        var types: Set<String> = []
        var elementCount = 0
        var byteCount = 0
        var error = SquaredError()

        mutating func add(_ tensor: GGUFWriter.Tensor, _ elements: Int, _ sums: SquaredError) {
            types.insert(tensor.type.name)
            elementCount += elements
            byteCount += tensor.byteCount
            error.difference += sums.difference
            error.square += sums.square
        }
    }

    private static func report(_ sums: [String: ClassSum]) -> Report {
        func relative(_ error: SquaredError) -> Double {
            error.square > 0 ? (error.difference / error.square).squareRoot() : 0
        }
        var all = ClassSum()
        for sum in sums.values {
            all.elementCount += sum.elementCount
            all.byteCount += sum.byteCount
            all.error.difference += sum.error.difference
            all.error.square += sum.error.square
        }
        let classes = sums.sorted { $0.key < $1.key }.map { name, sum in
            ClassReport(
                name: name, types: sum.types.sorted(), elementCount: sum.elementCount, byteCount: sum.byteCount,
                relativeError: relative(sum.error))
        }
        return Report(
            classes: classes, parameterCount: all.elementCount, byteCount: all.byteCount,
            relativeError: relative(all.error))
    }

    /// `blk.7.ffn_down.weight` is of the class `ffn_down`.
    private static func className(of name: String) -> String {
        var parts = name.split(separator: ".")
        if parts.count > 2, parts[0] == "blk" { parts.removeFirst(2) }
        if parts.count > 1, parts.last == "weight" { parts.removeLast() }
        return parts.joined(separator: ".")
    }

    // MARK: - One tensor

    /// Values that are in memory at a time.
    private static let chunkElements = 1 << 21

    private func write(
        _ tensor: PlannedTensor, as type: ElementType, to writer: GGUFWriter
    ) throws -> SquaredError {
        if let view = tensor.verbatim, view.elementType == type {
            try writer.write(view.bytes)
            return SquaredError(difference: 0, square: 0)
        }
        let reader = try tensor.open()
        let columns = tensor.columns
        guard let bytesPerRow = type.byteCount(elements: columns) else {
            throw ModelToolsError(.malformed, "tensor \(tensor.name): rows of \(columns) as \(type.name)")
        }
        let rowsPerChunk = max(1, Self.chunkElements / max(columns, 1))
        var total = SquaredError()
        var output = [UInt8](repeating: 0, count: min(rowsPerChunk, tensor.rows) * bytesPerRow)
        for first in stride(from: 0, to: tensor.rows, by: rowsPerChunk) {
            let rows = first..<min(first + rowsPerChunk, tensor.rows)
            let sums = try output.withUnsafeMutableBytes { bytes in
                try Self.quantize(
                    rows, columns: columns, as: type, bytesPerRow: bytesPerRow, reader, name: tensor.name,
                    into: SharedBytes(bytes))
            }
            total.difference += sums.difference
            total.square += sums.square
            try output.withUnsafeBytes {
                try writer.write(UnsafeRawBufferPointer(rebasing: $0[..<(rows.count * bytesPerRow)]))
            }
        }
        return total
    }

    /// Memory that threads write disjoint parts of.
    // @unchecked: every row is written by one thread only, and read after all have ended.
    private struct SharedBytes: @unchecked Sendable {
        let base: UnsafeMutableRawBufferPointer

        init(_ base: UnsafeMutableRawBufferPointer) { self.base = base }
    }

    private static func quantize(
        _ rows: Range<Int>, columns: Int, as type: ElementType, bytesPerRow: Int, _ reader: @escaping RowReader,
        name: String, into output: SharedBytes
    ) throws -> SquaredError {
        // Sums are kept per row and added in order, so that the report does not depend on the threads.
        let results = Mutex<(sums: [SquaredError], failure: (any Error)?)>(
            ([SquaredError](repeating: SquaredError(), count: rows.count), nil))
        let rowsPerTask = max(1, 65_536 / max(columns, 1))
        let tasks = (rows.count + rowsPerTask - 1) / rowsPerTask
        DispatchQueue.concurrentPerform(iterations: tasks) { task in
            do {
                let part = task * rowsPerTask..<min((task + 1) * rowsPerTask, rows.count)
                var values = [Float](repeating: 0, count: columns)
                var back = [Float](repeating: 0, count: columns)
                var sums: [SquaredError] = []
                for row in part {
                    let target = UnsafeMutableRawBufferPointer(
                        rebasing: output.base[row * bytesPerRow..<(row + 1) * bytesPerRow])
                    sums.append(
                        try quantizeRow(rows.lowerBound + row, as: type, reader, name, &values, &back, into: target))
                }
                results.withLock { results in
                    for (row, sum) in zip(part, sums) { results.sums[row] = sum }
                }
            } catch {
                results.withLock { $0.failure = error }
            }
        }
        return try results.withLock { results in
            if let failure = results.failure { throw failure }
            return results.sums.reduce(into: SquaredError()) {
                $0.difference += $1.difference
                $0.square += $1.square
            }
        }
    }

    private static func quantizeRow(
        _ row: Int, as type: ElementType, _ reader: RowReader, _ name: String, _ values: inout [Float],
        _ back: inout [Float], into target: UnsafeMutableRawBufferPointer
    ) throws -> SquaredError {
        let columns = values.count
        try values.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let bytes = target.baseAddress else { return }
            try reader(row, base)
            guard buffer.allSatisfy(\.isFinite) else {
                throw ModelToolsError(.malformed, "tensor \(name): row \(row) has a value that is not a finite number")
            }
            TensorQuantizer.quantize(UnsafePointer(base), count: columns, as: type, into: bytes)
        }
        let view = try TensorView(
            name: name, shape: [columns], elementType: type, bytes: UnsafeRawBufferPointer(target),
            owner: RowOwner.shared)
        try back.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            try view.dequantizedRow(0, into: base)
        }
        var sum = SquaredError()
        for i in 0..<columns {
            let difference = Double(back[i]) - Double(values[i])
            sum.difference += difference * difference
            sum.square += Double(values[i]) * Double(values[i])
        }
        return sum
    }

    /// The owner of rows that live on the stack of a call.
    private final class RowOwner: Sendable {
        static let shared = RowOwner()
    }
}
