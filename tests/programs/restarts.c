// What a signal does to a call that waits (signal(7)): restarted under SA_RESTART, never restarted, or resumed unseen after a stop.
#include "check.h"
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
static volatile int hits;
static volatile unsigned *word;
static void h(int s) {
    hits++;
    word[1]++;
    (void)s;
}
static int work[2];
// The child runs `code` and prints; it gets a signal once it sleeps, and if it sleeps again, what it waits for.
#define CASE(name, flags, code, wake)                                                                                  \
    do {                                                                                                               \
        fflush(stdout);                                                                                                \
        word[1] = word[2] = 0; /* handlers run, call returned */                                                       \
        pid_t p = fork();                                                                                              \
        if (!p) {                                                                                                      \
            struct sigaction a = {.sa_handler = h, .sa_flags = flags};                                                 \
            sigaction(SIGUSR1, &a, 0);                                                                                 \
            give(work);                                                                                                \
            errno = 0;                                                                                                 \
            long r = (long)(code);                                                                                     \
            int e = errno;                                                                                             \
            word[2] = 1;                                                                                               \
            SAY("%s%s: %ld %s, handler ran %d\n", name, (flags) & SA_RESTART ? " with SA_RESTART" : "", r,             \
                r == -1 ? strerrorname_np(e) : "-", word[1]);                                                          \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        take(work);                                                                                                    \
        await(p, "S");                                                                                                 \
        kill(p, SIGUSR1);                                                                                              \
        while (!word[1])                                                                                               \
            ms(1);                                                                                                     \
        await(p, "SZ");                                                                                                \
        if (!word[2]) {                                                                                                \
            wake;                                                                                                      \
        }                                                                                                              \
        int st;                                                                                                        \
        waitpid(p, &st, 0);                                                                                            \
        if (st)                                                                                                        \
            status(name, st);                                                                                          \
    } while (0)
#define BOTH(name, code, wake)                                                                                         \
    CASE(name, 0, code, wake);                                                                                         \
    CASE(name, SA_RESTART, code, wake)
// A stop and a continuation in the middle: nothing of it is to be seen.
#define UNSEEN(name, code, wake)                                                                                       \
    do {                                                                                                               \
        fflush(stdout);                                                                                                \
        pid_t p = fork();                                                                                              \
        int st;                                                                                                        \
        if (!p) {                                                                                                      \
            give(work);                                                                                                \
            errno = 0;                                                                                                 \
            long r = (long)(code);                                                                                     \
            SAY("%s over a stop: %ld %s\n", name, r, r == -1 ? strerrorname_np(errno) : "-");                          \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        take(work);                                                                                                    \
        await(p, "S");                                                                                                 \
        kill(p, SIGSTOP);                                                                                              \
        waitpid(p, &st, WUNTRACED);                                                                                    \
        kill(p, SIGCONT);                                                                                              \
        await(p, "SZ");                                                                                                \
        wake;                                                                                                          \
        waitpid(p, &st, 0);                                                                                            \
        if (st)                                                                                                        \
            status(name, st);                                                                                          \
    } while (0)
static long futex(volatile unsigned *a, int op, unsigned v, const struct timespec *t) { return syscall(SYS_futex, a, op, v, t, 0, -1); }
static long wait_a_child(int how) {
    siginfo_t i;
    int s;
    pid_t c = fork();
    if (!c) {
        while (!*word)
            ms(1);
        _exit(3);
    }
    long r = how ? waitid(P_PID, c, &i, WEXITED) : waitpid(c, &s, 0) == c ? 0 : -1;
    int e = errno;
    *word = 1;
    errno = e;
    return r;
}
static long with_timer(long r, struct timespec *left, long least, long most) {
    int e = errno;
    long n = left->tv_sec * 1000 + left->tv_nsec / 1000000;
    SAY("  remainder plausible %d\n", n > least && n <= most);
    errno = e;
    return r;
}
int main(void) {
    pipe(work);
    word = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int f[2], u[2];
    char b[70000];
    memset(b, 0, sizeof b);
    pipe(f);
    BOTH("read of a pipe", read(f[0], b, 1), write(f[1], "x", 1));
    while (fcntl(f[0], F_SETFL, O_NONBLOCK), read(f[0], b, 1) == 1)
        ;
    fcntl(f[0], F_SETFL, 0);
    fcntl(f[1], F_SETPIPE_SZ, 4096);
    write(f[1], b, 4096);
    CASE("write to a full pipe", 0, write(f[1], "x", 1), read(f[0], b, 4096));
    CASE("write to a full pipe", SA_RESTART, write(f[1], "x", 1), read(f[0], b, 4096));
    close(f[0]), close(f[1]);
    pipe(f);
    fcntl(f[1], F_SETPIPE_SZ, 4096);
    CASE("write cut short", SA_RESTART, write(f[1], b, 10000), (void)0);
    close(f[0]), close(f[1]);
    pipe(f);
    socketpair(AF_UNIX, SOCK_STREAM, 0, u);
    BOTH("recv", recv(u[0], b, 1, 0), send(u[1], "x", 1, 0));
    recv(u[0], b, 10, MSG_DONTWAIT);
    struct timeval tv = {20, 0};
    setsockopt(u[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    BOTH("recv with a time-out", recv(u[0], b, 1, 0), (void)0);
    *word = 0;
    CASE("waitpid", 0, wait_a_child(0), *word = 1);
    *word = 0;
    CASE("waitpid", SA_RESTART, wait_a_child(0), *word = 1);
    *word = 0;
    CASE("waitid", 0, wait_a_child(1), *word = 1);
    *word = 0;
    CASE("waitid", SA_RESTART, wait_a_child(1), *word = 1);
    *word = 0;
    BOTH("futex wait", futex(word, FUTEX_WAIT, 0, 0), futex(word, FUTEX_WAKE, 9, 0));
    BOTH("futex wait with a time-out", futex(word, FUTEX_WAIT, 0, &(struct timespec){20, 0}), futex(word, FUTEX_WAKE, 9, 0));
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += 20;
    BOTH("futex wait until", futex(word, FUTEX_WAIT_BITSET, 0, &end), futex(word, FUTEX_WAKE, 9, 0));
    int l = open("lock", O_CREAT | O_RDWR, 0600), l2 = open("lock", O_RDWR);
    flock(l, LOCK_EX);
    BOTH("flock", flock(l2, LOCK_EX), flock(l, LOCK_UN));
    flock(l, LOCK_UN), flock(l2, LOCK_UN);
    struct flock fl = {.l_type = F_WRLCK}, un = {.l_type = F_UNLCK};
    fcntl(l, F_SETLK, &fl);
    BOTH("fcntl lock", fcntl(l2, F_SETLKW, &fl), fcntl(l, F_SETLK, &un));
    fcntl(l, F_SETLK, &un);
    mkfifo("fifo", 0600);
    BOTH("open of a fifo", open("fifo", O_RDONLY) >= 0 ? 0 : -1, close(open("fifo", O_RDWR)); close(open("fifo", O_WRONLY | O_NONBLOCK)));
    int ev = eventfd(0, 0), tf = timerfd_create(CLOCK_MONOTONIC, 0);
    unsigned long v = 1;
    BOTH("read of an eventfd", read(ev, &v, 8), write(ev, &(unsigned long){1}, 8));
    timerfd_settime(tf, 0, &(struct itimerspec){{0, 0}, {30, 0}}, 0);
    BOTH("read of a timerfd", read(tf, &v, 8), timerfd_settime(tf, 0, &(struct itimerspec){{0, 0}, {0, 1}}, 0));
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, SIGUSR2);
    sigprocmask(SIG_BLOCK, &m, 0);
    int sf = signalfd(-1, &m, 0);
    BOTH("read of a signalfd", read(sf, b, 128) > 0, kill(p, SIGUSR2));
    // those that are never restarted
    struct pollfd q = {f[0], POLLIN, 0};
    fd_set s;
    FD_ZERO(&s);
    FD_SET(f[0], &s);
    sigset_t none;
    sigemptyset(&none);
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN};
    epoll_ctl(ep, EPOLL_CTL_ADD, f[0], &e);
    BOTH("poll", poll(&q, 1, -1), (void)0);
    BOTH("poll with a time-out", poll(&q, 1, 20000), (void)0);
    BOTH("ppoll", ppoll(&q, 1, 0, 0), (void)0);
    BOTH("select", select(f[0] + 1, &s, 0, 0, 0), (void)0);
    BOTH("pselect", pselect(f[0] + 1, &s, 0, 0, 0, &none), (void)0);
    BOTH("epoll_wait", epoll_wait(ep, &e, 1, -1), (void)0);
    BOTH("epoll_pwait", epoll_pwait(ep, &e, 1, 20000, &none), (void)0);
    BOTH("pause", pause(), (void)0);
    BOTH("sigsuspend", sigsuspend(&none), (void)0);
    BOTH("sigtimedwait", sigtimedwait(&m, 0, &(struct timespec){20, 0}), (void)0);
    BOTH("sigwaitinfo", sigwaitinfo(&m, 0), (void)0);
    struct timespec left = {0, 0}, long_ = {20, 0};
    BOTH("nanosleep", with_timer(nanosleep(&long_, &left), &left, 0, 20000), (void)0);
    BOTH("clock_nanosleep", with_timer((errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &long_, &left)) ? -1 : 0, &left, 0, 20000), (void)0);
    left = (struct timespec){77, 0};
    BOTH("clock_nanosleep until", with_timer((errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, &left)) ? -1 : 0, &left, 76999, 77000), (void)0);
    CASE("nanosleep, bad remainder", 0, syscall(SYS_nanosleep, &long_, 8), (void)0);
    // time left of a select, as Linux alone gives it
    tv = (struct timeval){20, 0};
    CASE("select's time", 0, (select(0, 0, 0, 0, &tv), tv.tv_sec < 20 && tv.tv_sec >= 0), (void)0);
    // stopped and continued in between (10)
    struct timespec shortly = {0, 120000000};
    long t0 = 0;
    UNSEEN("nanosleep", (t0 = now_ms(), nanosleep(&shortly, &left), now_ms() - t0 >= 119), (void)0);
    UNSEEN("poll", poll(&q, 1, 120), (void)0);
    UNSEEN("poll that gets something", poll(&q, 1, 20000), write(f[1], "x", 1));
    read(f[0], b, 1);
    UNSEEN("select", select(f[0] + 1, &s, 0, 0, 0), write(f[1], "x", 1));
    read(f[0], b, 1);
    UNSEEN("read", read(f[0], b, 1), write(f[1], "x", 1));
    UNSEEN("futex", futex(word, FUTEX_WAIT, 0, &shortly), (void)0);
    UNSEEN("futex woken", futex(word, FUTEX_WAIT, 0, &long_), futex(word, FUTEX_WAKE, 1, 0));
    UNSEEN("pause", pause(), kill(p, SIGTERM));
    UNSEEN("waitpid", (p = fork()) ? waitpid(p, &st, 0) == p : (ms(60), _exit(0), 0), (void)0);
    // Linux ends these by a stop, though no handler ran
    UNSEEN("epoll_wait", epoll_wait(ep, &e, 1, 20000), write(f[1], "x", 1));
    read(f[0], b, 1);
    UNSEEN("sigtimedwait", sigtimedwait(&m, 0, &(struct timespec){20, 0}), kill(p, SIGUSR2));
    // an ignored signal interrupts nothing
    signal(SIGUSR1, SIG_IGN);
    pid_t p = fork();
    if (!p) {
        give(work);
        SHOW(read(f[0], b, 1));
        _exit(0);
    }
    take(work);
    await(p, "S");
    kill(p, SIGUSR1), kill(p, SIGCHLD), kill(p, SIGWINCH), kill(p, SIGURG), kill(p, SIGCONT);
    write(f[1], "x", 1);
    reap("ignored signals", p);
    // the old mask is back only after the handler (11)
    sigset_t now;
    struct sigaction a = {.sa_handler = h};
    sigaction(SIGUSR2, &a, 0);
    sigaction(SIGUSR1, &a, 0);
    hits = 0;
    kill(getpid(), SIGUSR2);
    SAY("blocked %d\n", hits);
    SHOW(sigsuspend(&none));
    sigprocmask(0, 0, &now);
    SAY("ran %d, blocked again %d\n", hits, sigismember(&now, SIGUSR2));
    kill(getpid(), SIGUSR2);
    SHOW(ppoll(&q, 1, &long_, &none));
    SAY("ran %d\n", hits);
    kill(getpid(), SIGUSR2);
    SHOW(pselect(0, 0, 0, 0, &long_, &none));
    SAY("ran %d\n", hits);
    kill(getpid(), SIGUSR2);
    SHOW(epoll_pwait(ep, &e, 1, -1, &none));
    SAY("ran %d\n", hits);
    // ready beats the signal for ppoll, and the mask is back at once: the signal stays pending
    write(f[1], "x", 1);
    kill(getpid(), SIGUSR2);
    SHOW(ppoll(&q, 1, &long_, &none));
    sigpending(&now);
    SAY("ran %d pending %d\n", hits, sigismember(&now, SIGUSR2));
    SHOW(ppoll(&q, 1, &(struct timespec){0, 1000000000}, 0));
    SHOW(syscall(SYS_ppoll, &q, 1, 0, &none, 7));
    SHOW(syscall(SYS_rt_sigsuspend, &none, 7));
    SHOW(syscall(SYS_rt_sigsuspend, 8, 8));
    SHOW(syscall(SYS_restart_syscall));
}
