// Chooses the table: what the processor and the operating system offer, or what FATHOM_KERNELS asks for.
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

extern const ck_kernels ck_table_generic;
#if defined(__x86_64__)
extern const ck_kernels ck_table_avx2, ck_table_avx512;
#endif

const ck_kernels *ck_kernels_for(ck_isa isa) {
    switch (isa) {
    case CK_GENERIC:
        return &ck_table_generic;
#if defined(__x86_64__)
    // __builtin_cpu_supports also asks whether the operating system saves the registers.
    case CK_AVX2:
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
                       __builtin_cpu_supports("bmi2")
                   ? &ck_table_avx2
                   : NULL;
    case CK_AVX512:
        __builtin_cpu_init();
        return ck_kernels_for(CK_AVX2) != NULL && __builtin_cpu_supports("avx512f") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni")
                   ? &ck_table_avx512
                   : NULL;
#endif
    default:
        return NULL;
    }
}

const ck_kernels *ck_kernels_active(void) {
    const char *wanted = getenv("FATHOM_KERNELS");
    static const char *const names[] = {"generic", "avx2", "avx512"};
    for (int isa = CK_GENERIC; wanted != NULL && isa <= CK_AVX512; isa++) {
        const ck_kernels *table = ck_kernels_for((ck_isa)isa);
        if (strcmp(wanted, names[isa]) == 0 && table != NULL) return table;
    }
    for (int isa = CK_AVX512; isa > CK_GENERIC; isa--) {
        const ck_kernels *table = ck_kernels_for((ck_isa)isa);
        if (table != NULL) return table;
    }
    return &ck_table_generic;
}
