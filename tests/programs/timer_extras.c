// Clocks and timers beyond the everyday: arguments refused, what setting and disarming answer, clocks of processes.
#include "check.h"
#include <sys/timerfd.h>
#include <sys/timex.h>
#ifndef CLOCK_TAI
#define CLOCK_TAI 11
#endif
static void disarmed(const char *what, struct itimerspec *i) {
    SAY("%s: value %d interval %d\n", what, i->it_value.tv_sec || i->it_value.tv_nsec,
        i->it_interval.tv_sec || i->it_interval.tv_nsec);
}
int main(void) {
    struct timespec t = {0, 0}, bad = {0, 1000000000}, minus = {-1, 0}, small = {0, 1000000};
    int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
                    CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, 10, CLOCK_TAI, 12, 99};
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        SAY("clock %d\n", clocks[i]);
        SHOW(clock_gettime(clocks[i], &t));
        SHOW(clock_getres(clocks[i], 0));
        if (clocks[i] != CLOCK_PROCESS_CPUTIME_ID)
            SHOW(syscall(SYS_clock_nanosleep, clocks[i], 0, &small, 0));
        timer_t id;
        struct sigevent none = {.sigev_notify = SIGEV_NONE};
        errno = 0;
        int made = syscall(SYS_timer_create, clocks[i], &none, &id);
        SAY("timer %s\n", made ? strerrorname_np(errno) : "made");
        int f = timerfd_create(clocks[i], 0);
        SAY("timerfd %s\n", f < 0 ? strerrorname_np(errno) : "made");
        if (f >= 0)
            close(f);
    }
    SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &bad, 0));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &minus, 0));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &small, 0));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, 8, 0));
    SHOW(syscall(SYS_nanosleep, &bad, 0));
    SHOW(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &small));
    SHOW(syscall(SYS_clock_settime, CLOCK_REALTIME, &bad));
    CHILD("an ordinary user", setresuid(1000, 1000, 1000); SHOW(clock_settime(CLOCK_REALTIME, &small)));
    clockid_t c;
    SAY("of another: %d\n", clock_getcpuclockid(getpid(), &c));
    SHOW(clock_gettime(c, &t));
    SAY("of nobody: %d\n", clock_getcpuclockid(999999, &c));

    struct itimerval v = {{0, 0}, {0, 1000000}}, o;
    SHOW(setitimer(ITIMER_REAL, &v, 0));
    v.it_value.tv_usec = -1;
    SHOW(setitimer(ITIMER_REAL, &v, 0));
    SHOW(setitimer(3, &v, 0));
    SHOW(getitimer(3, &v));
    SHOW(syscall(SYS_setitimer, ITIMER_REAL, 8, 0));
    v.it_value.tv_usec = 0, v.it_value.tv_sec = 100, v.it_interval.tv_sec = 7;
    SHOW(setitimer(ITIMER_REAL, &v, 0));
    SHOW(alarm(50) >= 99);
    getitimer(ITIMER_REAL, &o);
    SAY("alarm took the interval: %ld, value near 50: %d\n", (long)o.it_interval.tv_sec, o.it_value.tv_sec >= 49);
    SHOW(alarm(0) >= 49);
    SHOW(alarm(0));
    SHOW(syscall(SYS_setitimer, ITIMER_REAL, 0, &o));

    timer_t id;
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    signal(SIGUSR1, SIG_IGN);
    SHOW(timer_create(CLOCK_MONOTONIC, &e, &id));
    struct itimerspec s = {{0, 0}, {100, 0}}, old;
    SHOW(timer_settime(id, 0, &s, &old));
    disarmed("at first", &old);
    SHOW(timer_settime(id, 0, &(struct itimerspec){{5, 0}, {0, 0}}, &old));
    disarmed("before", &old);
    SHOW(timer_gettime(id, &old));
    disarmed("disarmed", &old);
    SHOW(timer_settime(id, TIMER_ABSTIME, &(struct itimerspec){{0, 0}, {0, 1}}, 0));
    ms(20);
    SHOW(timer_gettime(id, &old));
    disarmed("long past", &old);
    SHOW(timer_settime(id, 0, &(struct itimerspec){{0, 0}, {0, 1000000000}}, 0));
    SHOW(timer_settime(id, 0, 0, 0));
    SHOW(timer_settime(id, 64, &s, 0));
    SHOW(timer_getoverrun(id));
    SHOW(timer_delete(id));
    SHOW(timer_delete(id));
    SHOW(timer_gettime((timer_t)77, &old));
    e.sigev_signo = 65;
    SHOW(timer_create(CLOCK_MONOTONIC, &e, &id));
    e.sigev_signo = 0;
    SHOW(timer_create(CLOCK_MONOTONIC, &e, &id));
    e.sigev_signo = SIGUSR1, e.sigev_notify = 17;
    SHOW(timer_create(CLOCK_MONOTONIC, &e, &id));
    e.sigev_notify = SIGEV_THREAD_ID, e._sigev_un._tid = 1;
    SHOW(timer_create(CLOCK_MONOTONIC, &e, &id));

    int f = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    uint64_t n;
    SHOW(read(f, &n, 8));
    SHOW(read(f, &n, 7));
    SHOW(write(f, &n, 8));
    SHOW(timerfd_settime(f, 0, &(struct itimerspec){{0, 0}, {0, 1000000000}}, 0));
    SHOW(timerfd_settime(f, 8, &s, 0));
    SHOW(timerfd_settime(0, 0, &s, 0));
    SHOW(timerfd_settime(f, TFD_TIMER_ABSTIME, &(struct itimerspec){{0, 0}, {0, 1}}, 0));
    SHOW(read(f, &n, 8));
    SAY("expired %d\n", (int)n);
    SHOW(timerfd_settime(f, 0, &(struct itimerspec){{0, 1000000}, {0, 1000000}}, 0));
    ms(60);
    SHOW(read(f, &n, 8));
    SAY("several %d\n", n > 3);
    SHOW(timerfd_settime(f, 0, &(struct itimerspec){{3, 0}, {0, 0}}, 0));
    timerfd_gettime(f, &old);
    disarmed("disarmed", &old);
    SHOW(timerfd_create(CLOCK_MONOTONIC, 1));
    SHOW(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
    return 0;
}
