import CKernels
import Tensors

/// Which tensor rows go into which panel, and how; made before any memory is taken.
struct PackingPlan {
    /// One row of one of the views; nil is padding.
    struct Source {
        let view: Int
        let row: Int
    }

    /// Panels of one storage and the 16 rows of each.
    struct Run {
        let storage: PanelStorage
        let rows: Int
        let firstRow: Int
        let panels: Range<Int>
        let byteOffset: Int
        /// `panels.count * 16` rows.
        var sources: [Source?]
    }

    let rows: Int
    let columns: Int
    let isGateUp: Bool
    private(set) var panelCount = 0
    private(set) var byteCount = 0
    private(set) var runs: [Run] = []
    private let views: [TensorView]

    var needs: ActivationBuffer.Forms {
        runs.reduce(into: []) { $0.formUnion($1.storage.readsFloats ? .float : .quantized) }
    }

    init(concatenating views: [TensorView], exact: Bool) throws {
        guard let first = views.first else {
            throw KernelError(code: .shapeMismatch, message: "no matrix to pack")
        }
        for view in views where view.columns != first.columns {
            throw KernelError(
                code: .shapeMismatch,
                message: "\(view.name): got \(view.columns) columns, expected \(first.columns) as in \(first.name)")
        }
        self.views = views
        isGateUp = false
        columns = first.columns
        rows = views.reduce(0) { $0 + $1.rows }
        let storages = try views.map { try PanelStorage($0, exact: exact) }
        var firstRow = 0
        var pending: [Source] = []
        for (index, view) in views.enumerated() {
            pending += (0..<view.rows).map { Source(view: index, row: $0) }
            if index + 1 < views.count, storages[index + 1] == storages[index] { continue }
            guard index + 1 == views.count || pending.count % PackedMatrix.panelRows == 0 else {
                throw KernelError(
                    code: .shapeMismatch,
                    message: "\(view.name): \(pending.count) \(view.elementType.name) rows before rows of another "
                        + "type, expected a multiple of \(PackedMatrix.panelRows)")
            }
            append(pending, storage: storages[index], firstRow: firstRow)
            firstRow += pending.count
            pending = []
        }
    }

    init(gate: TensorView, up: TensorView, exact: Bool) throws {
        let storage = try PanelStorage(gate, exact: exact)
        guard gate.shape == up.shape, try storage == PanelStorage(up, exact: exact) else {
            throw KernelError(
                code: .shapeMismatch,
                message: "\(gate.name) \(gate.shape) \(gate.elementType.name) and \(up.name) \(up.shape) "
                    + "\(up.elementType.name): expected equal types and shapes")
        }
        views = [gate, up]
        isGateUp = true
        columns = gate.columns
        rows = gate.rows * 2
        var sources: [Source?] = []
        sources.reserveCapacity(rows)
        for start in stride(from: 0, to: gate.rows, by: PackedMatrix.panelRows) {
            for view in 0..<2 {
                sources += (start..<start + PackedMatrix.panelRows).map {
                    $0 < gate.rows ? Source(view: view, row: $0) : nil
                }
            }
        }
        append(sources, storage: storage, firstRow: 0)
    }

    private mutating func append(_ sources: [Source?], storage: PanelStorage, firstRow: Int) {
        let panels = (sources.count + PackedMatrix.panelRows - 1) / PackedMatrix.panelRows
        let padding = [Source?](repeating: nil, count: panels * PackedMatrix.panelRows - sources.count)
        runs.append(
            Run(
                storage: storage, rows: sources.count, firstRow: firstRow, panels: panelCount..<panelCount + panels,
                byteOffset: byteCount, sources: sources + padding))
        panelCount += panels
        byteCount += panels * storage.panelBytes(columns: columns)
    }

    /// Packs every panel into `memory` (`byteCount` bytes), over the pool's threads when there is one.
    func pack(into memory: UnsafeMutablePointer<UInt8>, pool: ThreadPool?) -> [PackedMatrix.Part] {
        for run in runs {
            let panelBytes = run.storage.panelBytes(columns: columns)
            func packPanels(_ range: Range<Int>) {
                for panel in range {
                    let first = panel * PackedMatrix.panelRows
                    run.storage.pack(
                        run.sources[first..<first + PackedMatrix.panelRows], of: views,
                        into: memory + run.byteOffset + panel * panelBytes)
                }
            }
            if let pool {
                pool.run { _ in pool.forEachChunk(of: run.panels.count, chunk: 8, packPanels) }
            } else {
                packPanels(0..<run.panels.count)
            }
        }
        return runs.map { run in
            PackedMatrix.Part(
                matrix: ck_matrix(
                    panels: memory + run.byteOffset, rows: run.rows, blocks: (columns + 31) / 32,
                    kind: run.storage.kind),
                panels: run.panels, firstRow: run.firstRow)
        }
    }
}
