// Shares of one CPU as nice values and policies say, and prompt wake-ups beside those who compute. Figures are told in classes that a busy
// machine does not change: all contenders are on one CPU, so whatever else runs there takes from all of them.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "one_cpu.h"

static long long now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

struct kind {
    int nice, policy, priority;
};

static volatile int *begin;

// A process that computes on that CPU once all are there, until it is killed.
static pid_t hog(struct kind kind, int *refused) {
    pid_t pid = fork();
    if (pid) return pid;
    one_cpu();
    struct sched_param param = {.sched_priority = kind.priority};
    if (kind.policy != SCHED_OTHER && sched_setscheduler(0, kind.policy, &param)) *refused = errno;
    if (kind.nice) setpriority(PRIO_PROCESS, 0, kind.nice);
    __atomic_fetch_add(&begin[1], 1, __ATOMIC_SEQ_CST);
    while (!begin[0]) usleep(1000);
    for (;;) {
    }
}

static double seconds_of(pid_t pid) {
    clockid_t clock;
    clock_getcpuclockid(pid, &clock);
    return now(clock) / 1e9;
}

// Share of the first of two that compute beside each other for a second of CPU time; -1 if a policy was refused.
static double share(struct kind first, struct kind second) {
    int *refused = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    begin[0] = begin[1] = 0;
    pid_t pids[] = {hog(first, refused), hog(second, refused)};
    while (begin[1] < 2) usleep(1000);
    begin[0] = 1;
    double mine, others;
    do {
        usleep(50000);
        mine = seconds_of(pids[0]), others = seconds_of(pids[1]);
    } while (mine + others < 1.0);
    for (int i = 0; i < 2; i++) kill(pids[i], SIGKILL), waitpid(pids[i], 0, 0);
    double result = *refused ? -1 : mine / (mine + others);
    munmap(refused, 4096);
    return result;
}

static void tell(const char *what, double share, double least, double most) {
    // Where a policy is not allowed there is nothing to be seen.
    if (share < 0 || (share >= least && share <= most))
        printf("%s: yes\n", what);
    else
        printf("%s: no, %.3f\n", what, share);
}

static int compare(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

// Median time by which sleeps of 3 ms end late beside `count` that compute, in ms.
static double lateness(int count) {
    pid_t pids[8];
    int refused = 0;
    begin[0] = begin[1] = 0;
    for (int i = 0; i < count; i++) pids[i] = hog((struct kind){0, SCHED_OTHER, 0}, &refused);
    while (begin[1] < count) usleep(1000);
    one_cpu();
    begin[0] = 1;
    usleep(300000);
    long long late[101];
    for (int i = 0; i < 101; i++) {
        long long before = now(CLOCK_MONOTONIC);
        usleep(3000);
        late[i] = now(CLOCK_MONOTONIC) - before - 3000000;
    }
    for (int i = 0; i < count; i++) kill(pids[i], SIGKILL), waitpid(pids[i], 0, 0);
    qsort(late, 101, sizeof *late, compare);
    if (getenv("VERBOSE")) fprintf(stderr, "%d beside: median %.3f ms, worst %.3f ms\n", count, late[50] / 1e6, late[100] / 1e6);
    return late[50] / 1e6;
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    begin = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct kind plain = {0, SCHED_OTHER, 0};
    tell("equals share equally", share(plain, plain), 0.4, 0.6);
    // 110 of 1134.
    tell("nice 10 gets about a tenth beside nice 0", share((struct kind){10, SCHED_OTHER, 0}, plain), 0.04, 0.2);
    tell("nice 5 gets about a quarter beside nice 0", share((struct kind){5, SCHED_OTHER, 0}, plain), 0.15, 0.37);
    tell("SCHED_BATCH shares with SCHED_OTHER", share((struct kind){0, SCHED_BATCH, 0}, plain), 0.3, 0.7);
    tell("SCHED_IDLE gets little", share((struct kind){0, SCHED_IDLE, 0}, plain), 0.0, 0.15);
    tell("SCHED_FIFO gets nearly all", share((struct kind){0, SCHED_FIFO, 1}, plain), 0.7, 1.0);
    tell("SCHED_RR gets nearly all", share((struct kind){0, SCHED_RR, 1}, plain), 0.7, 1.0);
    tell("SCHED_RR shares with its like", share((struct kind){0, SCHED_RR, 7}, (struct kind){0, SCHED_RR, 7}), 0.25, 0.75);
    tell("the higher of two priorities gets nearly all", share((struct kind){0, SCHED_FIFO, 9}, (struct kind){0, SCHED_FIFO, 8}), 0.7, 1.0);
    double late = lateness(8);
    printf("wake-ups beside eight that compute are prompt: %s\n", late < 20 ? "yes" : "no");
    return 0;
}
