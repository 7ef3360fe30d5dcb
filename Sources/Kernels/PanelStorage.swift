import CKernels
import Tensors

/// How the rows of a tensor are stored in panels.
struct PanelStorage: Equatable {
    /// What becomes of a row's bytes.
    enum Form {
        /// They move as they are.
        case asStored
        /// 8-bit floats with their scales. The weight, scale * value, keeps all 24 bits, which BF16 panels would not, at
        /// 9 bits instead of 32.
        case scaledEightBit
        /// They become f32 first.
        case dequantized
    }

    let kind: ck_weight_kind
    let form: Form

    /// - Parameter exact: f32 whatever the type.
    /// - Throws: `KernelError.unsupportedType`.
    init(_ view: TensorView, exact: Bool) throws {
        let found = ck_kind_of_type(view.elementType.rawValue)
        if exact {
            self.init(kind: CK_F32, form: .dequantized)
        } else if found >= 0, view.scales == nil {
            self.init(kind: ck_weight_kind(rawValue: UInt32(found)), form: .asStored)
        } else if view.elementType == .f8_E4M3, (view.scales?.blockColumns ?? 32) % 32 == 0 {
            self.init(kind: CK_F8, form: .scaledEightBit)
        } else {
            self.init(kind: CK_F32, form: .dequantized)
        }
        guard form != .dequantized || view.canDequantize else {
            throw KernelError(
                code: .unsupportedType, message: "\(view.name): \(view.elementType.name) weights are not supported")
        }
    }

    private init(kind: ck_weight_kind, form: Form) {
        self.kind = kind
        self.form = form
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
            guard let pointers = pointers.baseAddress else { return }
            pointers.initialize(repeating: nil, count: rows.count)
            if form == .dequantized {
                packDequantized(rows, of: views, columns: columns, pointers: pointers, into: panel)
                return
            }
            var type = ElementType.f32
            for (index, source) in rows.enumerated() {
                guard let source else { continue }
                let view = views[source.view]
                type = view.elementType
                pointers[index] = view.bytes.bindMemory(to: UInt8.self).baseAddress.map {
                    $0 + source.row * view.bytesPerRow
                }
            }
            if form == .scaledEightBit {
                packEightBit(rows, of: views, columns: columns, pointers: pointers, into: panel)
            } else {
                _ = ck_pack_panel(type.rawValue, pointers, columns, panel)
            }
        }
    }

    private func packDequantized(
        _ rows: ArraySlice<PackingPlan.Source?>, of views: [TensorView], columns: Int,
        pointers: UnsafeMutablePointer<UnsafePointer<UInt8>?>, into panel: UnsafeMutablePointer<UInt8>
    ) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * columns) { values in
            guard let values = values.baseAddress else { return }
            for (index, source) in rows.enumerated() {
                guard let source else { continue }
                let row = values + index * columns
                // The type was checked and rows come from a plan, so this can fail only by a defect.
                do {
                    try views[source.view].dequantizedRow(source.row, into: row)
                } catch {
                    preconditionFailure("row \(source.row): \(error)")
                }
                pointers[index] = UnsafeRawPointer(row).assumingMemoryBound(to: UInt8.self)
            }
            _ = ck_pack_panel(ElementType.f32.rawValue, pointers, columns, panel)
        }
    }

    private func packEightBit(
        _ rows: ArraySlice<PackingPlan.Source?>, of views: [TensorView], columns: Int,
        pointers: UnsafeMutablePointer<UnsafePointer<UInt8>?>, into panel: UnsafeMutablePointer<UInt8>
    ) {
        // One scale for each block of 32 columns, whatever the blocks of the views are.
        let blocks = (columns + 31) / 32
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * blocks) { scales in
            withUnsafeTemporaryAllocation(of: UnsafePointer<Float>?.self, capacity: rows.count) { scalePointers in
                guard let scales = scales.baseAddress, let scalePointers = scalePointers.baseAddress else { return }
                for (index, source) in rows.enumerated() {
                    scalePointers[index] = UnsafePointer(scales + index * blocks)
                    for block in 0..<blocks {
                        scales[index * blocks + block] =
                            source.flatMap { views[$0.view].scales?.value(row: $0.row, column: block * 32) } ?? 1
                    }
                }
                ck_pack_f8_panel(pointers, scalePointers, columns, panel)
            }
        }
    }
}

extension BlockScales {
    /// The scale of one element.
    fileprivate func value(row: Int, column: Int) -> Float {
        values[row / blockRows * columns + column / blockColumns]
    }
}
