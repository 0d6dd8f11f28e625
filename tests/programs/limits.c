// Every RLIMIT at the moment it is crossed, prlimit on others, and what usage says (29).
#include "check.h"
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/times.h>
static volatile int n;
static void h(int s) { n++; }
static void lim(int what, rlim_t soft, rlim_t hard) {
    struct rlimit r = {soft, hard};
    errno = 0;
    if (setrlimit(what, &r))
        SAY("setrlimit %d: %s\n", what, strerrorname_np(errno));
}
static int own(int what) { // lowers the soft one, and back
    struct rlimit r, o;
    getrlimit(what, &r);
    o = r;
    r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > 5 ? 5 : r.rlim_max;
    if (setrlimit(what, &r) || getrlimit(what, &r))
        return -1;
    int same = r.rlim_cur <= 5 && r.rlim_max == o.rlim_max;
    setrlimit(what, &o);
    return same;
}
static char big[300000];
static int deep(int k) {
    volatile char b[4096];
    b[0] = (char)k;
    return k ? deep(k - 1) + b[0] : 0;
}
int main(void) {
    struct rlimit r, o = {0};
    // Not everyone's root may raise limits: nobody's shall here.
    struct __user_cap_header_struct ch = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct cd[2];
    syscall(SYS_capget, &ch, cd);
    cd[0].effective &= ~(1u << CAP_SYS_RESOURCE), cd[0].permitted &= ~(1u << CAP_SYS_RESOURCE);
    SHOW(syscall(SYS_capset, &ch, cd));
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        if (i != RLIMIT_STACK)
            SAY("limit %d: %d\n", i, own(i));
    }
    SHOW(syscall(SYS_setrlimit, 16, &r));
    SHOW(syscall(SYS_getrlimit, -1, &r));
    SHOW(syscall(SYS_setrlimit, RLIMIT_CPU, 8));
    SHOW(syscall(SYS_getrlimit, RLIMIT_CPU, 8));
    SHOW(syscall(SYS_prlimit64, 0, RLIMIT_CPU, 0, 8));
    SHOW(syscall(SYS_prlimit64, 0, RLIMIT_CPU, 8, 0));
    SHOW(syscall(SYS_prlimit64, 0, RLIMIT_CPU, 0, 0));
    SHOW(syscall(SYS_prlimit64, 999999, RLIMIT_CPU, 0, 0));
    SHOW(syscall(SYS_prlimit64, 0, 99, 0, 0));
    // FSIZE: SIGXFSZ and EFBIG; a part that fits is written
    CHILD("FSIZE", lim(RLIMIT_FSIZE, 1000, 1000); int f = open("f", O_CREAT | O_RDWR | O_TRUNC, 0600); signal(SIGXFSZ, h);
          SHOW(write(f, big, 600)); SHOW(write(f, big, 600)); SAY("signals %d\n", n); SHOW(write(f, big, 1)); SAY("signals %d\n", n);
          SHOW(pwrite(f, big, 1, 5000)); SAY("signals %d\n", n); SHOW(pwrite(f, big, 10, 0)); SHOW(ftruncate(f, 1001));
          SAY("signals %d\n", n); SHOW(truncate("f", 999)); SHOW(fallocate(f, 0, 0, 2000)); SAY("signals %d\n", n);
          SHOW(posix_fallocate(f, 0, 1000)); int p[2]; pipe(p); SHOW(write(p[1], big, 2000));
          struct iovec v[2] = {{big, 600}, {big, 600}}; lseek(f, 0, SEEK_SET); SHOW(writev(f, v, 2)); n = 0;
          lim(RLIMIT_FSIZE, 2000, 2000); SHOW(getrlimit(RLIMIT_FSIZE, &r)); signal(SIGXFSZ, SIG_IGN);
          SHOW(pwrite(f, big, 1, 1 << 20)));
    CHILD("FSIZE kills", lim(RLIMIT_FSIZE, 10, 10); lim(RLIMIT_CORE, 0, 0); int f = open("f2", O_CREAT | O_RDWR, 0600);
          write(f, big, 10); write(f, big, 1));
    // CPU: each second from the soft limit on, then SIGKILL
    CHILD("CPU", lim(RLIMIT_CPU, 1, 3); signal(SIGXCPU, h); while (n < 2); struct rusage u; getrusage(RUSAGE_SELF, &u);
          SAY("more than one second %d\n", u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000000 >= 1); for (;;););
    CHILD("CPU, sleeping costs nothing", lim(RLIMIT_CPU, 1, 1); for (int i = 0; i < 30; i++) ms(50); SAY("alive\n"));
    // AS, DATA, STACK
    CHILD("AS", lim(RLIMIT_AS, 256 << 20, 256 << 20); void *p = mmap(0, 300 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          SAY("%s\n", p == MAP_FAILED ? strerrorname_np(errno) : "mapped"); p = mmap(0, 300 << 20, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
          SAY("%s\n", p == MAP_FAILED ? strerrorname_np(errno) : "mapped"); p = mmap(0, 100 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          SAY("%s\n", p == MAP_FAILED ? strerrorname_np(errno) : "mapped"); p = mremap(p, 100 << 20, 280 << 20, MREMAP_MAYMOVE);
          SAY("%s\n", p == MAP_FAILED ? strerrorname_np(errno) : "moved"); SHOW(sbrk(200 << 20) == (void *)-1);
          SHOW(fork() == 0 ? (_exit(0), 0) : 1); wait(0));
    CHILD("DATA", lim(RLIMIT_DATA, 64 << 20, 64 << 20); errno = 0; SHOW(sbrk(100 << 20) == (void *)-1);
          void *p = mmap(0, 100 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); SAY("%s\n", p == MAP_FAILED ? strerrorname_np(errno) : "mapped");
          p = mmap(0, 100 << 20, 1, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); SAY("%s\n", p == MAP_FAILED ? strerrorname_np(errno) : "read-only mapped");
          SHOW(mprotect(p, 100 << 20, 3)); p = mmap(0, 100 << 20, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
          SAY("%s\n", p == MAP_FAILED ? strerrorname_np(errno) : "shared mapped"); SHOW(sbrk(1 << 20) != (void *)-1));
    CHILD("STACK", lim(RLIMIT_STACK, 1 << 20, 1 << 20); lim(RLIMIT_CORE, 0, 0); SHOW(deep(200) != -1); deep(400));
    CHILD("STACK and arguments", lim(RLIMIT_STACK, 1 << 20, 8 << 20); char *a[200]; memset(big, 'x', 2000); big[2000] = 0;
          for (int i = 0; i < 199; i++) a[i] = big; a[199] = 0; SHOW(execv("/proc/self/exe", a)));
    // NOFILE
    CHILD("NOFILE", for (int f = 3; f < 256; f++) close(f); lim(RLIMIT_NOFILE, 8, 8); int f; int c = 0; while ((f = dup(0)) >= 0) c = f;
          SAY("last %d %s\n", c, strerrorname_np(errno)); SHOW(dup2(0, 8)); SHOW(dup2(0, 7)); SHOW(fcntl(0, F_DUPFD, 8)); SHOW(fcntl(0, F_DUPFD, 3));
          SHOW(pipe((int[2]){0})); close(7); SHOW(pipe((int[2]){0})); SHOW(open("/dev/null", O_RDONLY)); SHOW(open("/dev/null", O_RDONLY));
          struct pollfd q[9] = {{0}}; SHOW(poll(q, 9, 0)); SHOW(poll(q, 8, 0) >= 0); lim(RLIMIT_NOFILE, 3, 8); SHOW(dup(0)); SHOW(read(5, big, 0));
          SHOW(fcntl(7, F_GETFD)); SHOW(poll(q, 4, 0)));
    SHOW(setrlimit(RLIMIT_NOFILE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}));
    // NPROC: by real user; not for root or CAP_SYS_RESOURCE, CAP_SYS_ADMIN
    CHILD("NPROC", lim(RLIMIT_NPROC, 1, 1); pid_t p = fork(); if (!p) _exit(0); SHOW(p > 0); wait(0); setuid(31234); SHOW(fork()); pthread_t t;
          SHOW(pthread_create(&t, 0, (void *(*)(void *))deep, 0)));
    CHILD("NPROC crossed by setuid, exec", CHILD("another of that user", setuid(31235); pid_t q = getpid(); (void)q);
          pid_t a = fork(); if (!a) { setuid(31236); prctl(PR_SET_PDEATHSIG, SIGKILL); for (;;) pause(); } ms(50); lim(RLIMIT_NPROC, 1, 1); SHOW(setuid(31236));
          SHOW(execl("/bin/busybox", "true", (char *)0)); kill(a, 9); wait(0));
    CHILD("NPROC crossed by two", pid_t a[2]; for (int i = 0; i < 2; i++) if (!(a[i] = fork())) { setuid(31249); for (;;) pause(); }
          ms(50); lim(RLIMIT_NPROC, 1, 1); SHOW(setuid(31249)); SHOW(execl("/bin/busybox", "true", (char *)0));
          kill(a[0], 9), wait(0), kill(a[1], 9), wait(0); execl("/bin/busybox", "echo", "alone again", (char *)0));
    // SIGPENDING
    CHILD("SIGPENDING", sigset_t m; sigfillset(&m); sigprocmask(SIG_SETMASK, &m, 0); setuid(31237); lim(RLIMIT_SIGPENDING, 3, 3);
          for (int i = 0; i < 5; i++) SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i})); SHOW(kill(getpid(), SIGRTMIN + 1));
          SHOW(kill(getpid(), SIGUSR1)); SHOW(sigqueue(getpid(), SIGUSR2, (union sigval){0})); siginfo_t s; sigset_t w; sigemptyset(&w);
          sigaddset(&w, SIGRTMIN); SHOW(sigwaitinfo(&w, &s) == SIGRTMIN); SAY("%d\n", s.si_value.sival_int);
          SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){9})); timer_t t; struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
          SHOW(timer_create(CLOCK_MONOTONIC, &e, &t)));
    // NICE, RTPRIO
    CHILD("NICE", lim(RLIMIT_NICE, 25, 25); setpriority(PRIO_PROCESS, 0, 10); setuid(31239); SHOW(setpriority(PRIO_PROCESS, 0, -6)); SHOW(setpriority(PRIO_PROCESS, 0, -5));
          SHOW(getpriority(PRIO_PROCESS, 0)); SHOW(setpriority(PRIO_PROCESS, 0, 19)); SHOW(setpriority(PRIO_PROCESS, 0, 5)); lim(RLIMIT_NICE, 0, 0); SHOW(setpriority(PRIO_PROCESS, 0, 4)));
    CHILD("RTPRIO", lim(RLIMIT_RTPRIO, 10, 10); setuid(31240); struct sched_param p = {11}; SHOW(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}));
          SHOW(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){1})); lim(RLIMIT_RTPRIO, 0, 0); SHOW(sched_setscheduler(0, SCHED_FIFO, &p)));
    // others' limits
    pid_t p = fork();
    if (!p) {
        setresuid(31241, 31241, 31241);
        for (;;)
            pause();
    }
    ms(50);
    r = (struct rlimit){20, 30};
    SHOW(prlimit(p, RLIMIT_NOFILE, &r, &o));
    SHOW(prlimit(p, RLIMIT_NOFILE, 0, &o));
    SAY("%ld %ld\n", (long)o.rlim_cur, (long)o.rlim_max);
    CHILD("same user", setresuid(31241, 31241, 31241); setresgid(0, 0, 0); SHOW(prlimit(p, RLIMIT_NOFILE, &(struct rlimit){10, 25}, 0));
          SHOW(prlimit(p, RLIMIT_NOFILE, &(struct rlimit){10, 26}, 0)); SHOW(prlimit(p, RLIMIT_NOFILE, 0, &o)); SAY("%ld\n", (long)o.rlim_max));
    CHILD("another user", setuid(31242); SHOW(prlimit(p, RLIMIT_NOFILE, 0, &o)); SHOW(prlimit(1, RLIMIT_NOFILE, 0, &o)); SHOW(prlimit(p, RLIMIT_NOFILE, &r, 0)));
    kill(p, 9);
    reap("child", p);
    // inherited by fork and exec, and soft above hard is refused
    CHILD("inherited", lim(RLIMIT_CORE, 7, 9); CHILD("child", getrlimit(RLIMIT_CORE, &r); SAY("%ld %ld\n", (long)r.rlim_cur, (long)r.rlim_max)));
    CHILD("raising", lim(RLIMIT_CORE, 7, 9); setuid(31243); lim(RLIMIT_CORE, 9, 9); lim(RLIMIT_CORE, 9, 10); lim(RLIMIT_CORE, 10, 9); lim(RLIMIT_CORE, 1, 5); lim(RLIMIT_CORE, 6, 6));
    // usage
    struct rusage a, b;
    getrusage(RUSAGE_CHILDREN, &a);
    CHILD("burns", CHILD("burns too", clock_t e = clock() + 60000; while (clock() < e);); clock_t e = clock() + 60000; while (clock() < e););
    getrusage(RUSAGE_CHILDREN, &b);
    long us = (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1000000 + b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
    SAY("both counted %d\n", us > 100000);
    getrusage(RUSAGE_CHILDREN, &a);
    CHILD("leaves a child behind", pid_t q = fork(); if (!q) { clock_t e = clock() + 60000; while (clock() < e); _exit(0); } siginfo_t i; waitid(P_PID, q, &i, WEXITED | WNOWAIT));
    getrusage(RUSAGE_CHILDREN, &b);
    us = (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) * 1000000 + b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
    SAY("one not waited for is not counted %d\n", us < 50000);
    char *m = mmap(0, 16 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    getrusage(RUSAGE_SELF, &a);
    for (int i = 0; i < 16 << 20; i += 4096)
        m[i] = 1;
    getrusage(RUSAGE_SELF, &b);
    SAY("memory grew %d\n", b.ru_maxrss - a.ru_maxrss > 15000 && b.ru_maxrss - a.ru_maxrss < 18000);
    getrusage(RUSAGE_THREAD, &b);
    SHOW(syscall(SYS_getrusage, 7, &b));
    SHOW(syscall(SYS_getrusage, 0, 8));
    clockid_t id;
    struct timespec t;
    SHOW(clock_getcpuclockid(0, &id));
    SHOW(clock_gettime(id, &t));
    SHOW(clock_getcpuclockid(999999, &id));
    SHOW(pthread_getcpuclockid(pthread_self(), &id));
    SHOW(clock_gettime(id, &t));
    SHOW(clock_settime(id, &t));
    SHOW(clock_gettime(~(clockid_t)999999 << 3 | 2, &t));
    SHOW(clock_gettime((clockid_t)-1, &t));
    struct tms x;
    SHOW(times(&x) > 0);
    SAY("children's %d\n", x.tms_cutime + x.tms_cstime > 5);
}
