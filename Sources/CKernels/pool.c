// The thread pool: generation counters that waiters watch, first spinning, then asleep on a futex.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "CKernels.h"

// A value to wait on. Each stands on a cache line of its own, away from what the workers write.
typedef struct ck_event {
    _Alignas(64) atomic_uint value;
    atomic_uint sleepers;
} ck_event;

struct ck_pool {
    ck_event region;   // raised when a region starts
    ck_event barrier;  // raised when all have arrived
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) atomic_size_t claims;
    _Alignas(64) void (*body)(void *, size_t);
    void *context;
    atomic_bool stopping;
    size_t threads;
    pthread_t *handles;
};

typedef struct ck_worker {
    ck_pool *pool;
    size_t index;
} ck_worker;

static int64_t now_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void event_raise(ck_event *event) {
    atomic_fetch_add(&event->value, 1);
    if (atomic_load(&event->sleepers) != 0) {
        syscall(SYS_futex, &event->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}

// Longer than a phase of a layer is uneven, shorter than a scheduler slice by far.
enum { SPIN_NANOSECONDS = 40000 };

static void event_wait(ck_event *event, unsigned old) {
    const int64_t deadline = now_nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 32; i++) {
            if (atomic_load_explicit(&event->value, memory_order_acquire) != old) return;
            relax();
        }
    } while (now_nanoseconds() < deadline);
    atomic_fetch_add(&event->sleepers, 1);
    while (atomic_load(&event->value) == old) {
        syscall(SYS_futex, &event->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    }
    atomic_fetch_sub(&event->sleepers, 1);
}

void ck_pool_barrier(ck_pool *pool) {
    const unsigned generation = atomic_load_explicit(&pool->barrier.value, memory_order_relaxed);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->claims, 0, memory_order_relaxed);
        event_raise(&pool->barrier);
    } else {
        event_wait(&pool->barrier, generation);
    }
}

size_t ck_pool_claim(ck_pool *pool) { return atomic_fetch_add_explicit(&pool->claims, 1, memory_order_relaxed); }

size_t ck_pool_threads(const ck_pool *pool) { return pool->threads; }

static void *worker_main(void *argument) {
    ck_worker worker = *(ck_worker *)argument;
    free(argument);
    ck_pool *pool = worker.pool;
    // Regions are counted from 0; a worker joins every one of them, so it can never miss a generation.
    for (unsigned generation = 0;; generation++) {
        event_wait(&pool->region, generation);
        if (atomic_load(&pool->stopping)) return NULL;
        pool->body(pool->context, worker.index);
        ck_pool_barrier(pool);
    }
}

void ck_pool_run(ck_pool *pool, void (*body)(void *context, size_t thread), void *context) {
    pool->body = body;
    pool->context = context;
    atomic_store_explicit(&pool->claims, 0, memory_order_relaxed);
    if (pool->threads > 1) event_raise(&pool->region);
    body(context, 0);
    ck_pool_barrier(pool);
}

static void stop_workers(ck_pool *pool, size_t started) {
    atomic_store(&pool->stopping, true);
    event_raise(&pool->region);
    for (size_t i = 0; i < started; i++) pthread_join(pool->handles[i], NULL);
    free(pool->handles);
    free(pool);
}

ck_pool *ck_pool_create(size_t threads) {
    if (threads < 1 || threads > 256) return NULL;
    void *memory = NULL;
    if (posix_memalign(&memory, 64, sizeof(ck_pool)) != 0) return NULL;
    ck_pool *pool = memory;
    *pool = (ck_pool){.threads = threads};
    pool->handles = calloc(threads, sizeof(pthread_t));
    if (pool->handles == NULL) {
        free(pool);
        return NULL;
    }
    for (size_t i = 1; i < threads; i++) {
        ck_worker *worker = malloc(sizeof *worker);
        if (worker != NULL) *worker = (ck_worker){pool, i};
        if (worker == NULL || pthread_create(&pool->handles[i - 1], NULL, worker_main, worker) != 0) {
            free(worker);
            stop_workers(pool, i - 1);
            return NULL;
        }
    }
    return pool;
}

void ck_pool_destroy(ck_pool *pool) {
    if (pool != NULL) stop_workers(pool, pool->threads - 1);
}
