// timer_create and its family, RLIMIT_CPU, unshare.
#include "check.h"
static volatile int hits;
static int ov, code, id_;
static void h(int s, siginfo_t *i, void *u) {
    hits++;
    ov = i->si_overrun;
    code = i->si_code;
    id_ = i->si_timerid;
}
static volatile int thr;
static void cb(union sigval v) { thr += v.sival_int; }
int main() {
    struct sigaction sa = {.sa_sigaction = h, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, 0);
    sigaction(SIGALRM, &sa, 0);
    sigaction(SIGRTMIN + 3, &sa, 0);
    struct sigevent se = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_t t, t2;
    struct itimerspec it = {{0, 0}, {0, 20000000}}, o;
    SHOW(timer_create(CLOCK_MONOTONIC, &se, &t));
    SHOW(timer_settime(t, 0, &it, 0));
    while (!hits)
        pause();
    SAY("hits %d code %d\n", hits, code);
    SHOW(timer_gettime(t, &o));
    SAY("%ld %ld\n", o.it_value.tv_sec, o.it_value.tv_nsec);
    // overruns while blocked
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR1);
    sigprocmask(SIG_BLOCK, &s, 0);
    it.it_interval.tv_nsec = 10000000;
    it.it_value.tv_nsec = 10000000;
    timer_settime(t, 0, &it, 0);
    ms(105);
    hits = 0;
    sigprocmask(SIG_UNBLOCK, &s, 0);
    SAY("came at least once %d\n", hits >= 1);
    SAY("overruns counted %d\n", hits > 1 || ov >= 5);
    it.it_value.tv_nsec = 0;
    SHOW(timer_settime(t, 0, &it, &o));
    SAY("int %ld\n", o.it_interval.tv_nsec);
    SHOW(timer_getoverrun(t) >= 0);
    SHOW(timer_delete(t));
    SHOW(timer_delete(t));
    SHOW(timer_gettime(t, &o));
    hits = 0;
    SHOW(timer_create(CLOCK_REALTIME, 0, &t));
    struct timespec n;
    clock_gettime(CLOCK_REALTIME, &n);
    it = (struct itimerspec){{0, 0}, {n.tv_sec, n.tv_nsec + 30000000}};
    if (it.it_value.tv_nsec >= 1000000000) {
        it.it_value.tv_nsec -= 1000000000;
        it.it_value.tv_sec++;
    }
    SHOW(timer_settime(t, TIMER_ABSTIME, &it, 0));
    while (!hits)
        pause();
    SAY("alrm %d\n", hits);
    timer_delete(t);
    hits = 0;
    se.sigev_signo = SIGRTMIN + 3;
    SHOW(timer_create(CLOCK_PROCESS_CPUTIME_ID, &se, &t));
    it = (struct itimerspec){{0, 0}, {0, 50000000}};
    SHOW(timer_settime(t, 0, &it, 0));
    while (!hits)
        ;
    SAY("cpu %d\n", hits);
    timer_delete(t);
    hits = 0;
    SHOW(timer_create(CLOCK_THREAD_CPUTIME_ID, &se, &t));
    SHOW(timer_settime(t, 0, &it, 0));
    while (!hits)
        ;
    SAY("tcpu %d\n", hits);
    timer_delete(t);
    se.sigev_notify = SIGEV_THREAD;
    se.sigev_notify_function = cb;
    se.sigev_value.sival_int = 3;
    se.sigev_notify_attributes = 0;
    SHOW(timer_create(CLOCK_MONOTONIC, &se, &t));
    it = (struct itimerspec){{0, 0}, {0, 10000000}};
    timer_settime(t, 0, &it, 0);
    while (thr < 3)
        ms(5);
    SAY("thr %d\n", thr);
    timer_delete(t);
    se.sigev_notify = 77;
    SHOW(timer_create(CLOCK_MONOTONIC, &se, &t));
    se.sigev_notify = SIGEV_SIGNAL;
    se.sigev_signo = 99;
    SHOW(timer_create(CLOCK_MONOTONIC, &se, &t));
    se.sigev_signo = 0;
    SHOW(timer_create(CLOCK_MONOTONIC, &se, &t));
    se.sigev_signo = SIGUSR1;
    SHOW(timer_create(99, &se, &t));
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC_COARSE, 0, &t));
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &t));
    SHOW(syscall(SYS_timer_create, CLOCK_MONOTONIC, 0, 8));
    SHOW(timer_create(CLOCK_MONOTONIC, &se, &t));
    SHOW(syscall(SYS_timer_settime, t, 0, 0, 0));
    it.it_value.tv_nsec = 1000000000;
    SHOW(syscall(SYS_timer_settime, 0, 0, &it, 0));
    it = (struct itimerspec){{0, 0}, {100, 0}};
    timer_create(CLOCK_MONOTONIC, &se, &t2);
    timer_settime(t2, 0, &it, 0);
    CHILD("forked", SHOW(syscall(SYS_timer_gettime, (long)t2, &o)));
    CHILD("cpu", struct rlimit f = {1, 3}; signal(SIGXCPU, SIG_DFL); setrlimit(RLIMIT_CPU, &f); for (;;););
    CHILD("hard", struct rlimit f = {1, 2}; signal(SIGXCPU, SIG_IGN); setrlimit(RLIMIT_CPU, &f); for (;;););
    CHILD("inherited", struct rlimit f = {1, 3}; setrlimit(RLIMIT_CPU, &f); CHILD("grandchild", for (;;);));
    SHOW(unshare(0));
    SHOW(unshare(1));
    SHOW(unshare(CLONE_FILES));
    SHOW(unshare(CLONE_FS | CLONE_SYSVSEM));
    SHOW(unshare(CLONE_VM));
    SHOW(unshare(CLONE_THREAD));
    SHOW(unshare(CLONE_VFORK));
    sigaddset(&s, SIGUSR2);
    sigprocmask(SIG_BLOCK, &s, 0);
    se.sigev_signo = SIGUSR2;
    se.sigev_value.sival_int = 42;
    timer_create(CLOCK_MONOTONIC, &se, &t);
    it = (struct itimerspec){{0, 10000000}, {0, 10000000}};
    timer_settime(t, 0, &it, 0);
    ms(60);
    siginfo_t si;
    SHOW(sigwaitinfo(&s, &si) == SIGUSR2);
    SAY("v %d code %d ov %d\n", si.si_value.sival_int, si.si_code, si.si_overrun >= 2);
}
