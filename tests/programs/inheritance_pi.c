// A lock with priority inheritance: the one who holds it runs as the most urgent of those who wait for it, along chains of locks, until
// it lets go. All on one CPU, which real-time threads of a middle priority want for themselves.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "one_cpu.h"

#define LOCKS 4
static unsigned lock_word[LOCKS];
static volatile int held[LOCKS], waits, stop, hogs, holder_done;
static volatile unsigned long long work;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int tid(void) { return syscall(SYS_gettid); }

static void lock(int n) {
    unsigned zero = 0;
    if (__atomic_compare_exchange_n(&lock_word[n], &zero, tid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    while (syscall(SYS_futex, &lock_word[n], FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0) && errno == EINTR) {
    }
}

static void unlock(int n) {
    unsigned mine = tid();
    if (__atomic_compare_exchange_n(&lock_word[n], &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    syscall(SYS_futex, &lock_word[n], FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0);
}

static int real_time(int priority) {
    struct sched_param param = {.sched_priority = priority};
    return sched_setscheduler(0, SCHED_FIFO, &param);
}

static void compute(double milliseconds) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    double end = t.tv_sec + t.tv_nsec / 1e9 + milliseconds / 1e3;
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while (t.tv_sec + t.tv_nsec / 1e9 < end);
}

// Low: takes lock n, waits until the hogs run, and then needs the CPU for a while before it lets go.
static void *holder(void *arg) {
    int n = (long)arg;
    lock(n);
    held[n] = 1;
    while (!waits) usleep(1000);
    compute(60);
    holder_done = 1;
    unlock(n);
    return 0;
}

// In the middle of a chain: holds lock n and waits for lock n - 1.
static void *link_of(void *arg) {
    int n = (long)arg;
    lock(n);
    held[n] = 1;
    lock(n - 1);
    unlock(n - 1);
    unlock(n);
    return 0;
}

// Middle: computes for as long as it may.
static void *hog(void *arg) {
    real_time(20);
    __atomic_fetch_add(&hogs, 1, __ATOMIC_SEQ_CST);
    while (!waits) usleep(1000);
    double end = now() + 5;
    while (!stop && now() < end) work++;
    return 0;
}

static double took;

// High: asks for lock n.
static void *waiter(void *arg) {
    int n = (long)arg;
    real_time(50);
    double began = now();
    waits = 1;
    lock(n);
    took = now() - began;
    unlock(n);
    stop = 1;
    return 0;
}

// How long the waiter waits for the last of `chain` locks, and whether the holder was through by then.
static double inversion(int chain) {
    pthread_t threads[LOCKS + 3];
    int count = 0;
    memset((void *)held, 0, sizeof held);
    waits = stop = hogs = holder_done = 0;
    pthread_create(&threads[count++], 0, holder, (void *)0);
    while (!held[0]) usleep(1000);
    for (long n = 1; n < chain; n++) {
        pthread_create(&threads[count++], 0, link_of, (void *)n);
        while (!held[n]) usleep(1000);
        usleep(20000);
    }
    for (int i = 0; i < 2; i++) pthread_create(&threads[count++], 0, hog, 0);
    while (hogs < 2) usleep(1000);
    pthread_create(&threads[count++], 0, waiter, (void *)(long)(chain - 1));
    for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
    return took;
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    one_cpu();
    for (int chain = 1; chain <= 3; chain++) {
        // Without a loan the hogs would keep the holder away for the 5 s of their work.
        double it = inversion(chain);
        if (getenv("VERBOSE")) fprintf(stderr, "%d: %.3f s\n", chain, it);
        printf("behind %d locks: %s\n", chain, it < 2.5 ? "soon" : "late");
        printf("the holder was through: %s\n", holder_done ? "yes" : "no");
    }
    return 0;
}
