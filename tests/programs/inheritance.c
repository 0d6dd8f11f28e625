// What a new process and a new program keep of the old one, and what they do not (fork(2), execve(2)).
#include "check.h"
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sched.h>
static char alt[32768];
static void h(int s) { (void)s; }
static int again(char **v);
static void mask_say(const char *w) {
    sigset_t m, p;
    sigprocmask(0, 0, &m);
    sigpending(&p);
    SAY("%s: blocked", w);
    for (int s = 1; s < 32; s++)
        if (sigismember(&m, s) > 0)
            SAY(" %d", s);
    SAY(", pending");
    for (int s = 1; s < 65; s++)
        if (sigismember(&p, s) > 0)
            SAY(" %d", s);
    SAY("\n");
}
static void actions(const char *w) {
    int dfl = 0, ign = 0, fn = 0;
    for (int s = 1; s < 65; s++) {
        struct { void *h; unsigned long f; void *r; unsigned long m; } k = {0};
        if (syscall(SYS_rt_sigaction, s, 0, &k, 8))
            continue;
        dfl += k.h == SIG_DFL, ign += k.h == SIG_IGN, fn += (uintptr_t)k.h > 1;
    }
    SAY("%s: default %d ignored %d handled %d\n", w, dfl, ign, fn);
}
static void *ends(void *a) { return a; }
static pid_t first;
static int fds[2];
static void *execs(void *a) {
    char n[16];
    snprintf(n, sizeof n, "%d", getpid());
    execl("/proc/thread-self/exe", "inheritance", "thread", n, (char *)0); // the leader may be gone
    return a;
}
static void *keeps_busy(void *a) {
    for (;;)
        ;
    return a;
}
int main(int c, char **v) {
    if (c > 1)
        return again(v);
    struct sigaction a = {.sa_handler = h};
    sigaction(SIGUSR1, &a, 0);
    sigaction(SIGRTMIN + 5, &a, 0);
    signal(SIGUSR2, SIG_IGN);
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, SIGTERM);
    sigaddset(&m, SIGHUP);
    sigprocmask(SIG_SETMASK, &m, 0);
    raise(SIGTERM);
    kill(getpid(), SIGHUP);
    stack_t st = {.ss_sp = alt, .ss_size = sizeof alt}, o;
    sigaltstack(&st, 0);
    alarm(100);
    struct itimerval it = {{0, 0}, {100, 0}};
    setitimer(ITIMER_VIRTUAL, &it, 0);
    setitimer(ITIMER_PROF, &it, 0);
    timer_t t;
    struct sigevent se = {.sigev_notify = SIGEV_NONE};
    timer_create(CLOCK_MONOTONIC, &se, &t);
    int lock = open("lock", O_CREAT | O_RDWR, 0600);
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    fcntl(lock, F_SETLK, &fl);
    umask(027);
    mkdir("sub", 0700);
    prctl(PR_SET_NAME, "the parent");
    prctl(PR_SET_PDEATHSIG, SIGUSR2);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_TIMERSLACK, 77777);
    setpriority(PRIO_PROCESS, 0, 3);
    for (volatile long k = 0; k < 20000000; k++)
        ;
    mask_say("parent");
    actions("parent");
    // 19
    CHILD("fork", mask_say("child"); actions("child"); sigaltstack(0, &o);
          SAY("altstack kept %d\n", o.ss_sp == alt && !(o.ss_flags & SS_DISABLE)); SHOW(alarm(0));
          struct itimerval g; getitimer(ITIMER_VIRTUAL, &g); SAY("virtual %ld\n", g.it_value.tv_sec);
          getitimer(ITIMER_PROF, &g); SAY("prof %ld\n", g.it_value.tv_sec);
          struct itimerspec is; SHOW(syscall(SYS_timer_gettime, (long)t, &is)); struct rusage u; getrusage(RUSAGE_SELF, &u);
          SAY("time zero %d\n", u.ru_utime.tv_sec * 1000000 + u.ru_utime.tv_usec < 15000); getrusage(RUSAGE_CHILDREN, &u);
          SAY("children %ld\n", u.ru_utime.tv_sec + u.ru_stime.tv_sec); struct tms x; times(&x);
          SAY("cutime %ld %ld\n", x.tms_cutime, x.tms_cstime); fl.l_type = F_WRLCK; SHOW(fcntl(lock, F_SETLK, &fl));
          SHOW(fcntl(lock, F_GETLK, &fl)); SAY("held by the parent %d\n", fl.l_pid == getppid());
          SAY("umask %o\n", umask(0)); char n[16]; prctl(PR_GET_NAME, n); SAY("%s\n", n); int d = -1;
          prctl(PR_GET_PDEATHSIG, &d); SAY("death signal %d\n", d); prctl(PR_GET_CHILD_SUBREAPER, &d);
          SAY("reaper %d\n", d); SHOW(prctl(PR_GET_TIMERSLACK)); SHOW(getpriority(PRIO_PROCESS, 0)));
    // a lock of the parent's does not go by a child's closing of its copy; it goes by its own
    CHILD("close in a child", close(lock));
    CHILD("still locked", int l2 = open("lock", O_RDWR); fl.l_type = F_WRLCK; SHOW(fcntl(l2, F_SETLK, &fl)));
    close(open("lock", O_RDONLY));
    CHILD("any close frees", int l2 = open("lock", O_RDWR); fl.l_type = F_WRLCK; SHOW(fcntl(l2, F_SETLK, &fl)));
    // 20
    pipe(fds);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    char f0[16], f1[16];
    snprintf(f0, sizeof f0, "%d", fds[0]);
    snprintf(f1, sizeof f1, "%d", fds[1]);
    CHILD("exec", fcntl(lock, F_SETLK, &fl); chdir("sub"); timer_create(CLOCK_MONOTONIC, &se, &t);
          sigset_t b; sigemptyset(&b); sigaddset(&b, SIGTERM); sigaddset(&b, SIGHUP); sigaddset(&b, SIGRTMIN + 1);
          sigprocmask(SIG_SETMASK, &b, 0); sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 5});
          raise(SIGTERM); alarm(100); setitimer(ITIMER_VIRTUAL, &it, 0); sigaltstack(&st, 0);
          prctl(PR_SET_PDEATHSIG, SIGUSR2); execl("/proc/self/exe", "inheritance", "exec", f0, f1, (char *)0));
    // A failed exec leaves everything as it was.
    CHILD("failed exec", alarm(100); timer_create(CLOCK_MONOTONIC, &se, &t); SHOW(execl("/etc/passwd", "x", (char *)0));
          actions("still"); sigaltstack(0, &o); SAY("altstack %d\n", o.ss_sp == alt); struct itimerspec is;
          SHOW(syscall(SYS_timer_gettime, (long)t, &is)); SHOW(fcntl(fds[0], F_GETFD)); SHOW(alarm(0)));
    // 21: a thread that execs becomes the leader, the others are gone
    CHILD("exec in a thread", pthread_t x; pthread_create(&x, 0, keeps_busy, 0); pthread_create(&x, 0, execs, 0);
          for (;;) pause());
    CHILD("exec in a thread whose leader left", pthread_t x; pthread_create(&x, 0, execs, 0); syscall(SYS_exit, 9));
    CHILD("many threads exec", pthread_t x; for (int k = 0; k < 8; k++) pthread_create(&x, 0, execs, 0); for (;;) pause());
    // descriptors are a table of one's own after exec, even when shared before
    CHILD("shared table", static char stack[65536]; int pp[2]; pipe(pp); int keep = open("/dev/null", O_RDONLY | O_CLOEXEC);
          int q[2]; pipe(q);
          pid_t k = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0); if (!k) {
              char n[16];
              snprintf(n, sizeof n, "%d", keep);
              execl("/proc/self/exe", "inheritance", "closed", n, (char *)0);
          } reap("the one that execed", k); SHOW(fcntl(keep, F_GETFD)); (void)stack);
    // the death signal of a parent's end, and how it is lost by exec of nothing special
    int r[2], ready[2];
    pipe(r), pipe(ready);
    pid_t p = fork();
    if (!p) {
        if (!fork()) {
            close(r[0]);
            sigset_t z;
            sigemptyset(&z);
            sigprocmask(SIG_SETMASK, &z, 0);
            struct sigaction b = {.sa_handler = h};
            sigaction(SIGUSR1, &b, 0);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            give(ready);
            SHOW(pause()); // the parent's end interrupts it
            _exit(0);
        }
        take(ready);
        ms(30);
        _exit(0);
    }
    close(r[1]);
    char x;
    while (read(r[0], &x, 1) > 0)
        ; // both are gone
    reap("parent", p);
    int s;
    while (wait(&s) > 0) // the grandchild came to us, a sub-reaper
        status("adopted", s);
    SHOW(prctl(PR_SET_PDEATHSIG, 65));
    SHOW(prctl(PR_SET_PDEATHSIG, 0));
}
static int again(char **v) {
    if (!strcmp(v[1], "thread")) {
        char b[64];
        SAY("leader %d, same pid %d, tasks", getpid() == (int)syscall(SYS_gettid), getpid() == atoi(v[2]));
        FILE *f = fopen("/proc/self/status", "r");
        while (fgets(b, sizeof b, f))
            if (!strncmp(b, "Threads:", 8))
                SAY(" %s", b + 9);
        return 3;
    }
    if (!strcmp(v[1], "closed")) {
        SHOW(fcntl(atoi(v[2]), F_GETFD));
        return 0;
    }
    mask_say("new program");
    actions("new program");
    stack_t o;
    sigaltstack(0, &o);
    SAY("altstack off %d\n", o.ss_flags == SS_DISABLE);
    SAY("alarm kept %d\n", alarm(0) > 90);
    struct itimerval g;
    getitimer(ITIMER_VIRTUAL, &g);
    SAY("virtual kept %d\n", g.it_value.tv_sec > 90);
    struct itimerspec is;
    for (int k = 0; k < 4; k++)
        SHOW(syscall(SYS_timer_gettime, k, &is));
    SHOW(fcntl(atoi(v[2]), F_GETFD));
    SHOW(fcntl(atoi(v[3]), F_GETFD));
    SAY("umask %o\n", umask(0));
    char n[64], name[16];
    getcwd(n, sizeof n);
    SAY("%s\n", strrchr(n, '/'));
    prctl(PR_GET_NAME, name);
    SAY("%s\n", name);
    int d = -1;
    prctl(PR_GET_PDEATHSIG, &d);
    SAY("death signal %d\n", d);
    prctl(PR_GET_CHILD_SUBREAPER, &d);
    SAY("reaper %d\n", d);
    SHOW(prctl(PR_GET_TIMERSLACK));
    SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_GET_KEEPCAPS));
    SHOW(getpriority(PRIO_PROCESS, 0));
    sigset_t w;
    sigemptyset(&w);
    sigaddset(&w, SIGRTMIN + 1);
    siginfo_t i;
    SHOW(sigtimedwait(&w, &i, &(struct timespec){0}) > 0);
    SAY("value kept %d\n", i.si_value.sival_int);
    return 4;
}
