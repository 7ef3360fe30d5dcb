// The thread pool: generation counters that waiters watch, first spinning, then asleep on a futex.
//
// Versions tried, barriers of two threads: 0.2 us each with a core per thread. When other processes leave both threads
// one core, plain spinning costs two whole spins a barrier (5 us of spinning: 13 us, 40: 85, 200: 400), because the
// spinner keeps the other from arriving. So a waiter does not spin while a thread it waits for was last seen on its own
// processor: 2.5 us. Otherwise it spins longer than a wake-up takes (30-50 us on a virtual machine); a shorter spin
// could end just before a thread that is being woken arrives, again and again.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
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

// What a thread tells the others.
typedef struct ck_place {
    _Alignas(64) atomic_int processor;
    atomic_bool waiting;
    atomic_size_t claims; // chunks of this thread's share that were given away since the last barrier
} ck_place;

struct ck_pool {
    ck_event region;  // raised when a region starts
    ck_event barrier; // raised when all have arrived
    _Alignas(64) atomic_uint arrived;
    _Alignas(64) void (*body)(void *, size_t);
    void *context;
    atomic_bool stopping;
    size_t threads;
    pthread_t *handles;
    ck_place *places; // [threads]
};

// Index in the pool this thread works for; callers of ck_pool_run are thread 0.
static _Thread_local size_t thread_index = 0;

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

static void event_raise(ck_pool *pool, ck_event *event) {
    // From here on everybody works again, also those who have yet to wake up.
    for (size_t i = 0; i < pool->threads; i++) {
        atomic_store_explicit(&pool->places[i].waiting, false, memory_order_relaxed);
    }
    atomic_fetch_add(&event->value, 1);
    if (atomic_load(&event->sleepers) != 0) {
        syscall(SYS_futex, &event->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
}

// Longer than a wake-up, shorter than a scheduler slice by far.
enum { SPIN_NANOSECONDS = 100000 };

// Whether a thread that still works was last seen on this processor.
static bool keeps_another_from_running(ck_pool *pool, int processor) {
    for (size_t i = 0; i < pool->threads; i++) {
        if (i != thread_index && atomic_load_explicit(&pool->places[i].processor, memory_order_relaxed) == processor &&
            !atomic_load_explicit(&pool->places[i].waiting, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

static bool spin(ck_pool *pool, ck_event *event, unsigned old) {
    int64_t deadline = 0;
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(&event->value, memory_order_acquire) != old) return true;
            relax();
        }
        const int processor = sched_getcpu();
        atomic_store_explicit(&pool->places[thread_index].processor, processor, memory_order_relaxed);
        if (keeps_another_from_running(pool, processor)) return false;
        if (deadline == 0) deadline = now_nanoseconds() + SPIN_NANOSECONDS;
    } while (now_nanoseconds() < deadline);
    return false;
}

static void event_wait(ck_pool *pool, ck_event *event, unsigned old) {
    ck_place *place = &pool->places[thread_index];
    atomic_store_explicit(&place->processor, sched_getcpu(), memory_order_relaxed);
    if (!spin(pool, event, old)) {
        atomic_fetch_add(&event->sleepers, 1);
        while (atomic_load(&event->value) == old) {
            syscall(SYS_futex, &event->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
        }
        atomic_fetch_sub(&event->sleepers, 1);
        atomic_store_explicit(&place->processor, sched_getcpu(), memory_order_relaxed);
    }
}

static void reset_claims(ck_pool *pool) {
    for (size_t i = 0; i < pool->threads; i++) {
        atomic_store_explicit(&pool->places[i].claims, 0, memory_order_relaxed);
    }
}

void ck_pool_barrier(ck_pool *pool) {
    const unsigned generation = atomic_load_explicit(&pool->barrier.value, memory_order_relaxed);
    atomic_store_explicit(&pool->places[thread_index].waiting, true, memory_order_relaxed);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        reset_claims(pool);
        event_raise(pool, &pool->barrier);
    } else {
        event_wait(pool, &pool->barrier, generation);
    }
}

// Every thread has a contiguous share and goes through it in order, so that what its kernels fetch ahead past a chunk's
// end is what it works on next. Who is done takes from the others' shares.
size_t ck_pool_claim(ck_pool *pool, size_t chunks) {
    for (size_t i = 0; i < pool->threads; i++) {
        const size_t owner = (thread_index + i) % pool->threads;
        const size_t first = chunks * owner / pool->threads, end = chunks * (owner + 1) / pool->threads;
        const size_t chunk = first + atomic_fetch_add_explicit(&pool->places[owner].claims, 1, memory_order_relaxed);
        if (chunk < end) return chunk;
    }
    return chunks;
}

static void *worker_main(void *argument) {
    ck_worker worker = *(ck_worker *)argument;
    free(argument);
    ck_pool *pool = worker.pool;
    thread_index = worker.index;
    // Regions are counted from 0; a worker joins every one of them, so it can never miss a generation.
    for (unsigned generation = 0;; generation++) {
        atomic_store_explicit(&pool->places[thread_index].waiting, true, memory_order_relaxed);
        event_wait(pool, &pool->region, generation);
        if (atomic_load(&pool->stopping)) return NULL;
        pool->body(pool->context, worker.index);
        ck_pool_barrier(pool);
    }
}

void ck_pool_run(ck_pool *pool, void (*body)(void *context, size_t thread), void *context) {
    const size_t outer = thread_index; // a worker of one pool may be the caller of another
    thread_index = 0;
    pool->body = body;
    pool->context = context;
    atomic_store_explicit(&pool->places[0].processor, sched_getcpu(), memory_order_relaxed);
    reset_claims(pool);
    if (pool->threads > 1) event_raise(pool, &pool->region);
    body(context, 0);
    ck_pool_barrier(pool);
    thread_index = outer;
}

static void stop_workers(ck_pool *pool, size_t started) {
    atomic_store(&pool->stopping, true);
    event_raise(pool, &pool->region);
    for (size_t i = 0; i < started; i++) pthread_join(pool->handles[i], NULL);
    free(pool->handles);
    free(pool->places);
    free(pool);
}

ck_pool *ck_pool_create(size_t threads) {
    if (threads < 1 || threads > 256) return NULL;
    void *memory = NULL;
    if (posix_memalign(&memory, 64, sizeof(ck_pool)) != 0) return NULL;
    ck_pool *pool = memory;
    *pool = (ck_pool){.threads = threads};
    pool->handles = calloc(threads, sizeof(pthread_t));
    pool->places = NULL;
    if (pool->handles == NULL || posix_memalign(&memory, 64, threads * sizeof(ck_place)) != 0) {
        free(pool->handles);
        free(pool);
        return NULL;
    }
    pool->places = memory;
    for (size_t i = 0; i < threads; i++) pool->places[i] = (ck_place){.processor = -1};
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
