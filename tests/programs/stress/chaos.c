// Random system calls with hostile arguments from several processes and threads at once: `chaos SECONDS SEED [WORKERS]`.
// Workers that die are replaced with the next seed. What they may not do: power the machine off, or kill the parent.
// The parent goes on forking and checking memory of its own meanwhile, and prints what it survived.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed;
static uint64_t rnd(void) {
    seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
    return seed * 0x2545F4914F6CDD1DULL;
}
static char *area; // 64 pages: some readable, some not, a hole
enum { PAGES = 64 };
static pid_t parent;
static const char *paths[] = {"/", "/tmp", "/tmp/a", "/tmp/b", "/tmp/a/b", "/proc/self/maps", "/proc/self/status", "/proc/1/stat",
    "/proc/self/fd", "/proc/self/exe", "/dev/null", "/dev/zero", "/dev/tty", "/dev/ptmx", "/dev/random", "/dev/full",
    "/bin/busybox", "/proc/multios/kernel", "", ".", "..", "/tmp/../tmp/./a", "/proc/self/mem", "/proc/self/root/tmp",
    "/proc/meminfo", "/proc/self/environ", "/proc/self/cmdline", "/proc/self/fd/0", "/proc/self/fd/3", "/proc/mounts",
    "/dev/pts/0", "/proc/self/task", "/proc/stat", "/proc/interrupts", "/tmp/f1", "/tmp/f2", "/dev/fd/4", "/proc/self/cwd"};

static uint64_t value(void) {
    static const uint64_t odd[] = {0, 1, 2, 3, 4, 7, 8, 16, 24, 63, 64, 255, 256, 4095, 4096, 4097, 65536, 1 << 20, 0x7fffffff,
        0x80000000, 0xffffffff, 0x100000000, 0x7fffffffffff, 0x7ffffffff000, 0x7fffffffe000, 0x800000000000, 0x7fffffffffffffff,
        0x8000000000000000, 0xffff800000000000, 0xffff800000100000, 0xffffffff80000000, 0xffffffff80200000, -4096, -4095, -100,
        -8, -2, -1};
    switch (rnd() % 12) {
    case 0: case 1: return odd[rnd() % (sizeof odd / sizeof *odd)];
    case 2: return rnd() % 64;
    case 3: return rnd() % 16;
    case 4: return rnd() >> rnd() % 64;
    case 5: return (uint64_t)paths[rnd() % (sizeof paths / sizeof *paths)];
    case 6: return 1UL << rnd() % 64;
    case 7: return (uint64_t)area + rnd() % (PAGES * 4096);
    case 8: return (uint64_t)area + (rnd() % PAGES * 4096 | 4096 - rnd() % 64);
    case 9: return rnd() % 4096;
    case 10: { // a structure of odd values
        uint64_t *p = (uint64_t *)(area + rnd() % 12 * 4096 + rnd() % 400 * 8);
        for (int i = 0; i < 12; i++)
            p[i] = rnd() % 3 ? rnd() % 100 : rnd() % 2 ? (uint64_t)area + rnd() % (PAGES * 4096) : odd[rnd() % 38];
        return (uint64_t)p;
    }
    default: { // a vector of pointers to strings or buffers
        uint64_t *p = (uint64_t *)(area + rnd() % 12 * 4096);
        for (int i = 0; i < 8; i++)
            p[i] = i & 1 && rnd() % 2 ? rnd() % 9000 : rnd() % 3 ? (uint64_t)paths[rnd() % 30] : (uint64_t)area + rnd() % (PAGES * 4096);
        p[8] = 0;
        return (uint64_t)p;
    }
    }
}

static void one_call(void) {
    uint64_t n = rnd() % 470;
    uint64_t a[6];
    for (int i = 0; i < 6; i++)
        a[i] = value();
    switch (n) {
    case SYS_reboot: return;
    case SYS_exit: case SYS_exit_group: if (rnd() % 16) return; break;
    case SYS_kill: case SYS_tkill: case SYS_tgkill: case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo:
        // To itself, its group of workers, or nobody.
        a[0] = rnd() % 2 ? getpid() : 0;
        if (n == SYS_tgkill || n == SYS_rt_tgsigqueueinfo) a[1] = getpid();
        if (n == SYS_kill && !a[0] && rnd() % 8) return;
        break;
    case SYS_fork: case SYS_vfork: case SYS_clone: case SYS_clone3:
        if (n == SYS_vfork || rnd() % 2) return;
        if (n == SYS_clone) a[0] &= ~0x4100UL; // no shared memory with a stack nobody knows: that is only a crash
        {
            pid_t p = n == SYS_fork ? syscall(SYS_fork) : syscall(n, a[0], 0, a[2], a[3], a[4]);
            if (p == 0) { alarm(1); for (int i = 0; i < 20; i++) one_call(); _exit(0); }
        }
        return;
    case SYS_rt_sigreturn: if (rnd() % 8) return; break;
    case SYS_pause: case SYS_rt_sigsuspend: case SYS_nanosleep: case SYS_clock_nanosleep: if (rnd() % 8) return; break;
    case SYS_mmap: if (rnd() % 2) a[3] |= 0x20; if (rnd() % 4) a[0] = 0; if (rnd() % 2) a[1] &= 0xffffff; break;
    case SYS_munmap: case SYS_mprotect: case SYS_mremap: case SYS_madvise: if (rnd() % 4) a[0] = ((uint64_t)area & ~4095UL) + (16 + rnd() % 48) * 4096, a[1] %= 65536; break;
    case SYS_chroot: case SYS_pivot_root: case SYS_umount2: case SYS_mount: if (rnd() % 32) return; break;
    case SYS_ptrace: return;
    case SYS_setrlimit: case SYS_prlimit64: if (rnd() % 8) return; break;
    }
    syscall(n, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void *other_thread(void *p) {
    for (;;)
        one_call();
}

static void worker(uint64_t s) {
    seed = s * 0x9e3779b97f4a7c15ULL | 1;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit l = {30, 30};
    setrlimit(RLIMIT_NPROC, &l);
    l.rlim_cur = l.rlim_max = 16 << 20;
    setrlimit(RLIMIT_FSIZE, &l);
    l.rlim_cur = l.rlim_max = 64 << 20;
    setrlimit(RLIMIT_AS, &l);
    if (rnd() % 2 && setresuid(1000 + s % 3, 1000 + s % 3, 1000 + s % 3))
        _exit(1);
    for (int sig = 1; sig < 65; sig++)
        if (sig != SIGKILL && sig != SIGSTOP && sig != SIGCHLD && sig != SIGALRM && rnd() % 2)
            signal(sig, SIG_IGN);
    area = mmap(0, PAGES * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < PAGES * 4096; i += 8)
        *(uint64_t *)(area + i) = rnd() % 5 ? rnd() % 64 : rnd();
    mprotect(area + 20 * 4096, 4096, PROT_READ);
    mprotect(area + 22 * 4096, 4096, PROT_NONE);
    munmap(area + 24 * 4096, 4096);
    int fds[2];
    pipe2(fds, O_NONBLOCK);
    alarm(2);
    if (rnd() % 3 == 0) {
        pthread_t t;
        pthread_create(&t, 0, other_thread, 0);
    }
    for (int i = 0; i < 3000; i++)
        one_call();
    _exit(0);
}

int main(int c, char **v) {
    int seconds = c > 1 ? atoi(v[1]) : 10, workers = c > 3 ? atoi(v[3]) : 4;
    uint64_t s = c > 2 ? strtoull(v[2], 0, 0) : 1, first = s;
    parent = getpid();
    mkdir("/tmp", 0777), mkdir("/tmp/a", 0777);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (int sig = 1; sig < 65; sig++)
        if (sig != SIGCHLD)
            signal(sig, SIG_IGN);
    int null = open("/dev/null", O_RDWR);
    struct timespec t0, t;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    uint64_t pattern[4096];
    pid_t mine[64] = {0};
    if (workers > 64)
        workers = 64;
    for (long round = 0;; round++) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        int over = t.tv_sec - t0.tv_sec >= seconds;
        for (int i = 0; i < workers && !over; i++)
            if (!mine[i]) {
                pid_t p = fork();
                if (p == 0) {
                    dup2(null, 0), dup2(null, 1), dup2(null, 2);
                    worker(s);
                }
                if (p > 0)
                    mine[i] = p, s++;
            }
        for (int i = 0; i < 4096; i++)
            pattern[i] = i * s;
        int st;
        pid_t r = waitpid(-1, &st, WNOHANG);
        for (int i = 0; i < workers && r > 0; i++)
            if (mine[i] == r)
                mine[i] = 0;
        if (r <= 0 && over) {
            kill(-1, SIGKILL);
            if (r < 0)
                break;
        }
        if (r == 0) {
            struct timespec nap = {0, 2000000};
            nanosleep(&nap, 0);
        }
        if (round % 2000 == 1999) // those that have put themselves to sleep for ever
            kill(-1, SIGKILL);
        for (int i = 0; i < 4096; i++)
            if (pattern[i] != i * s)
                return printf("FAIL memory of the parent\n"), 1;
    }
    printf("chaos ok: seeds %lu to %lu\n", first, s);
    return 0;
}
