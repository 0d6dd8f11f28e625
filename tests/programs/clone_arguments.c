// clone and clone3: which flags go together (39), what the structure may hold, and arch_prctl.
#include "check.h"
#include <linux/sched.h>
#include <sys/syscall.h>
static char stack[65536] __attribute__((aligned(64)));
static int nothing(void *a) { return 0; }
struct big {
    struct clone_args a;
    unsigned long more[4];
};
static long c3(struct clone_args a, size_t n) {
    struct big b = {a};
    long r = syscall(SYS_clone3, &b, n);
    if (!r)
        _exit(0);
    if (r > 0) {
        int s;
        waitpid((pid_t)r, &s, __WALL);
        return 1;
    }
    return r;
}
#define N sizeof(struct clone_args)
static long raw(unsigned long flags) {
    long r = syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (!r)
        _exit(0);
    if (r > 0) {
        int s;
        waitpid((pid_t)r, &s, __WALL);
        return 1;
    }
    return r;
}
static __thread int tls = 5;
int main(void) {
    signal(64, SIG_IGN);
    // flags that need others
    SHOW(raw(CLONE_THREAD));
    SHOW(raw(CLONE_THREAD | CLONE_SIGHAND));
    SHOW(raw(CLONE_THREAD | CLONE_VM));
    SHOW(raw(CLONE_SIGHAND));
    SHOW(raw(CLONE_SIGHAND | SIGCHLD));
    SHOW(raw(CLONE_FS | CLONE_NEWNS));
    SHOW(raw(CLONE_FS | CLONE_NEWUSER));
    SHOW(raw(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWPID));
    SHOW(raw(CLONE_SYSVSEM | CLONE_NEWIPC));
    SHOW(raw(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD));
    SHOW(raw(CLONE_DETACHED | SIGCHLD));
    SHOW(raw(CLONE_UNTRACED | SIGCHLD));
    SHOW(raw(CLONE_IO | SIGCHLD));
    SHOW(raw(CLONE_PTRACE | SIGCHLD));
    SHOW(raw(CLONE_SYSVSEM | CLONE_FS | CLONE_FILES | SIGCHLD));
    SHOW(raw(0));
    SHOW(raw(64));
    SHOW(raw(CLONE_SETTLS | SIGCHLD));
    // PIDFD goes where the parent's tid would
    int fd = -1;
    pid_t p = (pid_t)syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
    if (!p)
        _exit(4);
    SAY("descriptor %d, closed at exec %d\n", fd >= 0, fcntl(fd, F_GETFD));
    reap("pidfd", p);
    close(fd);
    SHOW(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, 8, 0, 0));
    // CLONE_PARENT: a sibling
    int f[2];
    pipe(f);
    CHILD("makes a sibling", pid_t q = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0); if (!q) _exit(9);
          write(f[1], &q, sizeof q); int s; SHOW(waitpid(q, &s, 0)));
    read(f[0], &p, sizeof p);
    reap("the sibling", p);
    // clone3's structure
    struct clone_args a = {.exit_signal = SIGCHLD};
    SHOW(c3(a, N));
    SHOW(c3(a, 64));
    SHOW(c3(a, 80));
    SHOW(c3(a, 63));
    SHOW(c3(a, 0));
    SHOW(c3(a, 4097));
    SHOW(c3(a, N + 8));
    struct big b = {a, {0, 1}};
    SHOW(syscall(SYS_clone3, &b, sizeof b));
    SHOW(syscall(SYS_clone3, 8, N));
    SHOW(syscall(SYS_clone3, 0, N));
    SHOW(c3((struct clone_args){.exit_signal = 65}, N));
    SHOW(c3((struct clone_args){.exit_signal = 64}, N));
    SHOW(c3((struct clone_args){.exit_signal = 1ul << 32 | SIGCHLD}, N));
    SHOW(c3((struct clone_args){.flags = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.flags = CLONE_DETACHED}, N));
    SHOW(c3((struct clone_args){.flags = 1ul << 40}, N));
    SHOW(c3((struct clone_args){.flags = CLONE_PARENT, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.stack = (uintptr_t)stack, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.stack_size = 100, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.stack = 0x7ffffffff000, .stack_size = 4096, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM}, N));
    SHOW(c3((struct clone_args){.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.flags = CLONE_PIDFD, .pidfd = 8, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.flags = CLONE_PIDFD | CLONE_DETACHED, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.set_tid = 1, .set_tid_size = 0, .exit_signal = SIGCHLD}, N));
    SHOW(c3((struct clone_args){.set_tid = 0, .set_tid_size = 1, .exit_signal = SIGCHLD}, N));
    // CLEAR_SIGHAND: handlers go, ignored stay
    signal(SIGUSR1, (void (*)(int))nothing);
    signal(SIGUSR2, SIG_IGN);
    a = (struct clone_args){.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    p = (pid_t)syscall(SYS_clone3, &a, N);
    if (!p) {
        struct sigaction o;
        sigaction(SIGUSR1, 0, &o);
        int d = o.sa_handler == SIG_DFL;
        sigaction(SIGUSR2, 0, &o);
        _exit(d * 2 + (o.sa_handler == SIG_IGN));
    }
    reap("cleared", p);
    // arch_prctl
    unsigned long base, set;
    SHOW(syscall(SYS_arch_prctl, 0x1003, &base));
    SAY("fs %d\n", base != 0);
    SHOW(syscall(SYS_arch_prctl, 0x1001, 0x1234567000));
    SHOW(syscall(SYS_arch_prctl, 0x1004, &set));
    SAY("gs %lx\n", set);
    __asm__ volatile("" ::: "memory");
    CHILD("inherited", SHOW(syscall(SYS_arch_prctl, 0x1004, &set)); SAY("gs %lx tls %d\n", set, tls));
    SHOW(syscall(SYS_arch_prctl, 0x1001, 0xffff800000000000));
    SHOW(syscall(SYS_arch_prctl, 0x1001, 0x8000000000000000));
    SHOW(syscall(SYS_arch_prctl, 0x1001, 0x7ffffffff000));
    SHOW(syscall(SYS_arch_prctl, 0x1001, 0x7fffffffefff));
    SHOW(syscall(SYS_arch_prctl, 0x1003, 8));
    SHOW(syscall(SYS_arch_prctl, 0x1011));
    SHOW(syscall(SYS_arch_prctl, 0x9999, 0));
    // unknown calls
    SHOW(syscall(9999));
    SHOW(syscall(-1));
    SHOW(syscall(0x40000000 | SYS_getpid)); // x32
    SHOW(syscall(1ul << 31 | SYS_getppid));
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "0"(0x100000000ul | SYS_getpid) : "rcx", "r11", "memory");
    SAY("upper half of rax ignored %d\n", r == getpid() || r == -ENOSYS ? (r == getpid()) : 2);
    // registers over a call: all but rax, rcx, r11
    unsigned long in[6] = {1, 2, 3, 4, 5, 6}, out[6];
    __asm__ volatile("mov %6, %%rdi\n mov $2, %%rsi\n mov $3, %%rdx\n mov $4, %%r10\n mov $5, %%r8\n mov $6, %%r9\n"
                     "mov $39, %%eax\n syscall\n mov %%rdi, %0\n mov %%rsi, %1\n mov %%rdx, %2\n mov %%r10, %3\n"
                     "mov %%r8, %4\n mov %%r9, %5\n"
                     : "=m"(out[0]), "=m"(out[1]), "=m"(out[2]), "=m"(out[3]), "=m"(out[4]), "=m"(out[5])
                     : "m"(in[0])
                     : "rax", "rcx", "r11", "rdi", "rsi", "rdx", "r10", "r8", "r9", "memory");
    SAY("kept %d\n", !memcmp(in, out, sizeof in));
    // flags: what a program may set in rflags survives a call, DF and TF do no harm (35)
    unsigned long fl;
    __asm__ volatile("std; mov $39, %%eax; syscall; pushfq; pop %0; cld" : "=r"(fl)::"rax", "rcx", "r11", "memory", "cc");
    SAY("DF over a call %d\n", !!(fl & 0x400));
    __asm__ volatile("pushfq; orq $0x4000, (%%rsp); popfq; mov $39, %%eax; syscall; pushfq; pop %0; pushfq; andq $~0x4000, (%%rsp); popfq"
                     : "=r"(fl)::"rax", "rcx", "r11", "memory", "cc");
    SAY("NT over a call %d\n", !!(fl & 0x4000));
    // 34: a call whose return address is not canonical, from the last page there is
    CHILD("last page", void *q = mmap((void *)0x7ffffffff000, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
          SAY("%s\n", q == MAP_FAILED ? strerrorname_np(errno) : "mapped"));
    CHILD("call at the very end", unsigned char *q = mmap((void *)0x7fffffffe000, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
          if (q != MAP_FAILED) { q[4094] = 0x0f, q[4095] = 0x05; __asm__ volatile("mov $39, %%eax; jmp *%0" ::"r"(q + 4094) : "rax", "rcx", "r11"); }
          SAY("not mapped\n"));
}
