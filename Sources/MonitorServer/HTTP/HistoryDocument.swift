/// What `/api/history` answers: times and, for each series, a value for each time; null where it was not known.
struct HistoryDocument: Encodable {
    var times: [Int64]
    var series: [String: [Double?]]

    /// - Parameter names: the columns wanted; nil for all.
    init(_ rows: SampleHistory.Rows, names: Set<String>? = nil) {
        times = rows.times
        series = [:]
        for (name, column) in zip(rows.names, rows.columns) where names?.contains(name) ?? true {
            // Four significant digits draw the same picture in half the bytes.
            series[name] = column.map { $0.isFinite ? Self.rounded($0) : nil }
        }
    }

    static func rounded(_ value: Double) -> Double {
        let magnitude = abs(value)
        guard magnitude > 0, magnitude < 1e6 else { return value }
        var scale = 1.0
        while magnitude * scale < 1000 && scale < 1e9 { scale *= 10 }
        return (value * scale).rounded() / scale
    }
}
