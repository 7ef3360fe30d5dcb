import MonitorServer
import Testing

struct SampleHistoryTests {
    private func limits(fine: Int, coarse: Int, milliseconds: Int64 = 10_000, columns: Int = 96) -> SampleHistory.Limits
    {
        var limits = SampleHistory.Limits()
        limits.fineRowCount = fine
        limits.coarseRowCount = coarse
        limits.coarseMilliseconds = milliseconds
        limits.columnCount = columns
        return limits
    }

    @Test("one hour is kept: a row a second for ten minutes, a row in ten seconds before that")
    func oneHour() throws {
        var history = SampleHistory()
        history.addColumn("x", .mean)
        let end: Int64 = 1_700_000_000_000
        for second in 0...7200 {
            history.append(time: end + Int64(second - 7200) * 1000, ["x": Double(second)])
        }
        let rows = history.rows()
        #expect(rows.times.count == 600 + 300)
        #expect(rows.times.last == end)
        let oldest = try #require(rows.times.first)
        #expect((3_590_000...3_610_000).contains(end - oldest))
        #expect(zip(rows.times, rows.times.dropFirst()).allSatisfy(<))
        #expect(rows.columns[0].count == rows.times.count)
        #expect(rows.columns[0].allSatisfy { !$0.isNaN })
    }

    @Test("old rows agree with a naive reduction of all rows")
    func againstNaive() {
        var history = SampleHistory(limits: limits(fine: 5, coarse: 100))
        history.addColumn("mean", .mean)
        history.addColumn("last", .last)
        var all: [(time: Int64, value: Double)] = []
        var state: UInt64 = 7
        for step in 0..<200 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let value = state >> 60 == 0 ? Double.nan : Double(state >> 40)
            let time = 1_000_000 + Int64(step) * 1700
            all.append((time, value))
            history.append(time: time, ["mean": value, "last": value])
        }
        let rows = history.rows()
        let evicted = all.dropLast(5)
        let buckets = Dictionary(grouping: evicted) { $0.time / 10_000 * 10_000 }.sorted { $0.key < $1.key }.dropLast()
        #expect(Array(rows.times.prefix(buckets.count)) == buckets.map(\.key))
        #expect(rows.times.count == buckets.count + 5)
        for (index, bucket) in buckets.enumerated() {
            let known = bucket.value.map(\.value).filter { !$0.isNaN }
            let mean = known.isEmpty ? Double.nan : known.reduce(0, +) / Double(known.count)
            let last = known.last ?? .nan
            #expect(rows.columns[0][index] == mean || (mean.isNaN && rows.columns[0][index].isNaN))
            #expect(rows.columns[1][index] == last || (last.isNaN && rows.columns[1][index].isNaN))
        }
    }

    @Test("a late column has no past, a refused one does not exist")
    func columns() {
        var history = SampleHistory(limits: limits(fine: 10, coarse: 10, columns: 2))
        history.addColumn("a", .mean)
        history.append(time: 1, ["a": 1])
        let added = [history.addColumn("b", .mean), history.addColumn("c", .mean), history.addColumn("a", .mean)]
        #expect(added == [true, false, true])
        history.append(time: 2, ["a": 2, "b": 3, "c": 4])
        let rows = history.rows()
        #expect(rows.names == ["a", "b"])
        #expect(rows.columns[0] == [1, 2])
        #expect(rows.columns[1][0].isNaN && rows.columns[1][1] == 3)
    }

    @Test("rows that are not newer are ignored, and a reader gets only what it does not have")
    func order() {
        var history = SampleHistory()
        history.addColumn("a", .mean)
        for time: Int64 in [10, 20, 20, 15, 30] { history.append(time: time, ["a": Double(time)]) }
        #expect(history.rows().times == [10, 20, 30])
        #expect(history.rows(since: 10).times == [20, 30])
        #expect(history.rows(since: 10).columns == [[20, 30]])
        #expect(history.rows(since: 30).times.isEmpty)
    }

    @Test("a ring keeps the newest elements in order", arguments: [1, 2, 3, 7])
    func ring(capacity: Int) {
        var ring = Ring<Int>(capacity: capacity)
        var naive: [Int] = []
        for value in 0..<50 {
            if value % 5 == 3 {
                let removed = ring.removeFirst()
                #expect(removed == (naive.isEmpty ? nil : naive.removeFirst()))
            } else {
                ring.append(value)
                naive.append(value)
                if naive.count > capacity { naive.removeFirst() }
            }
            #expect(ring.elements == naive)
            #expect(ring.first == naive.first && ring.last == naive.last && ring.count == naive.count)
        }
    }
}
