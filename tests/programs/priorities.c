// Priorities by process, group and user; what children get of a policy; the timer slack.
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int get(int which, int who) {
    errno = 0;
    int nice = getpriority(which, who);
    return errno ? -100 - errno : nice;
}

static void tell(const char *what, int result) { printf("%s: %d %s\n", what, result, result ? strerror(errno) : ""); }

static void children_of(const char *name, int policy, int priority, int nice, int reset) {
    pid_t pid = fork();
    if (!pid) {
        struct sched_param param = {.sched_priority = priority};
        setpriority(PRIO_PROCESS, 0, nice);
        int set = syscall(SYS_sched_setscheduler, 0, policy | (reset ? SCHED_RESET_ON_FORK : 0), &param);
        printf("%s: set %d, now %#lx\n", name, set, (long)syscall(SYS_sched_getscheduler, 0));
        pid_t child = fork();
        if (!child) {
            syscall(SYS_sched_getparam, 0, &param);
            printf("%s: child %#lx priority %d nice %d\n", name, (long)syscall(SYS_sched_getscheduler, 0), param.sched_priority, get(PRIO_PROCESS, 0));
            _exit(0);
        }
        waitpid(child, 0, 0);
        _exit(0);
    }
    waitpid(pid, 0, 0);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    int ready[2], go[2];
    pipe(ready);
    pipe(go);
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (!pids[i]) {
            char c;
            // Two in one group, the third as another user.
            if (i < 2) setpgid(0, i ? pids[0] : 0);
            if (i == 2) setresuid(4711, 4711, 4711);
            write(ready[1], "", 1);
            read(go[0], &c, 1);
            _exit(0);
        }
        char c;
        read(ready[0], &c, 1);
    }
    tell("set group", setpriority(PRIO_PGRP, pids[0], 7));
    printf("members %d %d, another %d, group %d\n", get(PRIO_PROCESS, pids[0]), get(PRIO_PROCESS, pids[1]), get(PRIO_PROCESS, pids[2]), get(PRIO_PGRP, pids[0]));
    tell("set user", setpriority(PRIO_USER, 4711, 11));
    printf("of the user %d %d, others %d\n", get(PRIO_PROCESS, pids[2]), get(PRIO_USER, 4711), get(PRIO_PROCESS, pids[0]));
    setpriority(PRIO_PROCESS, pids[1], 3);
    printf("the lowest of a group %d\n", get(PRIO_PGRP, pids[0]));
    printf("nobody's %d %d %d, unknown kind %d\n", get(PRIO_PGRP, 999999), get(PRIO_USER, 123456), get(PRIO_PROCESS, 999999), get(7, 0));
    tell("too far", setpriority(PRIO_PROCESS, pids[0], 100));
    printf("is %d\n", get(PRIO_PROCESS, pids[0]));
    for (int i = 0; i < 3; i++) write(go[1], "", 1);
    for (int i = 0; i < 3; i++) waitpid(pids[i], 0, 0);

    children_of("fifo", SCHED_FIFO, 10, 0, 0);
    children_of("fifo, reset", SCHED_FIFO, 10, 0, 1);
    children_of("rr, reset, nice 5", SCHED_RR, 3, 5, 1);
    children_of("rr, reset, nice -5", SCHED_RR, 3, -5, 1);
    children_of("batch, reset, nice -5", SCHED_BATCH, 0, -5, 1);
    children_of("batch, reset, nice 5", SCHED_BATCH, 0, 5, 1);
    children_of("idle, reset", SCHED_IDLE, 0, 0, 1);
    children_of("other, nice -3", SCHED_OTHER, 0, -3, 0);

    struct {
        unsigned size, policy;
        unsigned long long flags;
        int nice;
        unsigned priority;
        unsigned long long runtime, deadline, period;
    } attr = {.size = 48, .policy = 77};
    tell("unknown policy", syscall(SYS_sched_setattr, 0, &attr, 0));

    prctl(PR_SET_TIMERSLACK, 70000);
    if (!fork()) {
        printf("slack of a child %d\n", prctl(PR_GET_TIMERSLACK));
        prctl(PR_SET_TIMERSLACK, 3);
        printf("set %d\n", prctl(PR_GET_TIMERSLACK));
        prctl(PR_SET_TIMERSLACK, 0);
        printf("as it was born %d\n", prctl(PR_GET_TIMERSLACK));
        _exit(0);
    }
    wait(0);
    prctl(PR_SET_TIMERSLACK, 0);
    printf("the parent's own %d\n", prctl(PR_GET_TIMERSLACK));
    return 0;
}
