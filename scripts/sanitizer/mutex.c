// Tells ThreadSanitizer what Swift's Mutex does.
//
// Synchronization.Mutex takes and gives a free lock by one atomic exchange in the caller's code, which the sanitizer
// sees. When threads meet at it, the kernel hands the lock over (FUTEX_LOCK_PI, FUTEX_UNLOCK_PI), called from a library
// that is not instrumented; without the following, everything a contended lock guards would be reported as a race.
// These stand in for the two slow paths of the library, call them, and add the order that they promise. Nothing is
// suppressed: a race beside a lock is still found.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

// clang's runtime has no header for them in C: acquire and release of whatever is ordered by an address. The exchange
// in the caller's code is at the same one, the only field of the lock.
void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

// Synchronization._MutexHandle._lockSlow(UInt32) and ._unlockSlow()
#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

typedef SWIFT void (*lock_function)(uint32_t thread, SELF);
typedef SWIFT void (*unlock_function)(SELF);

static void *original(const char *name) {
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) abort(); // another version of the library
    return symbol;
}

SWIFT void sanitizer_lock_slow(uint32_t thread, SELF) __asm__(LOCK);
SWIFT void sanitizer_unlock_slow(SELF) __asm__(UNLOCK);

SWIFT void sanitizer_lock_slow(uint32_t thread, SELF) {
    ((lock_function)original(LOCK))(thread, self);
    __tsan_acquire(self);
}

SWIFT void sanitizer_unlock_slow(SELF) {
    __tsan_release(self);
    ((unlock_function)original(UNLOCK))(self);
}
