import CKernels
import Tensors

/// Which tensor rows go into which panel, and how; made before any memory is taken.
struct PackingPlan {
    /// Panels of one storage kind and the 16 row addresses of each.
    struct Run {
        let kind: ck_weight_kind
        let elementType: ElementType
        let rows: Int
        let firstRow: Int
        let panels: Range<Int>
        let byteOffset: Int
        /// `panels.count * 16` row addresses; nil is padding.
        var sources: [UnsafePointer<UInt8>?]
    }

    let rows: Int
    let columns: Int
    let isGateUp: Bool
    private(set) var panelCount = 0
    private(set) var byteCount = 0
    private(set) var runs: [Run] = []
    private let views: [TensorView]

    var needs: ActivationBuffer.Forms {
        runs.reduce(into: []) { $0.formUnion($1.kind.rawValue >= CK_F32.rawValue ? .float : .quantized) }
    }

    init(concatenating views: [TensorView]) throws {
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
        var firstRow = 0
        var pending: [TensorView] = []
        for (index, view) in views.enumerated() {
            pending.append(view)
            if index + 1 < views.count, views[index + 1].elementType == view.elementType { continue }
            let sources = pending.flatMap(Self.rowAddresses)
            guard index + 1 == views.count || sources.count % PackedMatrix.panelRows == 0 else {
                throw KernelError(
                    code: .shapeMismatch,
                    message: "\(view.name): \(sources.count) \(view.elementType.name) rows before rows of another "
                        + "type, expected a multiple of \(PackedMatrix.panelRows)")
            }
            try append(sources, like: view, firstRow: firstRow)
            firstRow += sources.count
            pending = []
        }
    }

    init(gate: TensorView, up: TensorView) throws {
        guard gate.shape == up.shape, gate.elementType == up.elementType, gate.rows % PackedMatrix.panelRows == 0 else {
            throw KernelError(
                code: .shapeMismatch,
                message: "\(gate.name) \(gate.shape) \(gate.elementType.name) and \(up.name) \(up.shape) "
                    + "\(up.elementType.name): expected equal types and shapes with a multiple of "
                    + "\(PackedMatrix.panelRows) rows")
        }
        views = [gate, up]
        isGateUp = true
        columns = gate.columns
        rows = gate.rows * 2
        let gateRows = Self.rowAddresses(gate)
        let upRows = Self.rowAddresses(up)
        var sources: [UnsafePointer<UInt8>?] = []
        sources.reserveCapacity(rows)
        for start in stride(from: 0, to: gate.rows, by: PackedMatrix.panelRows) {
            sources += gateRows[start..<start + PackedMatrix.panelRows]
            sources += upRows[start..<start + PackedMatrix.panelRows]
        }
        try append(sources, like: gate, firstRow: 0)
    }

    private mutating func append(
        _ sources: [UnsafePointer<UInt8>?], like view: TensorView, firstRow: Int
    ) throws {
        let kind = ck_kind_of_type(view.elementType.rawValue)
        guard kind >= 0 else {
            throw KernelError(
                code: .unsupportedType, message: "\(view.name): \(view.elementType.name) weights are not supported")
        }
        let panels = (sources.count + PackedMatrix.panelRows - 1) / PackedMatrix.panelRows
        let padding = [UnsafePointer<UInt8>?](repeating: nil, count: panels * PackedMatrix.panelRows - sources.count)
        let weightKind = ck_weight_kind(rawValue: UInt32(kind))
        let run = Run(
            kind: weightKind, elementType: view.elementType, rows: sources.count, firstRow: firstRow,
            panels: panelCount..<panelCount + panels, byteOffset: byteCount, sources: sources + padding)
        panelCount += panels
        byteCount += panels * ck_panel_bytes(weightKind, blocks)
        runs.append(run)
    }

    private var blocks: Int { (columns + 31) / 32 }

    private static func rowAddresses(_ view: TensorView) -> [UnsafePointer<UInt8>?] {
        let base = view.bytes.bindMemory(to: UInt8.self).baseAddress
        return (0..<view.rows).map { row in base.map { $0 + row * view.bytesPerRow } }
    }

    /// Packs every panel into `memory` (`byteCount` bytes), over the pool's threads when there is one.
    func pack(into memory: UnsafeMutablePointer<UInt8>, pool: ThreadPool?) -> [PackedMatrix.Part] {
        for run in runs {
            let panelBytes = ck_panel_bytes(run.kind, blocks)
            func packPanels(_ range: Range<Int>) {
                run.sources.withUnsafeBufferPointer { sources in
                    guard let base = sources.baseAddress else { return }
                    for panel in range {
                        _ = ck_pack_panel(
                            run.elementType.rawValue, base + panel * PackedMatrix.panelRows, columns,
                            memory + run.byteOffset + panel * panelBytes)
                    }
                }
            }
            if let pool {
                pool.run { _ in pool.forEachChunk(of: run.panels.count, chunk: 8, packPanels) }
            } else {
                packPanels(0..<run.panels.count)
            }
        }
        // The addresses were good as long as the views' owners lived.
        return withExtendedLifetime(views) {
            runs.map { run in
                PackedMatrix.Part(
                    matrix: ck_matrix(
                        panels: memory + run.byteOffset, rows: run.rows, blocks: blocks, kind: run.kind),
                    panels: run.panels, firstRow: run.firstRow)
            }
        }
    }
}
