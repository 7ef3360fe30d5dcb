/// Exact nearest neighbours by dot product over unit vectors.
///
/// Rows lie one behind the other, [count, dimension] f32 row-major, so a search is one sequential pass over memory:
/// about 100,000 rows of 384 take tens of milliseconds. A removed row's place is taken by the last one.
///
/// A value; not thread-safe by itself.
package struct FlatVectorIndex: Sendable {
    /// An id and its score, -1...1; greater is closer.
    package struct Hit: Sendable, Equatable {
        package var id: Int64
        package var score: Float

        package init(id: Int64, score: Float) {
            self.id = id
            self.score = score
        }
    }

    /// Components per vector.
    package let dimension: Int
    /// [count, dimension]
    private var rows: [Float] = []
    private var ids: [Int64] = []
    private var rowOfID: [Int64: Int] = [:]

    package init(dimension: Int) {
        precondition(dimension > 0, "dimension must be positive, got \(dimension)")
        self.dimension = dimension
    }

    /// Vectors in the index.
    package var count: Int { ids.count }

    package func contains(_ id: Int64) -> Bool { rowOfID[id] != nil }

    /// Adds a vector, scaled to unit length; one with the same id is replaced.
    ///
    /// - Throws: `dimensionMismatch`; `notFinite` for a vector with NaN, infinity or zero length.
    package mutating func add(id: Int64, vector: [Float]) throws {
        let unit = try normalised(vector)
        if let row = rowOfID[id] {
            rows.replaceSubrange(row * dimension..<(row + 1) * dimension, with: unit)
            return
        }
        rowOfID[id] = ids.count
        ids.append(id)
        rows.append(contentsOf: unit)
    }

    /// Removes a vector; false when it is not in the index.
    @discardableResult
    package mutating func remove(id: Int64) -> Bool {
        guard let row = rowOfID.removeValue(forKey: id) else { return false }
        let last = ids.count - 1
        if row != last {
            for column in 0..<dimension { rows[row * dimension + column] = rows[last * dimension + column] }
            ids[row] = ids[last]
            rowOfID[ids[row]] = row
        }
        ids.removeLast()
        rows.removeLast(dimension)
        return true
    }

    /// The `limit` vectors closest to `query` among those allowed, closest first; equal scores by ascending id.
    ///
    /// - Throws: as `add(id:vector:)`, for the query.
    package func search(
        _ query: [Float], limit: Int, where isAllowed: ((Int64) -> Bool)? = nil
    ) throws -> [Hit] {
        let unit = try normalised(query)
        var best = BoundedHeap(capacity: max(0, limit))
        guard limit > 0 else { return [] }
        rows.withUnsafeBufferPointer { rows in
            unit.withUnsafeBufferPointer { query in
                guard let base = rows.baseAddress, let queryBase = query.baseAddress else { return }
                for (row, id) in ids.enumerated() {
                    if let isAllowed, !isAllowed(id) { continue }
                    let score = Self.dot(base + row * dimension, queryBase, count: dimension)
                    best.push(Hit(id: id, score: score))
                }
            }
        }
        return best.sorted()
    }

    /// The scores of some of the vectors, in the order of `ids`; nil for one that is not in the index. They are those of
    /// `search`, bit for bit.
    ///
    /// - Throws: as `add(id:vector:)`, for the query.
    package func scores(_ query: [Float], of ids: [Int64]) throws -> [Float?] {
        let unit = try normalised(query)
        return rows.withUnsafeBufferPointer { rows in
            unit.withUnsafeBufferPointer { query in
                guard let base = rows.baseAddress, let queryBase = query.baseAddress else {
                    return ids.map { _ in nil }
                }
                return ids.map { id in
                    rowOfID[id].map { Self.dot(base + $0 * dimension, queryBase, count: dimension) }
                }
            }
        }
    }

    private func normalised(_ vector: [Float]) throws -> [Float] {
        guard vector.count == dimension else {
            throw VectorIndexError(
                code: .dimensionMismatch, message: "the vector has \(vector.count) components, expected \(dimension)")
        }
        let squares = vector.withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { Self.dot($0, $0, count: dimension) } ?? 0
        }
        guard squares.isFinite, squares > 0 else {
            throw VectorIndexError(code: .notFinite, message: "the vector has no finite length")
        }
        // Vectors that already are of unit length stay as they are, bit for bit.
        if abs(squares - 1) < 1e-6 { return vector }
        let scale = 1 / squares.squareRoot()
        return vector.map { $0 * scale }
    }

    /// Dot product, in a summation order that depends on `count` alone.
    static func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int) -> Float {
        var sums = (SIMD16<Float>.zero, SIMD16<Float>.zero)
        let rawA = UnsafeRawPointer(a)
        let rawB = UnsafeRawPointer(b)
        let stride = MemoryLayout<SIMD16<Float>>.stride
        var index = 0
        while index + 32 <= count {
            let offset = index * MemoryLayout<Float>.stride
            sums.0 +=
                rawA.loadUnaligned(fromByteOffset: offset, as: SIMD16<Float>.self)
                * rawB.loadUnaligned(fromByteOffset: offset, as: SIMD16<Float>.self)
            sums.1 +=
                rawA.loadUnaligned(fromByteOffset: offset + stride, as: SIMD16<Float>.self)
                * rawB.loadUnaligned(fromByteOffset: offset + stride, as: SIMD16<Float>.self)
            index += 32
        }
        var total = (sums.0 + sums.1).sum()
        while index < count {
            total += a[index] * b[index]
            index += 1
        }
        return total
    }
}
