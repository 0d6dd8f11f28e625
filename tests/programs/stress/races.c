// Races between threads, all at once: locks with deadlines and owners that die, mailboxes and listeners that fill up
// and go away, timers that several set, epolls that change while they are waited for, record locks, cancellations,
// spawns, signals. `races SECONDS SEED [KINDS]`.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static volatile int stop;
static unsigned long turns[64];
static __thread unsigned rs;
static int seed0, secs;
static unsigned rnd(void) {
    rs = rs * 1103515245 + 12345;
    return rs >> 8;
}
#define GO(n) (turns[n]++, !stop)
static struct timespec in(long us) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += us * 1000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static void fail(const char *w) {
    printf("FAIL: %s, errno %d\n", w, errno);
    fflush(stdout);
    _exit(1);
}
#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (!(x)) fail(#x);                                                                                            \
    } while (0)
static int id(void *a) {
    int n = (int)(long)a;
    rs = seed0 * 7919 + n * 104729 + 1;
    return n;
}
// PI mutexes with timeouts, and threads that die holding robust ones
static pthread_mutex_t pim[3], rob[2];
static volatile int inpi[3], inrob[2];
static void *k_pi(void *a) {
    int n = id(a);
    while (GO(n)) {
        int k = rnd() % 3;
        struct timespec t = in(rnd() % 300);
        int e = rnd() % 3 ? pthread_mutex_timedlock(&pim[k], &t) : pthread_mutex_lock(&pim[k]);
        if (e == ETIMEDOUT) continue;
        CHECK(e == 0);
        CHECK(!inpi[k]++);
        if (!(rnd() % 4)) usleep(rnd() % 200);
        inpi[k]--;
        CHECK(!pthread_mutex_unlock(&pim[k]));
    }
    return 0;
}
static void *dier(void *a) {
    int k = (long)a;
    int e = pthread_mutex_lock(&rob[k]);
    if (e == EOWNERDEAD) e = pthread_mutex_consistent(&rob[k]);
    CHECK(e == 0);
    return 0;
}
static void *k_robust(void *a) {
    int n = id(a);
    while (GO(n)) {
        int k = rnd() % 2;
        if (!(rnd() % 3)) {
            pthread_t t;
            CHECK(!pthread_create(&t, 0, dier, (void *)(long)k));
            pthread_join(t, 0);
            continue;
        }
        struct timespec t = in(rnd() % 500);
        int e = rnd() % 3 ? pthread_mutex_timedlock(&rob[k], &t) : pthread_mutex_lock(&rob[k]);
        if (e == ETIMEDOUT) continue;
        if (e == EOWNERDEAD) {
            CHECK(!pthread_mutex_consistent(&rob[k]));
            inrob[k] = 0;
            e = 0;
        }
        CHECK(e == 0);
        CHECK(!inrob[k]++);
        inrob[k]--;
        CHECK(!pthread_mutex_unlock(&rob[k]));
    }
    return 0;
}
// strangers send to one mailbox
static struct sockaddr_un at(const char *x, int n, socklen_t *l) {
    struct sockaddr_un s = {.sun_family = AF_UNIX};
    *l = offsetof(struct sockaddr_un, sun_path) + 1 + sprintf(s.sun_path + 1, "%s%d", x, n);
    return s;
}
static int box;
static void *k_send(void *a) {
    int n = id(a);
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t l;
    struct sockaddr_un t = at("box", getpid(), &l);
    static char b[60000];
    while (GO(n))
        CHECK(sendto(s, b, rnd() % 5 ? 8 : rnd() % 60000, 0, (void *)&t, l) > -1);
    return 0;
}
static void *k_recv(void *a) {
    int n = id(a);
    char b[100];
    while (GO(n) || 1) {
        if (recv(box, b, 100, 0) < 0) break;
        if (!(rnd() % 50)) usleep(100);
    }
    return 0;
}
// a listener that comes and goes, clients that block
static void *k_listen(void *a) {
    int n = id(a);
    socklen_t l;
    struct sockaddr_un t = at("lis", getpid(), &l);
    while (GO(n)) {
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        while (bind(s, (void *)&t, l)) {
            CHECK(errno == EADDRINUSE);
            usleep(100);
        }
        CHECK(!listen(s, rnd() % 2));
        for (int i = rnd() % 8; i-- > 0;) {
            struct pollfd p = {s, POLLIN};
            if (poll(&p, 1, 5) > 0) {
                int c = accept(s, 0, 0);
                if (c >= 0) {
                    char b;
                    if (rnd() % 2) write(c, "x", 1);
                    close(c);
                }
            }
        }
        usleep(rnd() % 500);
        close(s);
    }
    return 0;
}
static void *k_connect(void *a) {
    int n = id(a);
    socklen_t l;
    struct sockaddr_un t = at("lis", getpid(), &l);
    while (GO(n)) {
        int s = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(s, (void *)&t, l)) {
            CHECK(errno == ECONNREFUSED);
            usleep(50);
        } else {
            char b;
            ssize_t r = read(s, &b, 1);
            CHECK(r >= 0 || errno == ECONNRESET);
        }
        close(s);
    }
    return 0;
}
// a timer that several set, one reads
static int tfd;
static void *k_tset(void *a) {
    int n = id(a);
    while (GO(n)) {
        struct itimerspec i = {{0, rnd() % 2 ? 0 : 100000}, {0, 1 + rnd() % 200000}}, o;
        if (rnd() % 2)
            timerfd_gettime(tfd, &o);
        else {
            CHECK(!timerfd_settime(tfd, 0, &i, &o));
            usleep(rnd() % 400);
        }
    }
    return 0;
}
static void *k_tread(void *a) {
    int n = id(a);
    unsigned long long v;
    while (GO(n))
        CHECK(read(tfd, &v, 8) == 8 && v > 0);
    return 0;
}
// epolls
static int ep, evs[6];
static void *k_ewait(void *a) {
    int n = id(a);
    struct epoll_event e[4];
    while (GO(n)) {
        int r = epoll_wait(ep, e, 4, 1000);
        CHECK(r >= 0 || errno == EINTR);
        for (int i = 0; i < r; i++) {
            unsigned long long v;
            read(evs[e[i].data.u32], &v, 8);
            struct epoll_event m = {EPOLLIN | (rnd() % 2 ? EPOLLONESHOT : EPOLLET), {.u32 = e[i].data.u32}};
            epoll_ctl(ep, EPOLL_CTL_MOD, evs[e[i].data.u32], &m);
        }
    }
    return 0;
}
static void *k_eset(void *a) {
    int n = id(a);
    while (GO(n)) {
        int k = rnd() % 6;
        unsigned long long v = 1;
        write(evs[k], &v, 8);
        if (!(rnd() % 10)) {
            struct epoll_event m = {EPOLLIN, {.u32 = k}};
            epoll_ctl(ep, EPOLL_CTL_DEL, evs[k], &m);
            epoll_ctl(ep, EPOLL_CTL_ADD, evs[k], &m);
        }
        if (!(rnd() % 8)) usleep(rnd() % 100);
    }
    return 0;
}
// semaphores by eventfd, both ways
static int sa, sb;
static void *k_ping(void *a) {
    int n = id(a);
    unsigned long long v = 1, w;
    while (GO(n)) {
        CHECK(write(sa, &v, 8) == 8);
        CHECK(read(sb, &w, 8) == 8);
    }
    return 0;
}
static void *k_pong(void *a) {
    int n = id(a);
    unsigned long long v = 1, w;
    while (GO(n)) {
        CHECK(read(sa, &w, 8) == 8);
        CHECK(write(sb, &v, 8) == 8);
    }
    CHECK(write(sb, (unsigned long long[]){1000}, 8) == 8);
    return 0;
}
// record locks
static volatile int *inlock;
static void *k_lock(void *a) {
    int n = id(a);
    char p[64];
    sprintf(p, "/tmp/lock%d", getpid());
    int f = open(p, O_RDWR | O_CREAT, 0600);
    while (GO(n)) {
        struct flock l = {F_WRLCK, SEEK_SET, rnd() % 3, 1};
        int k = l.l_start;
        CHECK(!fcntl(f, F_OFD_SETLKW, &l));
        CHECK(!inlock[k]++);
        inlock[k]--;
        l.l_type = F_UNLCK;
        CHECK(!fcntl(f, F_OFD_SETLK, &l));
    }
    return 0;
}
// cancel storms
static void *victim(void *a) {
    int p[2];
    if (pipe(p)) return 0;
    pthread_cleanup_push((void (*)(void *))(void *)close, (void *)(long)p[0]);
    pthread_cleanup_push((void (*)(void *))(void *)close, (void *)(long)p[1]);
    char b;
    for (;;) {
        if ((long)a)
            read(p[0], &b, 1);
        else
            usleep(100);
    }
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(1);
    return 0;
}
static void *k_cancel(void *a) {
    int n = id(a);
    while (GO(n)) {
        pthread_t t;
        void *r;
        CHECK(!pthread_create(&t, 0, victim, (void *)(long)(rnd() % 2)));
        if (rnd() % 2) usleep(rnd() % 300);
        CHECK(!pthread_cancel(t));
        CHECK(!pthread_join(t, &r));
        CHECK(r == PTHREAD_CANCELED);
    }
    return 0;
}
// spawns
extern char **environ;
static void *k_spawn(void *a) {
    int n = id(a);
    char *v[] = {"true", 0};
    while (GO(n)) {
        pid_t p;
        int s;
        CHECK(!posix_spawn(&p, "/bin/busybox", 0, 0, v, environ));
        siginfo_t i;
        CHECK(!waitid(P_PID, p, &i, WEXITED | WNOWAIT));
        CHECK(i.si_code == CLD_EXITED && i.si_status == 0);
        CHECK(waitpid(p, &s, 0) == p);
    }
    return 0;
}
static void *k_vfork(void *a) {
    int n = id(a);
    while (GO(n)) {
        int want = rnd() % 200;
        pid_t p = vfork();
        if (!p) _exit(want);
        CHECK(p > 0);
        int s;
        CHECK(waitpid(p, &s, 0) == p && WEXITSTATUS(s) == want);
    }
    return 0;
}
// signals between threads
static pthread_t peers[2];
static void *k_sig(void *a) {
    int n = id(a);
    while (!((volatile pthread_t *)peers)[0] || !((volatile pthread_t *)peers)[1])
        usleep(100);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGRTMIN + 1);
    while (GO(n)) {
        struct timespec t = {15, 0};
        pthread_kill(peers[!(n & 1)], SIGRTMIN + 1);
        siginfo_t i;
        int r = sigtimedwait(&s, &i, &t);
        if (r < 0 && !stop) fail("no signal");
    }
    pthread_kill(peers[!(n & 1)], SIGRTMIN + 1);
    return 0;
}
static struct {
    const char *name;
    void *(*f)(void *);
    int count;
} ks[] = {{"pi", k_pi, 6},         {"robust", k_robust, 5},   {"send", k_send, 5},   {"recv", k_recv, 1},
          {"listen", k_listen, 1}, {"connect", k_connect, 4}, {"tset", k_tset, 2},   {"tread", k_tread, 1},
          {"ewait", k_ewait, 3},   {"eset", k_eset, 3},       {"ping", k_ping, 1},   {"pong", k_pong, 1},
          {"lock", k_lock, 4},     {"cancel", k_cancel, 2},   {"spawn", k_spawn, 2}, {"vfork", k_vfork, 2},
          {"sig", k_sig, 2}};
int main(int c, char **v) {
    secs = c > 1 ? atoi(v[1]) : 3;
    seed0 = c > 2 ? atoi(v[2]) : 1;
    const char *only = c > 3 ? v[3] : 0;
    setvbuf(stdout, 0, _IOLBF, 0);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGRTMIN + 1);
    pthread_sigmask(SIG_BLOCK, &s, 0);
    inlock = calloc(8, sizeof(int));
    pthread_mutexattr_t at1;
    pthread_mutexattr_init(&at1);
    pthread_mutexattr_setprotocol(&at1, PTHREAD_PRIO_INHERIT);
    for (int i = 0; i < 3; i++)
        pthread_mutex_init(&pim[i], &at1);
    pthread_mutexattr_setrobust(&at1, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&rob[0], &at1);
    pthread_mutexattr_setprotocol(&at1, PTHREAD_PRIO_NONE);
    pthread_mutex_init(&rob[1], &at1);
    box = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t l;
    struct sockaddr_un b = at("box", getpid(), &l);
    CHECK(!bind(box, (void *)&b, l));
    tfd = timerfd_create(CLOCK_MONOTONIC, 0);
    ep = epoll_create1(0);
    for (int i = 0; i < 6; i++) {
        evs[i] = eventfd(0, EFD_NONBLOCK);
        struct epoll_event m = {EPOLLIN, {.u32 = i}};
        epoll_ctl(ep, EPOLL_CTL_ADD, evs[i], &m);
    }
    sa = eventfd(0, EFD_SEMAPHORE), sb = eventfd(0, EFD_SEMAPHORE);
    static pthread_t t[64];
    int who[64], n = 0;
    for (unsigned k = 0; k < sizeof ks / sizeof *ks; k++) {
        if (only && !strstr(only, ks[k].name)) continue;
        if (!strcmp(ks[k].name, "sig")) n += n & 1;
        for (int i = 0; i < ks[k].count; i++) {
            who[n] = k;
            CHECK(!pthread_create(&t[n], 0, ks[k].f, (void *)(long)n));
            if (!strcmp(ks[k].name, "sig")) peers[n & 1] = t[n];
            n++;
        }
        who[n] = -1;
    }
    unsigned long last[64] = {0};
    int still[64] = {0};
    for (int s = 0; s < secs; s++) {
        sleep(1);
        for (int i = 0; i < n; i++)
            if (t[i]) {
                if (turns[i] == last[i]) {
                    if (++still[i] == 10) {
                        printf("FAIL: %s, thread %d, stands still after %lu turns\n", ks[who[i]].name, i, turns[i]);
                        _exit(1);
                    }
                } else
                    still[i] = 0;
                last[i] = turns[i];
            }
    }
    for (unsigned k = 0; k < sizeof ks / sizeof *ks; k++) {
        unsigned long sum = 0;
        for (int i = 0; i < n; i++)
            if (t[i] && who[i] == (int)k) sum += turns[i];
        if (sum) printf("%s %lu%s", ks[k].name, sum, k % 6 == 5 ? "\n" : "  ");
    }
    printf("\nraces ok\n");
    _exit(0);
}
