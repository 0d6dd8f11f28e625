// Depth and number: structures that a kernel might take apart by recursion, and objects made without end. Each part runs
// in a child with few rights to resources beyond its own memory; what it leaves behind must come back.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int in_child(void (*f)(int), int n, const char *name) {
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
        f(n);
        _exit(0);
    }
    int s;
    waitpid(p, &s, 0);
    printf("%s: %s %d\n", name, WIFEXITED(s) ? "exited" : "signal", WIFEXITED(s) ? WEXITSTATUS(s) : WTERMSIG(s));
    fflush(stdout);
    return s;
}

// A directory in a directory in a directory; taken away from the bottom while the deepest is still held open.
static void directories(int n) {
    mkdir("/tmp", 0777), chdir("/tmp");
    int made = 0;
    for (; made < n; made++)
        if (mkdir("d", 0777) || chdir("d"))
            break;
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    char buf[4096];
    getcwd(buf, sizeof buf);
    for (int i = 0; i < made; i++)
        if (chdir("..") || rmdir("d")) {
            printf("FAIL rmdir %d of %d errno %d\n", i, made, errno);
            _exit(1);
        }
    close(fd);
}
// The same, but the whole chain is let go at once: with its file system.
static void unmounted_directories(int n) {
    mkdir("/tmp", 0777), mkdir("/tmp/m", 0777);
    if (mount("none", "/tmp/m", "tmpfs", 0, 0) || chdir("/tmp/m"))
        _exit(errno == EPERM ? 0 : 10);
    int made = 0;
    for (; made < n; made++)
        if (mkdir("d", 0777) || chdir("d"))
            break;
    int fd = open("/tmp/m", O_RDONLY | O_DIRECTORY);
    if (made < n && errno != ENOSPC || umount2("/tmp/m", MNT_DETACH))
        printf("FAIL made %d errno %d\n", made, errno);
    close(fd);
    chdir("/");
    rmdir("/tmp/m");
}
// Sockets in flight inside sockets in flight.
static void sockets(int n) {
    int last = eventfd(0, 0);
    for (int i = 0; i < n; i++) {
        int s[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s))
            _exit(10);
        char c[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec v = {"x", 1};
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &last, sizeof last);
        if (sendmsg(s[0], &m, 0) != 1)
            _exit(errno == ETOOMANYREFS ? 0 : 11);
        close(last), close(s[0]);
        last = s[1];
    }
    close(last);
}
// A ring of sockets that hold each other.
static void socket_cycles(int n) {
    for (int i = 0; i < n; i++) {
        int s[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s))
            _exit(10);
        for (int k = 0; k < 2; k++) {
            char c[CMSG_SPACE(2 * sizeof(int))] = {0};
            struct iovec v = {"x", 1};
            struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
            struct cmsghdr *h = CMSG_FIRSTHDR(&m);
            h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(2 * sizeof(int));
            memcpy(CMSG_DATA(h), s, sizeof s);
            sendmsg(s[k], &m, 0);
        }
        close(s[0]), close(s[1]);
    }
}
static void epolls(int n) {
    int last = epoll_create1(0);
    for (int i = 0; i < n; i++) {
        int e = epoll_create1(0);
        struct epoll_event ev = {EPOLLIN, {0}};
        if (e < 0 || epoll_ctl(e, EPOLL_CTL_ADD, last, &ev))
            break;
        last = e;
    }
}
static void fds_without_end(int n) {
    struct rlimit l = {n, n};
    setrlimit(RLIMIT_NOFILE, &l);
    for (int i = 0; i < n; i++) {
        int p[2];
        switch (i % 6) {
        case 0: if (pipe(p)) return; write(p[1], "x", 1); break;
        case 1: if (eventfd(0, 0) < 0) return; break;
        case 2: if (timerfd_create(CLOCK_MONOTONIC, 0) < 0) return; break;
        case 3: if (epoll_create1(0) < 0) return; break;
        case 4: if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) return; break;
        case 5: if (memfd_create("m", 0) < 0 && errno == EMFILE) return; break;
        }
    }
}
// Pipes and sockets filled to the brim.
static void full_pipes(int n) {
    struct rlimit l = {n * 2 + 10, n * 2 + 10};
    setrlimit(RLIMIT_NOFILE, &l);
    static char data[65536];
    for (int i = 0; i < n; i++) {
        int p[2];
        if (i & 1 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) : pipe2(p, O_NONBLOCK))
            return;
        while (write(p[1], data, sizeof data) > 0)
            ;
    }
}
static void signals_without_end(int n) {
    sigset_t s;
    sigfillset(&s);
    sigprocmask(SIG_BLOCK, &s, 0);
    for (int i = 0; i < n; i++) {
        union sigval v = {.sival_int = i};
        if (sigqueue(getpid(), SIGRTMIN + i % 20, v))
            break;
    }
}
static void maps_without_end(int n) {
    for (int i = 0; i < n; i++)
        if (mmap(0, 4096, i & 1 ? 1 : 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            break;
    pid_t p = fork();
    if (p == 0)
        _exit(0);
    waitpid(p, 0, 0);
}
static void timerfds(int n) {
    for (int i = 0; i < n; i++) {
        int t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        struct itimerspec s = {{0, 1}, {0, 1}};
        timerfd_settime(t, 0, &s, 0);
        for (int k = 0; k < 20; k++) {
            s.it_value.tv_sec = 1000 + k;
            timerfd_settime(t, 0, &s, 0);
        }
        close(t);
    }
}
static void files_without_end(int n) {
    mkdir("/tmp", 0777), mkdir("/tmp/many", 0777);
    char name[300];
    memset(name, 'n', sizeof name);
    for (int i = 0; i < n; i++) {
        int len = sprintf(name, "/tmp/many/%d", i);
        name[len] = i % 3 ? 'x' : 0;
        name[200] = 0;
        int fd = open(name, O_CREAT | O_RDWR, 0600);
        if (fd < 0)
            break;
        if (pwrite(fd, "x", 1, (off_t)i << 30) < 0 && i < 10)
            printf("pwrite %d: %d\n", i, errno);
        close(fd);
        if (i % 3)
            unlink(name);
    }
    for (int i = 0; i < n; i += 3) {
        sprintf(name, "/tmp/many/%d", i);
        unlink(name);
    }
    rmdir("/tmp/many");
}
static void links(int n) {
    mkdir("/tmp", 0777);
    char from[64], to[64];
    for (int i = 0; i < n; i++)
        sprintf(from, "/tmp/l%d", i), sprintf(to, "/tmp/l%d", i + 1), symlink(to, from);
    int r = open("/tmp/l0", O_RDONLY);
    if (r >= 0 || errno != ELOOP && n > 40)
        printf("FAIL links %d %d\n", r, errno);
    for (int i = 0; i < n; i++)
        sprintf(from, "/tmp/l%d", i), unlink(from);
}

static void show(const char *what) {
    char buf[4096];
    int fd = open("/proc/multios/kernel", O_RDONLY);
    int n = fd < 0 ? 0 : read(fd, buf, sizeof buf - 1);
    if (n > 0 && getenv("VERBOSE"))
        buf[n] = 0, printf("-- %s\n%s", what, buf);
    close(fd);
}

int main(int c, char **v) {
    int n = c > 1 ? atoi(v[1]) : 1;
    setenv("VERBOSE", "1", c > 2);
    show("before");
    in_child(links, 100, "links");
    in_child(directories, 3000 * n, "directories");
    in_child(sockets, 3000 * n, "sockets in sockets");
    in_child(socket_cycles, 500 * n, "socket cycles");
    in_child(epolls, 1000, "epolls");
    in_child(fds_without_end, 20000, "descriptors");
    in_child(full_pipes, 1000 * n, "full pipes");
    in_child(signals_without_end, 100000, "signals");
    in_child(maps_without_end, 70000, "maps");
    in_child(timerfds, 1000 * n, "timerfds");
    in_child(files_without_end, 3000 * n, "files");
    show("between");
    in_child(unmounted_directories, 5000 * n, "unmounted directories");
    show("after");
    puts("deep ok");
    return 0;
}
