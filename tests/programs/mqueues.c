// flags: -static -lrt
// POSIX message queues: opening, refusals, order, waiting, telling of the first message, limits.
#include "check.h"
#include <mqueue.h>
#include <sys/epoll.h>

#define OPEN(...) syscall(SYS_mq_open, __VA_ARGS__)
static char b[10000];

static void attributes(mqd_t q) {
    struct mq_attr a = {0};
    errno = 0;
    int r = mq_getattr(q, &a);
    SAY("attr %d: flags %lx maxmsg %ld msgsize %ld curmsgs %ld\n", r, a.mq_flags, a.mq_maxmsg, a.mq_msgsize, a.mq_curmsgs);
}
static void get(mqd_t q) {
    unsigned priority = 77;
    errno = 0;
    ssize_t n = mq_receive(q, b, sizeof b, &priority);
    if (n == -1)
        SAY("receive: %s\n", strerrorname_np(errno));
    else
        SAY("receive: %zd bytes, %.*s, priority %u\n", n, (int)n, b, priority);
}
static volatile int told;
static void on_message(int sig, siginfo_t *info, void *context) {
    told++;
    SAY("signal %d code %d value %d, of myself %d\n", sig, info->si_code, info->si_value.sival_int,
        info->si_pid == getpid());
}
static mqd_t shared;
static void *sender(void *unused) {
    ms(60);
    return (void *)(long)mq_send(shared, "late", 4, 1);
}
static void *taker(void *unused) {
    static char mine[100];
    ms(60);
    return (void *)mq_receive(shared, mine, sizeof mine, 0);
}
static struct timespec in_ms(long n) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += n * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

int main(void) {
    struct mq_attr four = {.mq_maxmsg = 4, .mq_msgsize = 16};
    mq_unlink("/first");
    SHOW(mq_open("/first", O_RDWR));
    SHOW(OPEN("a/b", O_RDWR | O_CREAT, 0600, 0));
    SHOW(OPEN("", O_RDWR | O_CREAT, 0600, 0));
    SHOW(OPEN(".", O_RDWR | O_CREAT, 0600, 0));
    SHOW(OPEN((char *)8, O_RDWR | O_CREAT, 0600, 0));
    SHOW(OPEN("first", O_RDWR | O_CREAT, 0600, 8));
    char *longest = malloc(300);
    memset(longest, 'x', 299), longest[299] = 0;
    SHOW(OPEN(longest, O_RDWR | O_CREAT, 0600, 0));
    for (int i = 0; i < 4; i++) {
        struct mq_attr bad = four;
        (i & 1 ? (long *)&bad.mq_maxmsg : (long *)&bad.mq_msgsize)[0] = i & 2 ? 0 : -1;
        SHOW(mq_open("/first", O_RDWR | O_CREAT, 0600, &bad));
    }
    umask(022);
    mqd_t q = mq_open("/first", O_RDWR | O_CREAT | O_EXCL, 0666, &four);
    SAY("cloexec %d flags %x\n", fcntl(q, F_GETFD), fcntl(q, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
    struct stat st;
    fstat(q, &st);
    SAY("mode %o size %ld\n", st.st_mode, (long)st.st_size);
    SHOW(mq_open("/first", O_RDWR | O_CREAT | O_EXCL, 0666, &four));
    SHOW(mq_open("/first", 3));
    attributes(q);
    mqd_t usual = mq_open("/usual", O_RDWR | O_CREAT, 0600, 0);
    attributes(usual);
    SHOW(mq_unlink("/usual"));
    SHOW(mq_unlink("/usual"));
    attributes(usual);
    mq_close(usual);

    SAY("order\n");
    SHOW(mq_send(q, "one", 3, 1));
    SHOW(mq_send(q, "nine", 4, 9));
    SHOW(mq_send(q, "", 0, 9));
    SHOW(mq_send(q, "two", 3, 1));
    attributes(q);
    struct pollfd p = {q, POLLIN | POLLOUT, 0};
    SHOW(poll(&p, 1, 0));
    SAY("revents %d\n", p.revents);
    SHOW(read(q, b, 100));
    SAY("%.80s", b);
    SHOW(mq_receive(q, b, 15, 0));
    for (int i = 0; i < 4; i++)
        get(q);
    SHOW(poll(&p, 1, 0));
    SAY("revents %d\n", p.revents);

    SAY("refused\n");
    SHOW(mq_send(q, b, 17, 0));
    SHOW(mq_send(q, b, 1, 32768));
    SHOW(mq_send(q, b, 1, 32767));
    SHOW(mq_send(q, (char *)8, 1, 0));
    SHOW(mq_send(-1, b, 1, 0));
    SHOW(mq_send(0, b, 1, 0));
    get(q);
    mqd_t r = mq_open("/first", O_RDONLY | O_NONBLOCK), w = mq_open("/first", O_WRONLY);
    SHOW(mq_send(r, b, 1, 0));
    get(w);
    get(r);
    struct timespec bad = {0, 1000000000}, past = {1, 0}, soon = in_ms(50);
    SHOW(mq_timedreceive(q, b, 16, 0, &bad));
    SHOW(mq_timedreceive(q, b, 16, 0, &past));
    SHOW(mq_timedreceive(q, b, 16, 0, &soon));
    SHOW(mq_timedreceive(r, b, 16, 0, &soon));
    struct mq_attr flags = {.mq_flags = O_NONBLOCK}, wrong = {.mq_flags = 1}, old;
    SHOW(mq_setattr(q, &wrong, 0));
    SHOW(mq_setattr(q, &flags, &old));
    SAY("was %lx\n", old.mq_flags);
    attributes(q);
    get(q);
    SHOW(mq_send(q, "1", 1, 0) | mq_send(q, "2", 1, 0) | mq_send(q, "3", 1, 0) | mq_send(q, "4", 1, 0));
    SHOW(mq_send(q, "5", 1, 0));
    SHOW(mq_timedsend(w, "5", 1, 0, &past));
    flags.mq_flags = 0;
    mq_setattr(q, &flags, 0);

    SAY("waiting\n");
    shared = q;
    pthread_t t;
    void *other;
    pthread_create(&t, 0, taker, 0);
    SHOW(mq_send(q, "5", 1, 0));
    pthread_join(t, &other);
    SAY("the other: %ld\n", (long)other);
    for (int i = 0; i < 4; i++)
        get(q);
    pthread_create(&t, 0, sender, 0);
    get(q);
    pthread_join(t, &other);
    SAY("the other: %ld\n", (long)other);
    int e = epoll_create1(0);
    struct epoll_event want = {EPOLLIN, {.u32 = 7}}, got;
    SHOW(epoll_ctl(e, EPOLL_CTL_ADD, q, &want));
    SHOW(epoll_wait(e, &got, 1, 0));
    CHILD("sends", SHOW(mq_send(q, "child", 5, 3)));
    SHOW(epoll_wait(e, &got, 1, 1000));
    get(q);

    SAY("told\n");
    struct sigaction a = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0);
    struct sigevent s = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 42};
    struct sigevent none = {.sigev_notify = SIGEV_NONE}, odd = {.sigev_notify = 9}, high = s;
    high.sigev_signo = 65;
    SHOW(mq_notify(q, &odd));
    SHOW(mq_notify(q, &high));
    SHOW(mq_notify(0, &s));
    SHOW(mq_notify(q, &s));
    SHOW(mq_notify(q, &none));
    CHILD("another", SHOW(mq_notify(q, &s)); SHOW(mq_notify(q, 0)));
    SHOW(mq_send(q, "x", 1, 0));
    SAY("told %d\n", told);
    SHOW(mq_send(q, "y", 1, 0));
    SAY("told %d\n", told);
    SHOW(mq_notify(q, &s));
    SHOW(mq_send(q, "z", 1, 0));
    SAY("told %d: it was not empty\n", told);
    get(q), get(q), get(q);
    CHILD("sends", mq_send(q, "child", 5, 3));
    SAY("told %d\n", told);
    get(q);
    SHOW(mq_notify(q, &s));
    SHOW(mq_notify(q, 0));
    SHOW(mq_send(q, "w", 1, 0));
    SAY("told %d\n", told);
    get(q);
    SHOW(mq_notify(q, &s));
    mq_close(w);
    CHILD("after close", SHOW(mq_notify(q, &s)));
    SHOW(mq_notify(q, &s));
    pthread_create(&t, 0, sender, 0);
    get(q);
    pthread_join(t, &other);
    SAY("the other: %ld\n", (long)other);
    SAY("told %d: somebody waited\n", told);
    mq_notify(q, 0);
    SHOW(mq_notify(q, &none));
    SHOW(mq_send(q, "v", 1, 0));
    SHOW(mq_notify(q, &none));

    SAY("rights and limits\n");
    mqd_t own = mq_open("/private", O_RDWR | O_CREAT, 0600, &four);
    CHILD("another user", setresuid(1000, 1000, 1000); SHOW(mq_open("/private", O_RDONLY)); SHOW(mq_unlink("/private"));
          SHOW(mq_send(own, "ok", 2, 0)); SHOW(mq_open("/first", O_RDONLY) >= 0); SHOW(mq_open("/first", O_RDWR));
          struct mq_attr big = four; big.mq_maxmsg = 11; SHOW(mq_open("/big", O_RDWR | O_CREAT, 0600, &big));
          big.mq_maxmsg = 1; big.mq_msgsize = 8193; SHOW(mq_open("/big", O_RDWR | O_CREAT, 0600, &big));
          struct rlimit l = {900, 900}; setrlimit(RLIMIT_MSGQUEUE, &l); big.mq_msgsize = 100; big.mq_maxmsg = 4;
          mqd_t f = mq_open("/fits", O_RDWR | O_CREAT, 0600, &big); SAY("784 bytes: %d\n", f >= 0);
          SHOW(mq_open("/over", O_RDWR | O_CREAT, 0600, &big)); mq_unlink("/fits");
          SHOW(mq_open("/over", O_RDWR | O_CREAT, 0600, &big)); mq_close(f);
          SHOW(mq_open("/over", O_RDWR | O_CREAT, 0600, &big) >= 0); SHOW(mq_unlink("/over")));
    // Where namespaces cannot be had, nothing is asked.
    CHILD("another namespace", int apart = unshare(CLONE_NEWIPC) == 0; mqd_t f = mq_open("/first", O_RDONLY);
          SAY("found %d\n", apart && f >= 0); SAY("the open one %d\n", mq_send(own, "in", 2, 9)));
    get(own);
    get(own);
    SHOW(mq_unlink("/private"));
    SHOW(mq_unlink("/first"));
    return 0;
}
