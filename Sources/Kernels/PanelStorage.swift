import CKernels
import Tensors

/// How the rows of a tensor are stored in panels.
struct PanelStorage: Equatable {
    let kind: ck_weight_kind
    /// Whether rows become f32 first, instead of moving as they are.
    let dequantizes: Bool

    /// - Parameter exact: f32 whatever the type.
    /// - Throws: `KernelError.unsupportedType`.
    init(_ view: TensorView, exact: Bool) throws {
        let found = ck_kind_of_type(view.elementType.rawValue)
        if !exact, found >= 0, view.scales == nil {
            self.init(kind: ck_weight_kind(rawValue: UInt32(found)), dequantizes: false)
            return
        }
        guard view.canDequantize else {
            throw KernelError(
                code: .unsupportedType, message: "\(view.name): \(view.elementType.name) weights are not supported")
        }
        self.init(kind: CK_F32, dequantizes: true)
    }

    private init(kind: ck_weight_kind, dequantizes: Bool) {
        self.kind = kind
        self.dequantizes = dequantizes
    }

    /// Whether products read their input as f32.
    var readsFloats: Bool { kind.rawValue >= CK_F32.rawValue }

    func panelBytes(columns: Int) -> Int { ck_panel_bytes(kind, (columns + 31) / 32) }

    /// Packs one panel. `rows` has 16 entries, of views that share this storage.
    func pack(
        _ rows: ArraySlice<PackingPlan.Source?>, of views: [TensorView], into panel: UnsafeMutablePointer<UInt8>
    ) {
        guard let columns = views.first?.columns else { return }
        withUnsafeTemporaryAllocation(of: UnsafePointer<UInt8>?.self, capacity: rows.count) { pointers in
            guard let base = pointers.baseAddress else { return }
            base.initialize(repeating: nil, count: rows.count)
            if dequantizes {
                withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * columns) { values in
                    guard let values = values.baseAddress else { return }
                    for (index, source) in rows.enumerated() {
                        guard let source else { continue }
                        let row = values + index * columns
                        dequantize(views[source.view], row: source.row, into: row)
                        base[index] = UnsafeRawPointer(row).assumingMemoryBound(to: UInt8.self)
                    }
                    _ = ck_pack_panel(ElementType.f32.rawValue, base, columns, panel)
                }
            } else {
                var type = ElementType.f32
                for (index, source) in rows.enumerated() {
                    guard let source else { continue }
                    let view = views[source.view]
                    type = view.elementType
                    base[index] = view.bytes.bindMemory(to: UInt8.self).baseAddress.map {
                        $0 + source.row * view.bytesPerRow
                    }
                }
                _ = ck_pack_panel(type.rawValue, base, columns, panel)
            }
        }
    }

    /// The type was checked and rows come from a plan, so this can fail only by a defect.
    private func dequantize(_ view: TensorView, row: Int, into output: UnsafeMutablePointer<Float>) {
        do {
            try view.dequantizedRow(row, into: output)
        } catch {
            preconditionFailure("row \(row) of \(view.rows): \(error)")
        }
    }
}
