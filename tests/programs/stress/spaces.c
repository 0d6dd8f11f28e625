// spaces SECONDS: namespaces, System V objects and mounts without end from several processes, with deaths of inits, joins of dying
// namespaces and fork bombs inside; all of it must go with its makers.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4
static const char *counted[] = {"frames_user", "frames_tables", "frames_files", "processes", "threads", "numbers"};
#define COUNTED (sizeof counted / sizeof *counted)

static void rest(int ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, 0);
}
// What the kernel has handed out; nothing on Linux.
static void counts(long *out) {
    char text[4096], *at;
    int fd = open("/proc/multios/counts", O_RDONLY), n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    for (unsigned i = 0; i < COUNTED; i++)
        out[i] = (at = strstr(text, counted[i])) ? atol(at + strlen(counted[i])) : 0;
}

static pid_t inside(int flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }

static void worker(unsigned seed, time_t end) {
    int kept[64], some = 0;
    // Nothing stays outside: objects and mounts are those of namespaces of its own.
    if (unshare(CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUTS))
        _exit(1);
    mount("none", "/", 0, MS_REC | MS_PRIVATE, 0);
    while (time(0) < end) {
        seed = seed * 1103515245 + 12345;
        int coin = seed >> 20 & 1;
        pid_t p;
        switch ((seed >> 16) % 12) {
        case 0: unshare(CLONE_NEWIPC); break;
        case 1: unshare(CLONE_NEWUTS | CLONE_NEWNS); break;
        case 2:
            if ((p = inside(CLONE_NEWPID | CLONE_NEWIPC)) == 0) {
                for (int i = 0; i < 5; i++)
                    if (fork() == 0)
                        for (;;)
                            pause();
                if (coin)
                    pause();
                _exit(0);
            }
            if (p > 0) {
                if (coin)
                    kill(p, SIGKILL);
                waitpid(p, 0, 0);
            }
            break;
        case 3:
            for (int i = 0; i < 50; i++)
                semget(IPC_PRIVATE, 250, 0600);
            break;
        case 4:
            for (int i = 0; i < 50; i++) {
                static struct {
                    long type;
                    char text[4000];
                } message = {1};
                int id = msgget(IPC_PRIVATE, 0600);
                for (int j = 0; j < 4; j++)
                    msgsnd(id, &message, 4000, IPC_NOWAIT);
            }
            break;
        case 5: {
            char *at = shmat(shmget(IPC_PRIVATE, 1 << 20, 0600), 0, 0);
            if (at != (void *)-1) {
                for (int i = 0; i < 1 << 20; i += 4096)
                    at[i] = 1;
                if (coin)
                    shmdt(at);
            }
            break;
        }
        case 6: mount("tmpfs", "/tmp", "tmpfs", 0, 0); break;
        case 7:
            if (some < 64 && (kept[some] = open(coin ? "/proc/self/ns/ipc" : "/proc/self/ns/pid", O_RDONLY)) >= 0)
                some++;
            break;
        case 8:
            if (some)
                setns(kept[(seed >> 8) % some], 0);
            break;
        case 9:
            while (some)
                close(kept[--some]);
            break;
        case 10:
            // A bomb in a namespace in a namespace; each init leaves early.
            if ((p = fork()) == 0) {
                unshare(CLONE_NEWPID);
                if ((p = fork()) == 0) {
                    unshare(CLONE_NEWPID);
                    if (fork() == 0)
                        for (;;)
                            fork();
                    rest(5);
                    _exit(0);
                }
                if (p > 0)
                    waitpid(p, 0, 0);
                _exit(0);
            }
            if (p > 0)
                waitpid(p, 0, 0);
            break;
        case 11:
            if ((seed >> 20 & 15) == 0)
                _exit(0);
        }
    }
    _exit(0);
}

static void round_of(int seconds) {
    time_t end = time(0) + seconds;
    for (unsigned i = 0; i < WORKERS; i++)
        if (fork() == 0)
            worker(i + 1, end);
    for (unsigned seed = 100; wait(0) > 0; seed++)
        if (time(0) < end && fork() == 0)
            worker(seed, end);
    rest(500);
}

int main(int argc, char **argv) {
    int seconds = argc > 1 ? atoi(argv[1]) : 5, bad = 0;
    long before[COUNTED], after[COUNTED];
    round_of(1);
    counts(before);
    round_of(seconds);
    counts(after);
    for (unsigned i = 0; i < COUNTED; i++)
        // A CPU keeps some frames at hand.
        if (after[i] > before[i] + 64) {
            printf("FAIL: %s %ld, then %ld\n", counted[i], before[i], after[i]);
            bad = 1;
        }
    if (!bad)
        puts("spaces ok");
    return bad;
}
