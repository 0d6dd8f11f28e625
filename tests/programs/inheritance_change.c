// Who waits for a lock with priority inheritance and becomes more or less urgent meanwhile lends the holder that, and finds its place among
// those who wait. All on one CPU.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "one_cpu.h"

static unsigned lock_word;
static volatile int held, begin, stop, holder_done, order[4], taken;
static volatile int waiters[4];
static volatile int hogs_done, seen_done;

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int tid(void) { return syscall(SYS_gettid); }

static void lock(void) {
    unsigned zero = 0;
    if (__atomic_compare_exchange_n(&lock_word, &zero, tid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    while (syscall(SYS_futex, &lock_word, FUTEX_LOCK_PI_PRIVATE, 0, 0, 0, 0) && errno == EINTR) {
    }
}

static void unlock(void) {
    unsigned mine = tid();
    if (__atomic_compare_exchange_n(&lock_word, &mine, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
    syscall(SYS_futex, &lock_word, FUTEX_UNLOCK_PI_PRIVATE, 0, 0, 0, 0);
}

static int priority(int of, int fifo) {
    struct sched_param param = {.sched_priority = fifo};
    return sched_setscheduler(of, fifo ? SCHED_FIFO : SCHED_OTHER, &param);
}

static void compute(double milliseconds) {
    double end = seconds(CLOCK_THREAD_CPUTIME_ID) + milliseconds / 1e3;
    while (seconds(CLOCK_THREAD_CPUTIME_ID) < end) {
    }
}

static void *holder(void *arg) {
    lock();
    held = 1;
    while (!begin) usleep(1000);
    compute((long)arg);
    holder_done = 1;
    unlock();
    return 0;
}

static void *waiter(void *arg) {
    int me = (long)arg % 10, fifo = (long)arg / 10;
    if (fifo) priority(0, fifo);
    waiters[me] = tid();
    lock();
    order[taken++] = me;
    unlock();
    return 0;
}

// Computes for so many milliseconds of its own time, or until it is told to stop.
static void *hog(void *arg) {
    priority(0, 20);
    double end = seconds(CLOCK_THREAD_CPUTIME_ID) + (long)arg / 1e3;
    while (!stop && seconds(CLOCK_THREAD_CPUTIME_ID) < end) {
    }
    if (__atomic_add_fetch(&hogs_done, 1, __ATOMIC_SEQ_CST) == 2) seen_done = holder_done;
    return 0;
}

static pthread_t start(void *(*what)(void *), long arg) {
    pthread_t thread;
    pthread_create(&thread, 0, what, (void *)arg);
    return thread;
}

// Waits until waiter `me` sleeps.
static void sleeps(int me) {
    while (!waiters[me]) usleep(1000);
    usleep(30000);
}

static void reset(void) {
    held = begin = stop = holder_done = taken = hogs_done = seen_done = 0;
    memset((void *)waiters, 0, sizeof waiters);
    usleep(1000000);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    one_cpu();
    pthread_t threads[4];
    struct sched_param param = {.sched_priority = 90};
    // Children of this one are ordinary.
    printf("%d\n", sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param));

    // An ordinary waiter becomes more urgent than the hogs, and so does the holder.
    threads[0] = start(holder, 60);
    while (!held) usleep(1000);
    threads[1] = start(waiter, 0);
    sleeps(0);
    for (int i = 2; i < 4; i++) threads[i] = start(hog, 5000);
    begin = 1;
    usleep(10000);
    double began = seconds(CLOCK_MONOTONIC);
    printf("raised: %d\n", priority(waiters[0], 50));
    pthread_join(threads[1], 0);
    double took = seconds(CLOCK_MONOTONIC) - began;
    if (getenv("VERBOSE")) fprintf(stderr, "%.3f s\n", took);
    printf("the holder of a lock for whom it became urgent: %s\n", took < 2.5 ? "soon" : "late");
    stop = 1;
    for (int i = 0; i < 4; i++)
        if (i != 1) pthread_join(threads[i], 0);

    // An urgent waiter becomes ordinary, and the holder goes after the hogs.
    reset();
    threads[0] = start(holder, 600);
    while (!held) usleep(1000);
    threads[1] = start(waiter, 500);
    sleeps(0);
    for (int i = 2; i < 4; i++) threads[i] = start(hog, 250);
    begin = 1;
    usleep(30000);
    printf("lowered: %d\n", priority(waiters[0], 0));
    for (int i = 2; i < 4; i++) pthread_join(threads[i], 0);
    printf("the holder was through before the hogs: %s\n", seen_done ? "yes" : "no");
    for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);

    // Who becomes more urgent goes first, who becomes less so last.
    reset();
    lock();
    long with[] = {100, 201, 302};
    for (int i = 0; i < 3; i++) threads[i] = start(waiter, with[i]), sleeps(i);
    printf("%d %d\n", priority(waiters[0], 40), priority(waiters[2], 5));
    usleep(50000);
    unlock();
    for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
    printf("order: %d %d %d\n", order[0], order[1], order[2]);

    // Those of one priority go in the order in which they came to it.
    reset();
    lock();
    long alike[] = {100, 201, 202}; // the first becomes as the others are
    for (int i = 0; i < 3; i++) threads[i] = start(waiter, alike[i]), sleeps(i);
    printf("%d\n", priority(waiters[0], 20));
    usleep(50000);
    unlock();
    for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
    printf("order: %d %d %d\n", order[0], order[1], order[2]);
    printf("%x\n", lock_word);
    return 0;
}
