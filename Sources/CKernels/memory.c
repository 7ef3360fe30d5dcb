// Aligned, zeroed memory straight from the system.
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "CKernels.h"

enum { CK_HUGE_PAGE = 2 << 20 };

static size_t rounded(size_t bytes) {
    return (bytes + 63) & ~(size_t)63;
}

// Large weights are streamed once per token; 4 KiB pages would cost a translation miss every 64 lines.
void *ck_allocate(size_t bytes) {
    if (bytes == 0 || bytes > SIZE_MAX / 2) return NULL;
    const size_t size = rounded(bytes);
    const size_t alignment = size >= CK_HUGE_PAGE ? CK_HUGE_PAGE : 64;
    void *memory = NULL;
    if (posix_memalign(&memory, alignment, size) != 0) return NULL;
#if defined(__linux__)
    if (size >= CK_HUGE_PAGE) madvise(memory, size, MADV_HUGEPAGE);
#endif
    memset(memory, 0, size);
    return memory;
}

void ck_release(void *memory, size_t bytes) {
    (void)bytes;
    free(memory);
}
