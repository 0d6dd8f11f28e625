#include "check.h"
static volatile int got, order[16], n;
static void h(int s) {
    got = s;
    if (n < 16)
        order[n++] = s;
}
static void info(int s, siginfo_t *i, void *c) {
    SAY("sig %d code %d pid %d value %d\n", s, i->si_code, i->si_pid == getpid(), i->si_value.sival_int);
}
int main(void) {
    struct sigaction a = {.sa_handler = h}, o;
    SHOW(sigaction(SIGUSR1, &a, &o));
    SAY("old default: %d\n", o.sa_handler == SIG_DFL);
    raise(SIGUSR1);
    SAY("got %d\n", got);
    SHOW(sigaction(SIGKILL, &a, 0));
    SHOW(sigaction(SIGSTOP, &a, 0));
    SHOW(sigaction(65, &a, 0));
    SHOW(sigaction(0, &a, 0));
    sigset_t set, old, pend;
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, &old);
    sigprocmask(0, 0, &pend);
    SAY("kill blocked: %d stop blocked: %d\n", sigismember(&pend, SIGKILL), sigismember(&pend, SIGSTOP));
    for (int s = SIGUSR2; s >= SIGUSR1; s -= 2) {
        sigaction(s, &a, 0);
        kill(getpid(), s);
        kill(getpid(), s);
    }
    sigpending(&pend);
    SAY("pending %d %d %d\n", sigismember(&pend, SIGUSR1), sigismember(&pend, SIGUSR2), sigismember(&pend, SIGHUP));
    n = 0;
    sigprocmask(SIG_SETMASK, &old, 0);
    SAY("delivered %d: %d %d\n", n, order[0], order[1]); // coalesced
    struct sigaction q = {.sa_sigaction = info, .sa_flags = SA_SIGINFO};
    int rt = SIGRTMIN + 1;
    sigaction(rt, &q, 0);
    sigemptyset(&set);
    sigaddset(&set, rt);
    sigprocmask(SIG_BLOCK, &set, 0);
    for (int i = 0; i < 3; i++) {
        union sigval v = {.sival_int = i};
        SHOW(sigqueue(getpid(), rt, v));
    }
    siginfo_t si;
    struct timespec z = {0, 0};
    SAY("timedwait %d value %d\n", sigtimedwait(&set, &si, &z) == rt, si.si_value.sival_int);
    sigprocmask(SIG_UNBLOCK, &set, 0);
    SHOW(sigtimedwait(&set, &si, &z));
    q.sa_flags |= SA_RESETHAND;
    sigaction(SIGUSR1, &q, 0);
    raise(SIGUSR1);
    sigaction(SIGUSR1, 0, &o);
    SAY("reset: %d\n", o.sa_handler == SIG_DFL);
    SHOW(kill(getpid(), 0));
    SHOW(kill(99999, 0));
    SHOW(kill(getpid(), 65));
    SHOW(kill(-99999, 9));
    SHOW(raise(0));
    CHILD("segv", *(volatile int *)8 = 1);
    CHILD("div", volatile int z0 = 0; n = 1 / z0);
    CHILD("ill", __asm__ volatile("ud2"));
    CHILD("hlt", __asm__ volatile("hlt"));
    CHILD("int3", __asm__ volatile("int3"));
    CHILD("cli", __asm__ volatile("cli"));
    CHILD("kernel jump", ((void (*)(void))0xffffffff80200000)());
    CHILD("kernel read", n = *(volatile char *)0xffff800000000000);
    CHILD("non-canonical", n = *(volatile char *)0x8000000000000000);
    CHILD("out", __asm__ volatile("outb %%al, $0x80" ::"a"(0)));
    CHILD("wrmsr", __asm__ volatile("wrmsr" ::"a"(0), "d"(0), "c"(0xc0000080)));
    CHILD("mov cr0", long v; __asm__ volatile("mov %%cr0, %0" : "=r"(v)));
    CHILD("lgdt", long v[2] = {0}; __asm__ volatile("lgdt %0" ::"m"(v)));
    CHILD("alarm", alarm(1); pause());
    CHILD("pipe", int f[2]; pipe(f); close(f[0]); write(f[1], "x", 1));
}
