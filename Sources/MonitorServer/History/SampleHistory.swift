/// One hour of rows in bounded memory: every second for the last minutes, every ten seconds before that. A row is one
/// moment; a column is one series; a value that was not known then is NaN. Pure: time comes in with each row.
package struct SampleHistory: Sendable {
    /// How several rows become one when they grow old.
    package enum Aggregation: Sendable {
        /// The mean of what was known: rates, fractions, percentiles, gauges.
        case mean
        /// The newest of what was known: cumulative counters.
        case last
    }

    /// How much is kept.
    package struct Limits: Sendable {
        /// Rows at full resolution; at one per second, ten minutes.
        package var fineRowCount = 600
        /// Width of an old row, milliseconds.
        package var coarseMilliseconds: Int64 = 10_000
        /// Old rows; with ten seconds each, fifty minutes.
        package var coarseRowCount = 300
        /// Columns; further ones are refused.
        package var columnCount = 96

        package init() {}
    }

    /// A stretch of history, oldest first. `columns` run parallel to `names`, each as long as `times`.
    package struct Rows: Sendable, Equatable {
        package var times: [Int64] = []
        package var names: [String] = []
        package var columns: [[Double]] = []
    }

    /// Names of the columns in the order of ``Rows/columns``.
    package private(set) var names: [String] = []

    private struct Column {
        let aggregation: Aggregation
        var fine: Ring<Double>
        var coarse: Ring<Double>
        /// Of the old row being gathered.
        var sum = 0.0
        var count = 0
        var last = Double.nan
    }

    private let limits: Limits
    private var indices: [String: Int] = [:]
    private var columns: [Column] = []
    private var fineTimes: Ring<Int64>
    private var coarseTimes: Ring<Int64>
    /// Start of the old row being gathered; nil when nothing was evicted yet.
    private var gathering: Int64?

    package init(limits: Limits = Limits()) {
        self.limits = limits
        fineTimes = Ring(capacity: limits.fineRowCount)
        coarseTimes = Ring(capacity: limits.coarseRowCount)
    }

    /// Time of the newest row, unix milliseconds.
    package var newestTime: Int64? { fineTimes.last }

    /// Adds a column whose past is unknown. Does nothing when it exists.
    ///
    /// - Returns: false when there are too many columns already.
    @discardableResult
    package mutating func addColumn(_ name: String, _ aggregation: Aggregation) -> Bool {
        if indices[name] != nil { return true }
        guard columns.count < limits.columnCount else { return false }
        var column = Column(
            aggregation: aggregation, fine: Ring(capacity: limits.fineRowCount),
            coarse: Ring(capacity: limits.coarseRowCount))
        for _ in 0..<fineTimes.count { column.fine.append(.nan) }
        for _ in 0..<coarseTimes.count { column.coarse.append(.nan) }
        indices[name] = columns.count
        columns.append(column)
        names.append(name)
        return true
    }

    /// Adds a row. Columns without a value get NaN; values without a column are dropped. A row that is not newer than
    /// the newest one is ignored.
    package mutating func append(time: Int64, _ values: [String: Double]) {
        if let newest = fineTimes.last, time <= newest { return }
        if fineTimes.isFull { evictOldest() }
        fineTimes.append(time)
        for index in columns.indices {
            columns[index].fine.append(values[names[index]] ?? .nan)
        }
    }

    /// All rows newer than `since`, oldest first.
    package func rows(since: Int64 = .min) -> Rows {
        let coarse = coarseTimes.elements.map { $0 > since }
        let fine = fineTimes.elements.map { $0 > since }
        func kept<Element>(_ old: Ring<Element>, _ new: Ring<Element>) -> [Element] {
            zip(old.elements, coarse).filter(\.1).map(\.0) + zip(new.elements, fine).filter(\.1).map(\.0)
        }
        return Rows(
            times: kept(coarseTimes, fineTimes), names: names, columns: columns.map { kept($0.coarse, $0.fine) })
    }

    /// Moves the oldest fine row into the old row being gathered, finishing that one when its time is over.
    private mutating func evictOldest() {
        guard let time = fineTimes.first else { return }
        let start = time - ((time % limits.coarseMilliseconds) + limits.coarseMilliseconds) % limits.coarseMilliseconds
        if let gathering, gathering != start { finishCoarseRow(at: gathering) }
        gathering = start
        fineTimes.removeFirst()
        for index in columns.indices {
            guard let value = columns[index].fine.removeFirst(), !value.isNaN else { continue }
            columns[index].sum += value
            columns[index].count += 1
            columns[index].last = value
        }
    }

    private mutating func finishCoarseRow(at time: Int64) {
        coarseTimes.append(time)
        for index in columns.indices {
            let column = columns[index]
            let mean = column.count == 0 ? Double.nan : column.sum / Double(column.count)
            columns[index].coarse.append(column.aggregation == .mean ? mean : column.last)
            columns[index].sum = 0
            columns[index].count = 0
            columns[index].last = .nan
        }
    }
}
