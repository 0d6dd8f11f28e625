// Programs that take everything: `hog memory|forks|files|maps|pipes SECONDS`. The hog may be killed or refused; its parent,
// who is small, must live, and what the hog had must come back.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long free_frames(void) {
    char b[4096], *p;
    int fd = open("/proc/multios/counts", O_RDONLY);
    int n = fd < 0 ? 0 : read(fd, b, sizeof b - 1);
    close(fd);
    if (n <= 0)
        return -1;
    b[n] = 0;
    p = strstr(b, "frames_free ");
    return p ? atol(p + 12) : -1;
}
static void memory(void) {
    for (;;) {
        char *m = mmap(0, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED)
            _exit(1);
        memset(m, 1, 1 << 20);
    }
}
static void forks(void) {
    for (;;) {
        pid_t p = fork();
        if (p < 0 && errno != EAGAIN && errno != ENOMEM)
            _exit(1);
        volatile char touched[8192];
        memset((char *)touched, 1, sizeof touched);
    }
}
static void forks_limited(void) {
    struct rlimit l = {50, 50};
    setresuid(1234, 1234, 1234);
    setrlimit(RLIMIT_NPROC, &l);
    forks();
}
static void files(void) {
    char name[64];
    static char data[1 << 16];
    mkdir("/tmp", 0777), mkdir("/tmp/hog", 0777);
    for (int i = 0;; i++) {
        sprintf(name, "/tmp/hog/%d", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            _exit(2);
        if (i % 4 == 0)
            while (write(fd, data, sizeof data) > 0 && lseek(fd, 0, SEEK_CUR) < 8 << 20)
                ;
        close(fd);
    }
}
static void empty_files(void) {
    char name[300];
    mkdir("/tmp", 0777), mkdir("/tmp/hog", 0777);
    memset(name, 'x', 250);
    for (int i = 0;; i++) {
        int n = sprintf(name, "/tmp/hog/%d", i);
        name[n] = 'x', name[200] = 0;
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            _exit(2);
        close(fd);
    }
}
static void objects(void) {
    struct rlimit l = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_NOFILE, &l);
    static char data[1 << 16];
    for (;;) {
        int p[2];
        if (pipe2(p, O_NONBLOCK) && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p)) {
            if (fork() == 0) // another table of descriptors
                objects();
            pause();
        }
        while (write(p[1], data, sizeof data) > 0)
            ;
        for (int i = 0; i < 100; i++)
            dup(p[0]);
    }
}
static void maps(void) {
    for (;;) {
        for (int i = 0; i < 65000; i++)
            mmap(0, 4096, i & 1 ? 1 : 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (fork() < 0) {
            // A long text made while memory is short.
            char b[4096];
            int fd = open("/proc/self/maps", O_RDONLY);
            while (read(fd, b, sizeof b) > 0)
                ;
            pause();
        }
    }
}

static void write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("%s: errno %d\n", path, errno);
    close(fd);
}

int main(int c, char **v) {
    write_text("/proc/self/oom_score_adj", "-1000");
    static const struct { const char *name; void (*run)(void); } hogs[] = {
        {"memory", memory}, {"forks_limited", forks_limited}, {"objects", objects}, {"maps", maps}, {"forks", forks},
        {"empty_files", empty_files}, {"files", files}};
    int seconds = c > 2 ? atoi(v[2]) : 5;
    for (unsigned i = 0; i < sizeof hogs / sizeof *hogs; i++) {
        if (c > 1 && strcmp(v[1], "all") && strcmp(v[1], hogs[i].name))
            continue;
        long before = free_frames();
        pid_t p = fork();
        if (p == 0) {
            write_text("/proc/self/oom_score_adj", "0");
            signal(SIGCHLD, SIG_IGN);
            hogs[i].run();
        }
        int s = 0, r = 0;
        struct timespec nap = {0, 50000000};
        // By the clock: under a fork bomb a nap of 50 ms takes seconds.
        for (time_t end = time(0) + seconds; time(0) < end && r == 0;)
            nanosleep(&nap, 0), r = waitpid(p, &s, WNOHANG);
        printf("%s: %s", hogs[i].name, r == 0 ? "still there" : WIFSIGNALED(s) ? "killed" : "ended");
        for (int k = 0; k < 100; k++) { // a fork bomb takes a few rounds
            kill(-1, SIGKILL);
            nanosleep(&nap, 0);
            while ((r = waitpid(-1, &s, WNOHANG)) > 0)
                ;
            if (r < 0)
                break;
        }
        nanosleep(&nap, 0);
        system("/bin/busybox rm -rf /tmp/hog");
        long after = free_frames();
        printf(", frames %ld -> %ld%s\n", before, after, before - after > 600 ? " FAIL leak" : "");
        fflush(stdout);
    }
    puts("hog ok");
    return 0;
}
