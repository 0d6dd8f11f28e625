// What only the kernel may do, done by a program: each attempt in a child of its own, which must end by a signal or go
// on, and the kernel must not notice. Prints a line per attempt: how the child ended.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static uint64_t seed = 88172645463325252ULL;
static uint64_t rnd(void) { return seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17; }

static const struct {
    const char *name;
    unsigned char code[40];
    int len;
} codes[] = {
#define C(n, ...) {n, {__VA_ARGS__}, sizeof((unsigned char[]){__VA_ARGS__})}
    C("cli", 0xfa), C("sti", 0xfb), C("hlt", 0xf4), C("in al,dx", 0xec), C("out dx,al", 0xee), C("insb", 0x6c),
    C("mov rax,cr0", 0x0f, 0x20, 0xc0), C("mov cr0,rax", 0x0f, 0x22, 0xc0), C("mov cr3,rax", 0x0f, 0x22, 0xd8),
    C("mov cr4,rax", 0x0f, 0x22, 0xe0), C("mov cr8,rax", 0x44, 0x0f, 0x22, 0xc0), C("mov rax,dr0", 0x0f, 0x21, 0xc0),
    C("mov dr7,rax", 0x0f, 0x23, 0xf8), C("clts", 0x0f, 0x06), C("invd", 0x0f, 0x08), C("wbinvd", 0x0f, 0x09),
    C("wrmsr", 0x0f, 0x30), C("rdmsr", 0x0f, 0x32), C("rdpmc", 0x0f, 0x33), C("sysenter", 0x0f, 0x34),
    C("sysexit", 0x0f, 0x35), C("sysretq", 0x48, 0x0f, 0x07), C("swapgs", 0x0f, 0x01, 0xf8),
    C("lgdt", 0x0f, 0x01, 0x10), C("lidt", 0x0f, 0x01, 0x18), C("lldt", 0x0f, 0x00, 0xd0), C("ltr", 0x0f, 0x00, 0xd8),
    C("sgdt", 0x0f, 0x01, 0x04, 0x24), C("sidt", 0x0f, 0x01, 0x0c, 0x24), C("smsw", 0x0f, 0x01, 0xe0),
    C("str", 0x0f, 0x00, 0xc8), C("sldt", 0x0f, 0x00, 0xc0), C("lmsw", 0x0f, 0x01, 0xf0),
    C("invlpg", 0x0f, 0x01, 0x38), C("xsetbv", 0x0f, 0x01, 0xd1), C("vmcall", 0x0f, 0x01, 0xc1),
    C("vmmcall", 0x0f, 0x01, 0xd9), C("monitor", 0x0f, 0x01, 0xc8), C("mwait", 0x0f, 0x01, 0xc9),
    C("clac", 0x0f, 0x01, 0xca), C("stac", 0x0f, 0x01, 0xcb), C("rsm", 0x0f, 0xaa), C("ud2", 0x0f, 0x0b),
    C("icebp", 0xf1), C("int3", 0xcc), C("into", 0xce), C("int 0x80 garbage", 0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0x7f, 0xcd, 0x80),
    C("mov ds,7", 0xb8, 7, 0, 0, 0, 0x8e, 0xd8), C("mov ds,8", 0xb8, 8, 0, 0, 0, 0x8e, 0xd8),
    C("mov ss,0", 0x31, 0xc0, 0x8e, 0xd0), C("mov ss,0x18", 0xb8, 0x18, 0, 0, 0, 0x8e, 0xd0),
    C("mov ss,0x1b; syscall", 0xb8, 0x1b, 0, 0, 0, 0x8e, 0xd0, 0x0f, 0x05),
    C("mov fs,0x1b", 0xb8, 0x1b, 0, 0, 0, 0x8e, 0xe0), C("mov gs,0x1b", 0xb8, 0x1b, 0, 0, 0, 0x8e, 0xe8),
    C("mov gs,0; syscall", 0x31, 0xc0, 0x8e, 0xe8, 0xb8, 39, 0, 0, 0, 0x0f, 0x05),
    C("popf all", 0x6a, 0xff, 0x9d), C("popf all; syscall", 0x6a, 0xff, 0x9d, 0xb8, 39, 0, 0, 0, 0x0f, 0x05),
    C("popf NT; syscall", 0x68, 0, 0x40, 0, 0, 0x9d, 0xb8, 39, 0, 0, 0, 0x0f, 0x05),
    C("popf NT; yield", 0x68, 0, 0x40, 0, 0, 0x9d, 0xb8, 24, 0, 0, 0, 0x0f, 0x05),
    C("popf TF; syscall", 0x68, 0, 0x01, 0, 0, 0x9d, 0xb8, 39, 0, 0, 0, 0x0f, 0x05),
    C("popf AC; syscall", 0x68, 0, 0, 4, 0, 0x9d, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x6a, 0, 0x9d),
    C("popf AC; odd access", 0x68, 0, 0, 4, 0, 0x9d, 0x48, 0x8b, 0x44, 0x24, 1),
    C("popf DF; syscall", 0x68, 0, 4, 0, 0, 0x9d, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xfc),
    C("popf IOPL; out", 0x68, 0, 0x30, 0, 0, 0x9d, 0xee),
    C("rsp=0; syscall", 0x31, 0xe4, 0xb8, 39, 0, 0, 0, 0x0f, 0x05),
    C("rsp=0; push", 0x31, 0xe4, 0x50), C("rsp=0; int3", 0x31, 0xe4, 0xcc), C("rsp=0; ud2", 0x31, 0xe4, 0x0f, 0x0b),
    C("rsp=kernel; syscall", 0x48, 0xc7, 0xc4, 0, 0, 0, 0x80, 0xb8, 39, 0, 0, 0, 0x0f, 0x05),
    C("rsp=kernel; ud2", 0x48, 0xc7, 0xc4, 0, 0, 0, 0x80, 0x0f, 0x0b),
    C("rsp=hole; ud2", 0x48, 0xbc, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x0f, 0x0b),
    C("rsp=hole; loop", 0x48, 0xbc, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xb9, 0, 0, 0x80, 0, 0xff, 0xc9, 0x75, 0xfc),
    C("rsp=hole; fork", 0x48, 0xbc, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xb8, 57, 0, 0, 0, 0x0f, 0x05),
    C("rsp=hole; sigreturn", 0x48, 0xbc, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xb8, 15, 0, 0, 0, 0x0f, 0x05),
    C("rsp=-1; sigreturn", 0x48, 0x83, 0xcc, 0xff, 0xb8, 15, 0, 0, 0, 0x0f, 0x05),
    C("iretq to cs 8", 0x6a, 0x10, 0x54, 0x9c, 0x6a, 0x08, 0x50, 0x48, 0xcf),
    C("iretq to rip hole", 0x6a, 0x1b, 0x54, 0x9c, 0x6a, 0x23, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x50, 0x48, 0xcf),
    C("iretq IOPL3 IF0", 0x48, 0x8d, 0x1d, 16, 0, 0, 0, 0x6a, 0x1b, 0x54, 0x68, 0x02, 0x30, 0, 0, 0x6a, 0x23, 0x53, 0x48, 0xcf, 0x90, 0x90, 0x90, 0xfa),
    C("retf to cs 8", 0x6a, 0x08, 0x48, 0x8d, 0x05, 0, 0, 0, 0, 0x50, 0x48, 0xcb),
    C("retf to cs 0x23", 0x6a, 0x23, 0x48, 0x8d, 0x05, 3, 0, 0, 0, 0x50, 0x48, 0xcb, 0x90),
    C("jmp kernel text", 0x48, 0xc7, 0xc0, 0, 0, 0x20, 0x80, 0xff, 0xe0),
    C("jmp hole", 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xe0),
    C("jmp last page", 0x48, 0xb8, 0xff, 0xef, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0xff, 0xe0),
    C("ret to hole", 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x50, 0xc3),
    C("read kernel", 0x48, 0xc7, 0xc0, 0, 0, 0x20, 0x80, 0x8b, 0x00),
    C("read direct map", 0x48, 0xb8, 0, 0x10, 0, 0, 0, 0x80, 0xff, 0xff, 0x8b, 0x00),
    C("write direct map", 0x48, 0xb8, 0, 0x10, 0, 0, 0, 0x80, 0xff, 0xff, 0x89, 0x00),
    C("read hole", 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0x00),
    C("wrgsbase kernel", 0x48, 0xc7, 0xc0, 0, 0, 0x20, 0x80, 0xf3, 0x48, 0x0f, 0xae, 0xd8, 0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xb8, 24, 0, 0, 0, 0x0f, 0x05),
    C("wrgsbase hole", 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xf3, 0x48, 0x0f, 0xae, 0xd8),
    C("wrfsbase kernel; yield", 0x48, 0xc7, 0xc0, 0, 0, 0x20, 0x80, 0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xb8, 24, 0, 0, 0, 0x0f, 0x05),
    C("ldmxcsr bad", 0x6a, 0xff, 0x0f, 0xae, 0x14, 0x24), C("lock ud", 0xf0, 0x90),
    C("div 0", 0x31, 0xc9, 0xf7, 0xf1), C("prefixes", 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90),
};

static unsigned char *page;

static void how(const char *name, int n, int s) {
    if (n >= 0)
        printf("%s %d: ", name, n);
    else
        printf("%s: ", name);
    if (WIFEXITED(s))
        printf("exited %d\n", WEXITSTATUS(s));
    else
        printf("signal %d\n", WTERMSIG(s));
    fflush(stdout);
}

static int in_child(void (*f)(long), long n) {
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
        alarm(5);
        f(n);
        _exit(0);
    }
    int s = 0;
    if (p < 0 || waitpid(p, &s, 0) != p)
        printf("FAIL wait %d\n", errno), exit(1);
    return s;
}

// Runs the code, then exit_group(0): 31 ff b8 e7 00 00 00 0f 05.
static void run_code(long n) {
    static const unsigned char end[] = {0x31, 0xff, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05};
    memcpy(page, codes[n].code, codes[n].len);
    memcpy(page + codes[n].len, end, sizeof end);
    ((void (*)(void))page)();
}
static void run_int(long n) {
    unsigned char code[] = {0xb8, 39, 0, 0, 0, 0xcd, n, 0x31, 0xff, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05};
    memcpy(page, code, sizeof code);
    ((void (*)(void))page)();
}
// The same with a handler on an alternate stack that has to come back, or that runs into the same again.
static void on_signal(int s, siginfo_t *i, void *c) { _exit(100 + s % 100); }
static void handle_all(int flags) {
    static char stack[65536];
    stack_t st = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&st, 0);
    struct sigaction a = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
    for (int s = 1; s < 32; s++)
        if (s != SIGALRM)
            sigaction(s, &a, 0);
}
static void run_code_handled(long n) { handle_all(SA_ONSTACK), run_code(n); }
static void run_code_same_stack(long n) { handle_all(0), run_code(n); }

// sigreturn with a context that a program has changed.
static long change;
static void tamper(int s, siginfo_t *i, void *v) {
    ucontext_t *c = v;
    greg_t *r = c->uc_mcontext.gregs;
    unsigned char *fp = (unsigned char *)c->uc_mcontext.fpregs;
    uint64_t bad[] = {0, -1, 1UL << 47, 0xffff800000000000, 0xffffffff80200000, 0x7ffffffff000, 0x8000000000000000};
    switch (change % 10) {
    case 0: r[REG_RIP] = bad[change / 10 % 7]; break;
    case 1: r[REG_RSP] = bad[change / 10 % 7]; break;
    case 2: r[REG_EFL] = bad[change / 10 % 7]; break;
    case 3: r[REG_CSGSFS] = bad[change / 10 % 7]; break;
    case 4: memset(fp + 24, 0xff, 8); break; // MXCSR and its mask
    case 5: for (int k = 0; k < 512; k++) fp[k] = rnd(); break;
    case 6: for (int k = 464; k < 576 + 64; k++) fp[k] = rnd(); break; // sw_reserved and the XSAVE header
    case 7: memset(fp + 512, 0xff, 64); break;
    case 8: c->uc_mcontext.fpregs = (void *)bad[change / 10 % 7]; break;
    case 9: for (int k = 0; k < 8; k++) ((unsigned char *)fp)[512 + rnd() % 64] = rnd(); break;
    }
}
static void run_tamper(long n) {
    change = n;
    seed += n * 0x9e3779b97f4a7c15ULL;
    struct sigaction a = {.sa_sigaction = tamper, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0);
    raise(SIGUSR1);
    volatile double d = 1.5;
    d *= 2;
}
// sigreturn without a signal, on random bytes.
static void run_forged(long n) {
    seed += n * 0x9e3779b97f4a7c15ULL;
    uint64_t *st = (uint64_t *)(page + 0x10000);
    for (int i = 0; i < 1024; i++)
        st[i] = n & 1 ? rnd() : rnd() % 3 ? (uint64_t)st + rnd() % 4096 & ~63UL : rnd() & 0xff;
    asm volatile("mov %0, %%rsp; mov $15, %%eax; syscall; ud2" ::"r"(st + 512 + n % 8) : "memory");
}
static int deep(int n) {
    volatile char big[4000];
    big[n % 4000] = n;
    return n <= 0 ? 0 : deep(n + 1) + big[0];
}
static void run_overflow(long n) {
    struct rlimit l = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_STACK, &l);
    if (n == 1)
        handle_all(SA_ONSTACK);
    if (n == 2)
        handle_all(0);
    if (n == 3) { // an alternate stack that is no memory
        handle_all(SA_ONSTACK);
        stack_t st = {.ss_sp = (void *)0x100000000000, .ss_size = 65536};
        sigaltstack(&st, 0);
    }
    if (n == 4) { // and one at the end of all addresses
        handle_all(SA_ONSTACK);
        stack_t st = {.ss_sp = (void *)0xffffffffffff0000, .ss_size = 0x10000};
        sigaltstack(&st, 0);
    }
    deep(1);
}
// Random bytes as a program.
static void run_random(long n) {
    seed += n * 0x9e3779b97f4a7c15ULL;
    for (int i = 0; i < 4096; i++)
        page[i] = rnd();
    if (n & 1)
        handle_all(SA_ONSTACK);
    signal(SIGALRM, SIG_DFL);
    struct rlimit l = {8, 8};
    setrlimit(RLIMIT_NPROC, &l);
    ualarm(200000, 0);
    asm volatile("jmp *%0" ::"r"(page + rnd() % 2048));
}

int main(int c, char **v) {
    page = mmap(0, 0x40000, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        how(codes[i].name, -1, in_child(run_code, i));
        in_child(run_code_handled, i);
        in_child(run_code_same_stack, i);
    }
    for (int i = 0; i < 256; i++)
        how("int", i, in_child(run_int, i));
    int counts[3] = {0};
    for (int i = 0; i < 210; i++)
        in_child(run_tamper, i);
    for (int i = 0; i < 200; i++)
        in_child(run_forged, i);
    puts("sigreturn done");
    for (int i = 0; i < 5; i++)
        how("stack overflow", i, in_child(run_overflow, i));
    int n = c > 1 ? atoi(v[1]) : 200;
    for (int i = 0; i < n; i++)
        in_child(run_random, i);
    puts("random code done");
    puts("privileged ok");
    return 0;
}
