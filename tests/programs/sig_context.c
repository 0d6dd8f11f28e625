#include "check.h"
#include <ucontext.h>
static volatile double d0;
static void h(int s, siginfo_t *i, void *u) {
    ucontext_t *c = u;
    d0 = 1.5 / 3;
    uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
    (void)s;
    if (s == SIGSEGV) {
        SAY("addr %p err %lld trap %lld\n", i->si_addr, (long long)c->uc_mcontext.gregs[REG_ERR],
            (long long)c->uc_mcontext.gregs[REG_TRAPNO]);
        c->uc_mcontext.gregs[REG_RIP] += 4;
    } else
        SAY("frame aligned %d, fpstate %d\n", (int)(sp % 16), c->uc_mcontext.fpregs != 0);
}
int main(void) {
    struct sigaction a = {.sa_sigaction = h, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0);
    sigaction(SIGSEGV, &a, 0);
    double x = 2.25;
    __asm__ volatile("movq %0, %%xmm7" ::"r"(0x1122334455667788) : "xmm7");
    raise(SIGUSR1);
    SAY("%f\n", x * 2);
    long rdi = 0x12345;
    __asm__ volatile("mov %0, %%r12\n mov %%rax, (%%r12)" ::"r"(rdi) : "r12", "memory");
    SAY("after\n");
}
