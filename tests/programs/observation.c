// What /proc tells of a process's time: what it ran, what it waited for a CPU, how often it was given one, and which.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "one_cpu.h"

static int last;

static pid_t hog(void) {
    pid_t pid = fork();
    if (pid) return pid;
    last = one_cpu();
    for (;;) {
    }
}

struct figures {
    long long ran, waited, slices;
};

static struct figures figures(const char *format, int pid, int tid) {
    char path[64];
    struct figures it = {-1, -1, -1};
    snprintf(path, sizeof path, format, pid, tid);
    FILE *file = fopen(path, "r");
    if (!file) return it;
    if (fscanf(file, "%lld %lld %lld", &it.ran, &it.waited, &it.slices) != 3) it.ran = -1;
    fclose(file);
    return it;
}

// Field 39 of /proc/PID/stat.
static int cpu_of(int pid) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) return -1;
    fclose(file);
    char *at = strrchr(line, ')') + 2;
    for (int field = 3; field < 39; field++) at = strchr(at, ' ') + 1;
    return atoi(at);
}

static void *sleeper(void *tid) {
    *(volatile int *)tid = syscall(SYS_gettid);
    for (int i = 0; i < 20; i++) usleep(1000);
    for (;;) pause();
}

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static const char *yes(int is) { return is ? "yes" : "no"; }

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    pid_t pids[3];
    for (int i = 0; i < 3; i++) pids[i] = hog();
    usleep(200000);
    struct figures before = figures("/proc/%d/schedstat", pids[0], 0);
    long long began = now();
    sleep(1);
    struct figures after = figures("/proc/%d/schedstat", pids[0], 0);
    double elapsed = now() - began, ran = after.ran - before.ran, waited = after.waited - before.waited;
    // It never sleeps: it runs or waits.
    printf("run and wait add up to the time: %s\n", yes((ran + waited) / elapsed > 0.7 && (ran + waited) / elapsed < 1.3));
    printf("one of three waits for more than it runs: %s\n", yes(waited > ran));
    printf("slices were counted: %s\n", yes(after.slices > before.slices && after.slices < 10000000));
    struct figures same = figures("/proc/%d/task/%d/schedstat", pids[0], pids[0]);
    printf("its only thread has the same: %s\n", yes(same.ran >= after.ran && same.waited >= after.waited && same.slices >= after.slices));
    last = one_cpu();
    printf("the CPU is told: %s\n", yes(cpu_of(pids[0]) == last && cpu_of(pids[2]) == last));
    for (int i = 0; i < 3; i++) kill(pids[i], SIGKILL), waitpid(pids[i], 0, 0);
    volatile int tid = 0;
    pthread_t thread;
    pthread_create(&thread, 0, sleeper, (void *)&tid);
    usleep(300000);
    struct figures slept = figures("/proc/%d/task/%d/schedstat", getpid(), tid);
    printf("a sleeper's slices are its own: %s\n", yes(slept.slices >= 20 && slept.slices < 200));
    printf("and it ran for little: %s\n", yes(slept.ran > 0 && slept.ran < 200000000));
    printf("nobody else's: %s\n", yes(figures("/proc/%d/task/%d/schedstat", getpid(), 1).ran == -1));
    return 0;
}
