/// Who computes what in a mixture of experts, for one step and one layer: the step's (token, slot) pairs ordered by
/// expert, so that an expert's weights are read once for all of its tokens.
///
/// A token chooses `slots` experts. Buffers with a row for each pair, `tokens * slots` of them, are ordered by expert,
/// then token, then slot; `row(token:slot:)` finds a pair's row. Weighted sums then run over a token's slots in order,
/// so its result does not depend on which other tokens the experts had.
///
/// Every thread has a plan of its own and makes it for itself: that is cheaper than waiting for one that does.
// @unchecked: used by one thread at a time.
package final class ExpertPlan: @unchecked Sendable {
    /// Neighbouring rows of one expert.
    package struct Block: Sendable, Equatable {
        package let expert: Int
        package let rows: Range<Int>
    }

    package let expertCount: Int
    /// Experts a token chooses.
    package let slots: Int
    /// Rows of the step: `tokens * slots`.
    package private(set) var rowCount = 0
    /// The blocks in order; experts without tokens have none.
    package private(set) var blocks: [Block] = []

    private let rowsPerBlock: Int
    private let capacity: Int
    /// Token of each row.
    private let tokens: AlignedBuffer<Int32>
    /// Row of each pair, `[T, slots]`.
    private let rows: AlignedBuffer<Int32>
    /// Where the next row of each expert goes.
    private var next: [Int]
    private let gathered: ActivationBuffer
    /// What `gathered` holds.
    private var gatheredRows: (source: ObjectIdentifier, rows: Range<Int>)?

    /// - Parameters:
    ///   - capacity: most tokens of a step.
    ///   - columns, forms: of the buffers that `inputs(of:from:)` will be given.
    ///   - rowsPerBlock: most rows of a block; a block's inputs are copied when they do not lie together.
    /// - Throws: `KernelError` `invalidArgument`, `resourceExhausted`.
    package init(
        expertCount: Int, slots: Int, capacity: Int, columns: Int, forms: ActivationBuffer.Forms,
        rowsPerBlock: Int = 64, kernels: KernelSet = .active
    ) throws {
        guard expertCount > 0, slots > 0, capacity >= 0, rowsPerBlock > 0,
            capacity.multipliedReportingOverflow(by: slots).partialValue <= Int(Int32.max)
        else {
            throw KernelError(
                code: .invalidArgument,
                message: "experts: got \(expertCount), \(slots) slots and \(capacity) tokens, expected at least 1")
        }
        self.expertCount = expertCount
        self.slots = slots
        self.capacity = capacity
        self.rowsPerBlock = rowsPerBlock
        tokens = try AlignedBuffer(count: capacity * slots)
        rows = try AlignedBuffer(count: capacity * slots)
        next = [Int](repeating: 0, count: expertCount)
        gathered = try ActivationBuffer(
            columns: columns, capacity: min(rowsPerBlock, max(capacity, 1)), forms: forms, kernels: kernels)
    }

    /// Orders a step's pairs; what was planned before is forgotten.
    /// - Parameter choices: the experts, `[tokens, slots]`, each in `0..<expertCount`; those of a token differ.
    package func assign(_ choices: UnsafePointer<Int32>, tokens count: Int) {
        precondition(count >= 0 && count <= capacity)
        rowCount = count * slots
        gatheredRows = nil
        for expert in next.indices { next[expert] = 0 }
        for pair in 0..<rowCount { next[Int(choices[pair])] += 1 }
        blocks.removeAll(keepingCapacity: true)
        var start = 0
        for expert in next.indices {
            let end = start + next[expert]
            next[expert] = start
            for first in stride(from: start, to: end, by: rowsPerBlock) {
                blocks.append(Block(expert: expert, rows: first..<min(first + rowsPerBlock, end)))
            }
            start = end
        }
        for pair in 0..<rowCount {
            let row = next[Int(choices[pair])]
            next[Int(choices[pair])] += 1
            tokens[row] = Int32(pair / slots)
            rows[pair] = Int32(row)
        }
    }

    /// The row of a pair.
    package func row(token: Int, slot: Int) -> Int { Int(rows[token * slots + slot]) }

    /// The token of a row.
    package func token(row: Int) -> Int { Int(tokens[row]) }

    /// Units of work of a product whose matrices have `panels` panels (or pairs), at most `chunk` of them in a unit.
    package func itemCount(panels: Int, chunk: Int) -> Int { blocks.count * ((panels + chunk - 1) / chunk) }

    /// Unit `index` of `0..<itemCount(panels:chunk:)`.
    package func item(_ index: Int, panels: Int, chunk: Int) -> (block: Block, panels: Range<Int>) {
        let parts = (panels + chunk - 1) / chunk
        let first = index % parts * chunk
        return (blocks[index / parts], first..<min(first + chunk, panels))
    }

    /// The inputs of a block's rows: `tokens.lowerBound` is that of `block.rows.lowerBound`, and so on. They stay where
    /// they are if they are neighbours; else they are copied, unless the last call was for the same.
    /// - Parameter source: a row for each token; it must not change before the next `assign`.
    package func inputs(
        of block: Block, from source: ActivationBuffer
    ) -> (
        buffer: ActivationBuffer, tokens: Range<Int>
    ) {
        let list = UnsafeBufferPointer(UnsafeMutableBufferPointer(rebasing: tokens.buffer[block.rows]))
        guard let first = list.first, let last = list.last else { return (source, 0..<0) }
        // Tokens grow with the row, so the ends tell.
        if Int(last - first) + 1 == list.count { return (source, Int(first)..<Int(last) + 1) }
        if gatheredRows?.source != ObjectIdentifier(source) || gatheredRows?.rows != block.rows {
            gathered.copy(list, from: source)
            gatheredRows = (ObjectIdentifier(source), block.rows)
        }
        return (gathered, 0..<list.count)
    }
}
