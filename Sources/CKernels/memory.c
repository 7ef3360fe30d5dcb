// Aligned, zeroed memory straight from the system.
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "CKernels.h"

enum { CK_HUGE_PAGE = 2 << 20 };

// Under AddressSanitizer everything comes from the heap, where it sees what lies past an end.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CK_MAPPED_FROM SIZE_MAX
#endif
#endif
#ifndef CK_MAPPED_FROM
#define CK_MAPPED_FROM CK_HUGE_PAGE
#endif

static size_t rounded(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

// Large weights are streamed once per token; 4 KiB pages would cost a translation miss every 64 lines. A mapping is
// zero without being touched, so a KV cache costs memory only as far as it is used.
static void *map_huge(size_t bytes) {
    const size_t size = rounded(bytes, CK_HUGE_PAGE);
    uint8_t *memory = mmap(NULL, size + CK_HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    uint8_t *start = (uint8_t *)rounded((uintptr_t)memory, CK_HUGE_PAGE);
    const size_t before = (size_t)(start - memory);
    if (before > 0) munmap(memory, before);
    munmap(start + size, CK_HUGE_PAGE - before);
#if defined(MADV_HUGEPAGE)
    madvise(start, size, MADV_HUGEPAGE);
#endif
    return start;
}

void *ck_allocate(size_t bytes) {
    if (bytes == 0 || bytes > SIZE_MAX / 2) return NULL;
    if (bytes >= CK_MAPPED_FROM) return map_huge(bytes);
    const size_t size = rounded(bytes, 64);
    void *memory = NULL;
    if (posix_memalign(&memory, 64, size) != 0) return NULL;
    return memset(memory, 0, size);
}

void ck_release(void *memory, size_t bytes) {
    if (memory == NULL) return;
    if (bytes >= CK_MAPPED_FROM) {
        munmap(memory, rounded(bytes, CK_HUGE_PAGE));
    } else {
        free(memory);
    }
}
