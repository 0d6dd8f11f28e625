// A critical reader of a pipe or a local stream socket lends its urgency to who will write, on one CPU which real-time processes of a middle
// priority want for themselves. For a machine whose time counts instructions.
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
    volatile int begin, hogs_done, after_late;
};
static struct shared *shared;

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void compute(int milliseconds) {
    double end = seconds(CLOCK_PROCESS_CPUTIME_ID) + milliseconds / 1e3;
    while (seconds(CLOCK_PROCESS_CPUTIME_ID) < end) {
    }
}

static void real_time(int priority) {
    struct sched_param param = {.sched_priority = priority};
    sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &param);
}

// Two that compute for a second each.
static void hogs(void) {
    for (int i = 0; i < 2; i++)
        if (!fork()) {
            real_time(20);
            while (!shared->begin) usleep(1000);
            compute(1000);
            __atomic_fetch_add(&shared->hogs_done, 1, __ATOMIC_SEQ_CST);
            _exit(0);
        }
}

enum how { PIPE, SOCKET, TWO_WRITERS, AFTERWARDS, LONG, ORDINARY };

// The reader waits for a second message, for which the writer has to compute; whether that came before the hogs were through.
static int soon(enum how how) {
    int ends[2];
    *shared = (struct shared){0};
    hogs();
    if (how == SOCKET) socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    else pipe(ends);
    int first = how != PIPE;
    pid_t writer = fork();
    if (!writer) {
        real_time(0);
        close(ends[0]);
        if (first) usleep(100000), write(ends[1], "1", 1);
        while (!shared->begin) usleep(1000);
        compute(how == LONG ? 600 : 60);
        write(ends[1], "2", 1);
        if (how == AFTERWARDS) {
            compute(60);
            shared->after_late = shared->hogs_done == 2;
        }
        _exit(0);
    }
    pid_t idle = 0;
    if (how == TWO_WRITERS && !(idle = fork())) pause();
    close(ends[1]);
    real_time(how == ORDINARY ? 0 : 50);
    char byte;
    if (first) read(ends[0], &byte, 1);
    usleep(50000);
    shared->begin = 1;
    read(ends[0], &byte, 1);
    int soon = shared->hogs_done < 2;
    close(ends[0]);
    real_time(0);
    if (idle) kill(idle, SIGKILL);
    while (wait(0) > 0) {
    }
    return soon;
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    printf("the only writer of a pipe, before it wrote anything: %s\n", soon(PIPE) ? "soon" : "late");
    printf("the last writer of several: %s\n", soon(TWO_WRITERS) ? "soon" : "late");
    printf("the other end of a socket: %s\n", soon(SOCKET) ? "soon" : "late");
    printf("what it does after it wrote: %s\n", soon(AFTERWARDS) && shared->after_late ? "late" : "soon");
    printf("one that takes too long: %s\n", soon(LONG) ? "soon" : "late");
    printf("for an ordinary reader: %s\n", soon(ORDINARY) ? "soon" : "late");
    return 0;
}
