#include "check.h"
#include <setjmp.h>
static char alt[65536];
static sigjmp_buf env;
static volatile int on_alt;
static void h(int s, siginfo_t *i, void *u) {
    char here;
    on_alt = &here >= alt && &here < alt + sizeof alt;
    (void)i;
    (void)u;
    siglongjmp(env, s);
}
static int deep(int n) {
    volatile char b[4096];
    b[0] = (char)n;
    return n > 0 ? deep(n - 1) + b[0] : 0;
}
static void rec(volatile char *p) {
    volatile char b[16384];
    b[0] = *p;
    rec(b);
    b[1] = 1;
}
int main(void) {
    stack_t s = {.ss_sp = alt, .ss_size = sizeof alt}, o;
    SHOW(sigaltstack(&s, 0));
    SHOW(sigaltstack(0, &o));
    SAY("%d %d\n", o.ss_sp == alt, o.ss_flags);
    s.ss_size = 100;
    SHOW(sigaltstack(&s, 0));
    struct sigaction a = {.sa_sigaction = h, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    sigaction(SIGSEGV, &a, 0);
    int r = sigsetjmp(env, 1);
    if (!r) {
        char c = 0;
        rec(&c);
    }
    SAY("overflow caught: %d, on the alternate stack: %d\n", r, on_alt);
    r = sigsetjmp(env, 1);
    if (!r)
        *(volatile int *)0 = 1;
    SAY("again: %d %d\n", r, on_alt);
    SAY("deep %d\n", deep(500) != -1);
    CHILD("overflow without handler", signal(SIGSEGV, SIG_DFL); char c = 0; rec(&c));
    sigset_t m;
    sigprocmask(0, 0, &m);
    SAY("mask restored: %d\n", !sigismember(&m, SIGSEGV));
}
