// Shares of all CPUs at once: two that compute on each, one of them nicer; then as many as there are CPUs and twice as many, without a place
// of their own. For a machine whose time counts instructions: on a busy host, virtual CPUs stand still in the middle of a slice.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST 64
// Time of one measurement: where CPUs take turns, each has to get some.
#define SPAN (0.3 + 0.15 * count)

static volatile int *begin; // whether, how many are there, who found itself elsewhere
static int cpus[MOST], count;

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double used_by(pid_t pid) {
    clockid_t clock;
    clock_getcpuclockid(pid, &clock);
    return seconds(clock);
}

// A process that computes, on one CPU or, with -1, on any.
static pid_t hog(int cpu, int nice) {
    pid_t pid = fork();
    if (pid) return pid;
    if (cpu >= 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
    }
    if (nice) setpriority(PRIO_PROCESS, 0, nice);
    __atomic_fetch_add(&begin[1], 1, __ATOMIC_SEQ_CST);
    while (!begin[0]) usleep(1000);
    for (;;)
        for (int i = 0; i < 10000; i++)
            if (i == 0 && cpu >= 0 && sched_getcpu() != cpu) begin[2] = 1;
}

static void run(const pid_t *pids, double *used, int hogs) {
    while (begin[1] < hogs) usleep(1000);
    begin[0] = 1;
    double start = seconds(CLOCK_MONOTONIC);
    while (seconds(CLOCK_MONOTONIC) - start < SPAN) usleep(50000);
    for (int i = 0; i < hogs; i++) used[i] = used_by(pids[i]);
    for (int i = 0; i < hogs; i++) kill(pids[i], SIGKILL), waitpid(pids[i], 0, 0);
    begin[0] = begin[1] = 0;
}

static void tell(const char *what, int yes, const double *used, int hogs) {
    printf("%s: %s\n", what, yes ? "yes" : "no");
    for (int i = 0; i < hogs && (!yes || getenv("VERBOSE")); i++) fprintf(stderr, "%d: %.3f s\n", i, used[i]);
}

// Two on each CPU, of which the second is nicer.
static void pinned(const char *what, int nice, double least, double most) {
    pid_t pids[2 * MOST];
    double used[2 * MOST];
    for (int i = 0; i < count; i++) pids[2 * i] = hog(cpus[i], 0), pids[2 * i + 1] = hog(cpus[i], nice);
    run(pids, used, 2 * count);
    int yes = 1;
    for (int i = 0; i < count; i++) {
        double share = used[2 * i + 1] / (used[2 * i] + used[2 * i + 1]);
        yes &= share >= least && share <= most;
    }
    tell(what, yes, used, 2 * count);
}

// Jain's index of `hogs` that may run anywhere.
static void anywhere(const char *what, int hogs) {
    pid_t pids[2 * MOST] = {0};
    double used[2 * MOST], sum = 0, squares = 0;
    for (int i = 0; i < hogs; i++) pids[i] = hog(-1, 0);
    run(pids, used, hogs);
    for (int i = 0; i < hogs; i++) sum += used[i], squares += used[i] * used[i];
    tell(what, sum * sum / (hogs * squares) >= 0.9, used, hogs);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    begin = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cpu_set_t may;
    sched_getaffinity(0, sizeof may, &may);
    for (int cpu = 0; cpu < CPU_SETSIZE && count < MOST; cpu++)
        if (CPU_ISSET(cpu, &may)) cpus[count++] = cpu;
    // Some hundredths for this process, which looks on from one of the CPUs.
    pinned("equals share each CPU equally", 0, 0.38, 0.62);
    // 335 of 1359.
    pinned("nice 5 gets about a quarter of each CPU", 5, 0.13, 0.37);
    // 110 of 1134.
    pinned("nice 10 gets about a tenth of each CPU", 10, 0.03, 0.22);
    anywhere("as many as CPUs are served alike", count);
    anywhere("twice as many are served alike", 2 * count);
    printf("nobody was where it must not be: %s\n", begin[2] ? "no" : "yes");
    return 0;
}
