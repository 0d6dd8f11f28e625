// Signal frames and what comes back from them: red zone, alignment, flags, vector registers, hostile contexts; faults' siginfo.
#include "check.h"
#include <immintrin.h>
#include <setjmp.h>
#include <sys/ucontext.h>
static volatile int phase, seen;
static volatile int show_error = 1;
static sigjmp_buf env;
static void print_info(int s, siginfo_t *i, void *u) {
    ucontext_t *c = u;
    SAY("sig %d code %d addr %p trap %lld err %lld\n", s, i->si_code, s == SIGILL || s == SIGTRAP || s == SIGFPE ? 0 : i->si_addr,
        (long long)c->uc_mcontext.gregs[REG_TRAPNO], (long long)c->uc_mcontext.gregs[REG_ERR] * show_error);
    if (s == SIGILL || s == SIGFPE)
        SAY("at the instruction %d\n", (uintptr_t)i->si_addr == (uintptr_t)c->uc_mcontext.gregs[REG_RIP]);
    siglongjmp(env, 1);
}
#define FAULT(what, ...)                                                                                               \
    do {                                                                                                               \
        SAY("%s: ", what);                                                                                             \
        if (!sigsetjmp(env, 1)) {                                                                                      \
            __VA_ARGS__;                                                                                               \
            SAY("nothing\n");                                                                                          \
        }                                                                                                              \
    } while (0)
static void entry(int s, siginfo_t *i, void *u) {
    unsigned long flags;
    __asm__ volatile("pushfq; pop %0" : "=r"(flags));
    SAY("DF %d, same info %d, context on the stack %d\n", !!(flags & 0x400), i->si_signo == s,
        (uintptr_t)u % 8 == 0 && (uintptr_t)u > (uintptr_t)&flags);
    ucontext_t *c = u;
    SAY("saved DF %d, flags %lx, link %d\n", !!(c->uc_mcontext.gregs[REG_EFL] & 0x400), c->uc_flags & 7, c->uc_link == 0);
    SAY("cs %x ss %x\n", (unsigned)(c->uc_mcontext.gregs[REG_CSGSFS] & 0xffff),
        (unsigned)(c->uc_mcontext.gregs[REG_CSGSFS] >> 48));
    unsigned *f = (unsigned *)c->uc_mcontext.fpregs;
    SAY("fp aligned %d magic %d, end magic %d, fcw %x\n", (int)((uintptr_t)f % 64), f[464 / 4] == 0x46505853,
        *(unsigned *)((char *)f + f[464 / 4 + 1] - 4) == 0x46505845, f[0] & 0xffff);
    SAY("xstate %d, features in header %d\n", f[468 / 4] > f[480 / 4], (f[512 / 4] & ~f[472 / 4]) == 0);
    // the handler starts with a clean x87 state, but MXCSR and data registers are its own to spoil
    __asm__ volatile("std");
    __asm__ volatile("cld");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vpcmpeqd %%xmm5, %%xmm5, %%xmm5; vinsertf128 $1, %%xmm5, %%ymm5, %%ymm5" ::: "xmm5");
    seen++;
}
static void spoil(int s, siginfo_t *i, void *u) {
    ucontext_t *c = u;
    greg_t *g = c->uc_mcontext.gregs;
    unsigned *f = (unsigned *)c->uc_mcontext.fpregs;
    switch (phase) {
    case 0: g[REG_EFL] |= 0x3000; break;                  // IOPL
    case 1: g[REG_EFL] |= 0x4000; break;                  // NT
    case 2: g[REG_EFL] |= 0x20000; break;                 // VM
    case 3: g[REG_EFL] &= ~0x200; break;                  // IF off
    case 4: g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffL) | 0x10; break; // a kernel code segment, RPL 0: forced to 3
    case 5: g[REG_RIP] = 0x8000000000000000; break;       // not canonical
    case 6: g[REG_RIP] = (greg_t)0xffffffff81000000; break; // the kernel's
    case 7: g[REG_RIP] = 0x7ffffffff000; break;           // right behind the last page
    case 8: g[REG_EFL] |= 0x10000; break;                 // RF
    case 9: c->uc_mcontext.fpregs = (void *)8; break;
    case 10: c->uc_mcontext.fpregs = (void *)0xffff800000000000; break;
    case 11: c->uc_mcontext.fpregs = (void *)((char *)c->uc_mcontext.fpregs + 8); break;
    case 12: f[464 / 4] = 0; break;                       // no magic: FXSAVE only
    case 13: f[6] = 0xffffffff; break;                    // reserved MXCSR bits
    case 14: memset((char *)f + 512, 0xff, 64); break;    // a bad XSAVE header
    case 15: f[472 / 4] = 0xffffffff; f[476 / 4] = 0xffffffff; break; // impossible features
    case 16: f[468 / 4] = 0x7fffffff; break;              // extended size
    case 17: c->uc_mcontext.fpregs = 0; break;            // no state: registers as new
    case 18: g[REG_EFL] |= 0x100; break;                  // TF: SIGTRAP
    case 19: g[REG_CSGSFS] = (g[REG_CSGSFS] & ~(0xffffL << 48)) | (0x10L << 48); break;
    case 20: g[REG_CSGSFS] = 0; break;
    case 21: g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffL) | 0xfff3; break;
    case 22: *(sigset_t *)&c->uc_sigmask = (sigset_t){{~0ul}}; break;
    case 23: c->uc_stack.ss_sp = (void *)8, c->uc_stack.ss_size = 1, c->uc_stack.ss_flags = 0x1234; break;
    case 24: g[REG_EFL] |= 0x200000; break;               // ID
    }
}
static void on_trap(int s) {
    SAY("trapped\n");
    _exit(0);
}
static int red_zone_kept(void) {
    int ok;
    __asm__ volatile("movq $0x1234567, -128(%%rsp)\n movq $0x89abcde, -8(%%rsp)\n"
                     "mov $39, %%eax\n syscall\n mov %%eax, %%edi\n mov $10, %%esi\n mov $62, %%eax\n syscall\n"
                     "cmpq $0x1234567, -128(%%rsp)\n jne 1f\n cmpq $0x89abcde, -8(%%rsp)\n jne 1f\n mov $1, %0\n jmp 2f\n"
                     "1: mov $0, %0\n 2:\n"
                     : "=r"(ok)::"rax", "rdi", "rsi", "rcx", "r11", "memory");
    return ok;
}
int main(void) {
    struct sigaction a = {.sa_sigaction = entry, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0);
    SAY("red zone %d\n", red_zone_kept());
    // registers and vector state come back
    unsigned char in[32], out[32];
    memset(in, 0x5a, 32);
    if (__builtin_cpu_supports("avx")) {
        __asm__ volatile("vmovdqu %1, %%ymm5\n mov $39, %%eax\n syscall\n mov %%eax, %%edi\n mov $10, %%esi\n mov $62, %%eax\n"
                         " syscall\n vmovdqu %%ymm5, %0\n"
                         : "=m"(out)
                         : "m"(in)
                         : "rax", "rdi", "rsi", "rcx", "r11", "xmm5", "memory");
        SAY("ymm %d\n", !memcmp(in, out, 32));
    } else {
        raise(SIGUSR1);
        SAY("ymm 1\n");
    }
    unsigned short w = 0x27f, x = 0;
    __asm__ volatile("fldcw %0" ::"m"(w));
    raise(SIGUSR1);
    __asm__ volatile("fnstcw %0" : "=m"(x));
    SAY("fcw %x\n", x);
    w = 0x37f;
    __asm__ volatile("fldcw %0" ::"m"(w));
    __asm__ volatile("std");
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
    unsigned long flags;
    __asm__ volatile("pushfq; pop %0; cld" : "=r"(flags));
    SAY("DF back %d\n", !!(flags & 0x400));
    // no SA_RESTORER, and a bad one
    CHILD("no restorer", struct { void *h; unsigned long f; void *r; unsigned long m; } k = {spoil, SA_SIGINFO, 0, 0};
          phase = 99; syscall(SYS_rt_sigaction, SIGUSR2, &k, 0, 8); kill(getpid(), SIGUSR2); SAY("came back\n"));
    CHILD("restorer nowhere", struct { void *h; unsigned long f; void *r; unsigned long m; } k =
              {spoil, SA_SIGINFO | 0x04000000, (void *)8, 0};
          phase = 99; syscall(SYS_rt_sigaction, SIGUSR2, &k, 0, 8); kill(getpid(), SIGUSR2); SAY("came back\n"));
    CHILD("sigreturn out of nothing", syscall(SYS_rt_sigreturn); SAY("came back\n"));
    CHILD("frame on no stack", struct sigaction b = {.sa_sigaction = spoil, .sa_flags = SA_SIGINFO}; sigaction(SIGUSR2, &b, 0);
          pid_t me = getpid(); __asm__ volatile("mov $16, %%rsp\n syscall\n ud2" ::"a"(SYS_kill), "D"(me), "S"(SIGUSR2)));
    CHILD("frame on a kernel stack", struct sigaction b = {.sa_sigaction = spoil, .sa_flags = SA_SIGINFO};
          sigaction(SIGUSR2, &b, 0); pid_t me = getpid();
          __asm__ volatile("mov %0, %%rsp\n syscall\n ud2" ::"r"(0xffff888000000000), "a"(SYS_kill), "D"(me), "S"(SIGUSR2)));
    for (phase = 0; phase < 25; phase++) {
        char name[32];
        snprintf(name, sizeof name, "hostile frame %d", phase);
        CHILD(name, struct sigaction b = {.sa_sigaction = spoil, .sa_flags = SA_SIGINFO}; sigaction(SIGUSR2, &b, 0);
              signal(SIGTRAP, on_trap); kill(getpid(), SIGUSR2);
              __asm__ volatile("pushfq; pop %0" : "=r"(flags)); sigset_t m; sigprocmask(0, 0, &m);
              SAY("iopl %lx nt %d vm %d if %d id %d, kill blocked %d term blocked %d\n", flags >> 12 & 3,
                  !!(flags & 0x4000), !!(flags & 0x20000), !!(flags & 0x200), !!(flags & 0x200000), sigismember(&m, SIGKILL),
                  sigismember(&m, SIGTERM)));
    }
    // faults
    stack_t st = {.ss_sp = malloc(65536), .ss_size = 65536};
    sigaltstack(&st, 0);
    struct sigaction p = {.sa_sigaction = print_info, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int sigs[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (int k = 0; k < 5; k++)
        sigaction(sigs[k], &p, 0);
    char *ro = mmap((void *)0x10000000, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    char *no = mmap((void *)0x11000000, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    int f = open("file", O_CREAT | O_RDWR, 0600);
    ftruncate(f, 4096);
    char *past = mmap((void *)0x12000000, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, f, 0);
    volatile int zero = 0, v;
    volatile int least = INT_MIN, minus = -1;
    FAULT("null read", v = *(volatile int *)0x10);
    FAULT("null write", *(volatile int *)0x10 = 1);
    FAULT("write to read-only, untouched", *(volatile char *)ro = 1);
    FAULT("write to read-only, touched", v = ro[4096]; *(volatile char *)(ro + 4097) = 1);
    FAULT("read of PROT_NONE", v = *(volatile char *)(no + 5));
    FAULT("jump to data", v = ro[0]; ((void (*)(void))ro)());
    FAULT("jump to nowhere", ((void (*)(void))0x13000000)());
    FAULT("kernel half", v = *(volatile char *)0xffff800000001234);
    FAULT("vsyscall neighbourhood", v = *(volatile char *)0xffffffffff700000);
    FAULT("last page", v = *(volatile char *)0x7ffffffff000);
    FAULT("not canonical", v = *(volatile char *)0x8000000000000000);
    FAULT("not canonical write", *(volatile char *)0x1234000000000000 = 1);
    FAULT("behind the file's end", v = *(volatile char *)(past + 4096 + 7));
    FAULT("write behind the file's end", *(volatile char *)(past + 4096 + 7) = 1);
    FAULT("divide by zero", v = 1 / zero);
    FAULT("overflowing divide", v = least / minus);
    FAULT("ud2", __asm__ volatile("ud2"));
    FAULT("int3", __asm__ volatile("int3"));
    FAULT("int 4", __asm__ volatile("int $4"));
    show_error = 0; // QEMU's emulation gets this one wrong
    FAULT("int 0x81", __asm__ volatile("int $0x81"));
    show_error = 1;
    FAULT("hlt", __asm__ volatile("hlt"));
    FAULT("in", __asm__ volatile("inb $0x60, %%al" ::: "rax"));
    FAULT("single step", __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop" ::: "memory", "cc"));
    FAULT("misaligned SSE", __asm__ volatile("movaps (%0), %%xmm0" ::"r"(0x10000001ul) : "xmm0"));
    FAULT("bad selector", __asm__ volatile("mov %0, %%ds" ::"r"(0x1234)));
    FAULT("rdpmc or not", __asm__ volatile("xsetbv" ::"a"(0), "d"(0), "c"(5)));
    // x87 and SSE exceptions are the CPU's affair (an emulated one raises none); raised by hand they carry the sender
    // a blocked fault kills, whatever its handler; an ignored one too
    CHILD("blocked SIGSEGV", sigset_t m; sigemptyset(&m); sigaddset(&m, SIGSEGV); sigprocmask(SIG_BLOCK, &m, 0);
          *(volatile int *)8 = 1);
    CHILD("ignored SIGSEGV", signal(SIGSEGV, SIG_IGN); *(volatile int *)8 = 1);
    CHILD("ignored SIGFPE", signal(SIGFPE, SIG_IGN); v = 1 / zero);
    CHILD("sent and ignored", signal(SIGSEGV, SIG_IGN); kill(getpid(), SIGSEGV); SAY("alive\n"));
    // alternate stacks
    SHOW(sigaltstack(&(stack_t){.ss_sp = st.ss_sp, .ss_size = 2047}, 0));
    SHOW(sigaltstack(&(stack_t){.ss_sp = st.ss_sp, .ss_size = 65536, .ss_flags = 77}, 0));
    SHOW(sigaltstack(&(stack_t){.ss_sp = st.ss_sp, .ss_size = 65536, .ss_flags = SS_ONSTACK}, 0));
    SHOW(sigaltstack((void *)8, 0));
    SHOW(sigaltstack(0, (void *)8));
    SHOW(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE, .ss_sp = (void *)5, .ss_size = 9}, 0));
    stack_t o;
    sigaltstack(0, &o);
    SAY("disabled %d sp %d size %d\n", o.ss_flags == SS_DISABLE, o.ss_sp == 0, o.ss_size == 0);
    SHOW(sigaltstack(&(stack_t){.ss_sp = st.ss_sp, .ss_size = 65536, .ss_flags = (int)(1u << 31)}, 0)); // SS_AUTODISARM
    sigaltstack(0, &o);
    SAY("autodisarm %d\n", (unsigned)o.ss_flags >> 31);
}
