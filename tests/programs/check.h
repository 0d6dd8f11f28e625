// Shared by the test programs: print what happened, by name, so that two kernels can be compared line by line.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline void show_(const char *what, long value) {
    if (value == -1 && errno)
        printf("%s = -1 %s\n", what, strerrorname_np(errno));
    else
        printf("%s = %ld\n", what, value);
    fflush(stdout);
}

// Prints an expression, its value (a failure as its errno's name).
#define SHOW(e)                                                                                                        \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        show_(#e, (long)(e));                                                                                          \
    } while (0)
// The same for a value that differs from run to run: only whether it worked.
#define TRY(e)                                                                                                         \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long v_ = (long)(e);                                                                                           \
        printf("%s: %s\n", #e, v_ == -1 ? strerrorname_np(errno) : "ok");                                              \
        fflush(stdout);                                                                                                \
    } while (0)
#define SAY(...)                                                                                                       \
    do {                                                                                                               \
        printf(__VA_ARGS__);                                                                                           \
        fflush(stdout);                                                                                                \
    } while (0)

// Prints a wait status in words.
static inline void status(const char *what, int s) {
    if (WIFEXITED(s))
        SAY("%s: exited %d (0x%x)\n", what, WEXITSTATUS(s), s);
    else if (WIFSIGNALED(s))
        SAY("%s: killed by %d (0x%x)\n", what, WTERMSIG(s), s & 0x7f);
    else if (WIFSTOPPED(s))
        SAY("%s: stopped by %d (0x%x)\n", what, WSTOPSIG(s), s);
    else if (WIFCONTINUED(s))
        SAY("%s: continued (0x%x)\n", what, s);
}
static inline void reap(const char *what, pid_t p) {
    int s;
    while (waitpid(p, &s, 0) == -1 && errno == EINTR)
        ;
    status(what, s);
}
static inline void ms(long n) {
    struct timespec t = {n / 1000, n % 1000 * 1000000};
    while (nanosleep(&t, &t) == -1 && errno == EINTR)
        ;
}
static inline long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
// Runs code in a child and tells how it ended.
#define CHILD(what, ...)                                                                                               \
    do {                                                                                                               \
        fflush(stdout);                                                                                                \
        pid_t p_ = fork();                                                                                             \
        if (!p_) {                                                                                                     \
            __VA_ARGS__;                                                                                               \
            fflush(stdout);                                                                                            \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        reap(what, p_);                                                                                                \
    } while (0)

// Waits until a process, or a thread ("PID/task/TID"), is in one of these states of /proc/PID/stat.
static inline int await_(const char *who, const char *states) {
    char path[64], b[256];
    snprintf(path, sizeof path, "/proc/%s/stat", who);
    for (int i = 0; i < 5000; i++) {
        int f = open(path, O_RDONLY);
        if (f == -1)
            return -1;
        ssize_t n = read(f, b, sizeof b - 1);
        close(f);
        if (n <= 0)
            return -1;
        b[n] = 0;
        char *e = strrchr(b, ')');
        if (e && e[1] && strchr(states, e[2]))
            return 0;
        usleep(2000);
    }
    SAY("%s never came to %s\n", path, states);
    return -1;
}
static inline int await(pid_t p, const char *states) {
    char b[32];
    snprintf(b, sizeof b, "%d", p);
    return await_(b, states);
}
static inline int await_thread(pid_t p, pid_t t, const char *states) {
    char b[64];
    snprintf(b, sizeof b, "%d/task/%d", p, t);
    return await_(b, states);
}
// One byte through a pipe: for who has to go first.
static inline void give(int f[2]) { write(f[1], "x", 1); }
static inline void take(int f[2]) {
    char c;
    while (read(f[0], &c, 1) == -1 && errno == EINTR)
        ;
}
