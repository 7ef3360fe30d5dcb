import CKernels
import Foundation
import Kernels
import Testing

@Suite(.serialized) struct DispatchTests {
    @Test("FATHOM_KERNELS chooses the set; an unknown name leaves the best one")
    func environment() {
        let before = getenv("FATHOM_KERNELS").map { String(cString: $0) }
        defer {
            if let before { setenv("FATHOM_KERNELS", before, 1) } else { unsetenv("FATHOM_KERNELS") }
        }
        unsetenv("FATHOM_KERNELS")
        let best = ck_kernels_active().pointee.isa
        let tables = [CK_AVX512, CK_AVX2, CK_GENERIC].compactMap { ck_kernels_for($0) }
        #expect(best == tables.first?.pointee.isa)
        for (name, isa) in [("generic", CK_GENERIC), ("avx2", CK_AVX2), ("avx512", CK_AVX512)] {
            setenv("FATHOM_KERNELS", name, 1)
            #expect(ck_kernels_active().pointee.isa == (ck_kernels_for(isa) == nil ? best : isa))
        }
        setenv("FATHOM_KERNELS", "sse9", 1)
        #expect(ck_kernels_active().pointee.isa == best)
    }

    @Test("the generic set is always there")
    func generic() {
        #expect(KernelSet(.generic)?.instructionSet == .generic)
    }
}
