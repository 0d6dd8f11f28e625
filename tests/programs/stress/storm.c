// Storms of ordinary things: `storm MODE ROUNDS [SEED]`. Each mode checks what it does and prints one line at the end;
// "FAIL" and exit status 1 when something was lost. Deterministic but for the order in which CPUs take part.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed = 1;
static uint64_t rnd(void) { // xorshift64*
    seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
    return seed * 0x2545F4914F6CDD1DULL;
}
#define FAIL(...) (printf("FAIL " __VA_ARGS__), printf(" errno %d line %d\n", errno, __LINE__), fflush(stdout), _exit(1))

static int reap(pid_t p) {
    int s;
    pid_t r;
    while ((r = waitpid(p, &s, 0)) < 0 && errno == EINTR)
        ;
    if (r < 0)
        FAIL("wait %d", p);
    return s;
}

// Up to 8 children at once, each with a status of its own, some killed.
static void forks(int rounds) {
    for (int i = 0; i < rounds; i++) {
        pid_t p[8];
        int n = 1 + rnd() % 8;
        for (int k = 0; k < n; k++)
            if ((p[k] = fork()) == 0) {
                if (k & 1)
                    pause();
                _exit(k + i & 0x7f);
            } else if (p[k] < 0)
                FAIL("fork");
        for (int k = 1; k < n; k += 2)
            kill(p[k], SIGKILL);
        for (int k = n; k--;) {
            int s = reap(p[k]);
            if (k & 1 ? s != SIGKILL : s != (k + i & 0x7f) << 8)
                FAIL("status %x of %d", s, k);
        }
    }
    if (wait(0) != -1 || errno != ECHILD)
        FAIL("a child too many");
}

static int tree(int depth, int width) {
    int sum = 1;
    if (depth == 0)
        return sum;
    for (int k = 0; k < width; k++) {
        int fd[2];
        if (pipe(fd))
            FAIL("pipe");
        pid_t p = fork();
        if (p < 0)
            FAIL("fork");
        if (p == 0) {
            int n = tree(depth - 1, width);
            write(fd[1], &n, sizeof n);
            _exit(0);
        }
        int n = 0;
        close(fd[1]);
        if (read(fd[0], &n, sizeof n) != sizeof n)
            FAIL("read");
        close(fd[0]);
        sum += n;
        reap(p);
    }
    return sum;
}
static void nested(int rounds) {
    while (rounds--) {
        if (tree(5, 2) != 63)
            FAIL("tree");
        if (tree(40, 1) != 41)
            FAIL("chain");
    }
}

// A ring of processes hands a counter round.
static void ring(int rounds) {
    enum { N = 12 };
    int fd[N][2];
    pid_t p[N];
    for (int i = 0; i < N; i++)
        if (pipe(fd[i]))
            FAIL("pipe");
    for (int i = 1; i < N; i++)
        if ((p[i] = fork()) == 0) {
            for (int i = 1; i < N; i++)
                ;
            int v;
            for (int k = 0; k < rounds; k++) {
                if (read(fd[i - 1][0], &v, sizeof v) != sizeof v)
                    _exit(1);
                v++;
                if (write(fd[i][1], &v, sizeof v) != sizeof v)
                    _exit(1);
            }
            _exit(0);
        }
    for (int k = 0; k < rounds; k++) {
        int v = k;
        write(fd[0][1], &v, sizeof v);
        if (read(fd[N - 1][0], &v, sizeof v) != sizeof v || v != k + N - 1)
            FAIL("ring %d %d", k, v);
    }
    for (int i = 1; i < N; i++)
        if (reap(p[i]))
            FAIL("status");
    for (int i = 0; i < N; i++)
        close(fd[i][0]), close(fd[i][1]);
}

// Every sent real-time signal arrives once and in order, while classic ones and timers fly about.
static volatile int rt_seen, rt_bad, other;
static void on_rt(int s, siginfo_t *i, void *c) {
    if (i->si_value.sival_int != rt_seen)
        rt_bad = 1;
    rt_seen++;
}
static void on_other(int s) { other++; }
static void signals(int rounds) {
    int go[2];
    pipe(go);
    pid_t p = fork();
    if (p == 0) {
        struct sigaction a = {.sa_sigaction = on_rt, .sa_flags = SA_SIGINFO | SA_RESTART};
        sigfillset(&a.sa_mask);
        sigaction(SIGRTMIN, &a, 0);
        a.sa_handler = on_other;
        a.sa_flags = SA_RESTART;
        sigaction(SIGUSR1, &a, 0);
        sigaction(SIGALRM, &a, 0);
        struct itimerval t = {{0, 700}, {0, 700}};
        setitimer(ITIMER_REAL, &t, 0);
        write(go[1], "x", 1);
        volatile double x = 1.0;
        while (rt_seen < rounds) {
            for (int i = 0; i < 100; i++) {
                double before = x;
                x = x * 1.0 + 1.0;
                if (x != before + 1.0)
                    _exit(3);
            }
            if (rt_seen & 1)
                getppid();
        }
        memset(&t, 0, sizeof t);
        setitimer(ITIMER_REAL, &t, 0);
        _exit(rt_bad ? 2 : 0);
    }
    char c;
    read(go[0], &c, 1);
    for (int i = 0; i < rounds;) {
        union sigval v = {.sival_int = i};
        if (sigqueue(p, SIGRTMIN, v) == 0)
            i++;
        else if (errno == EAGAIN)
            sched_yield();
        else
            FAIL("sigqueue %d", i);
        kill(p, SIGUSR1);
    }
    int s = reap(p);
    if (s)
        FAIL("signals: child status %x", s);
    close(go[0]), close(go[1]);
}

// Threads start, add, end; a mutex and a thread-local value are checked.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long total;
static __thread long mine;
static void *adder(void *n) {
    mine = (long)n;
    double d = (long)n;
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&lock);
        total += 1;
        pthread_mutex_unlock(&lock);
        d += 0.5;
        if (i % 16 == 0)
            sched_yield();
        if (mine != (long)n)
            FAIL("tls");
    }
    if (d != (long)n + 25.0)
        FAIL("fpu");
    return n;
}
static void threads(int rounds) {
    for (int r = 0; r < rounds; r++) {
        pthread_t t[10];
        total = 0;
        for (long i = 0; i < 10; i++)
            if ((errno = pthread_create(&t[i], 0, adder, (void *)i)))
                FAIL("create");
        for (long i = 0; i < 10; i++) {
            void *v;
            pthread_join(t[i], &v);
            if ((long)v != i)
                FAIL("join");
        }
        if (total != 500)
            FAIL("total %ld", total);
    }
}

static int futex(int *a, int op, int v, void *t) { return syscall(SYS_futex, a, op, v, t, 0, 0); }
struct pair {
    int a, b, rounds, shared;
};
static void pong(struct pair *s) {
    int op = s->shared ? 0 : FUTEX_PRIVATE_FLAG;
    for (int k = 0; k < s->rounds; k++) {
        while (__atomic_load_n(&s->a, __ATOMIC_SEQ_CST) == k)
            futex(&s->a, FUTEX_WAIT | op, k, 0);
        __atomic_store_n(&s->b, k + 1, __ATOMIC_SEQ_CST);
        futex(&s->b, FUTEX_WAKE | op, 1, 0);
    }
}
static void ping(struct pair *s) {
    int op = s->shared ? 0 : FUTEX_PRIVATE_FLAG;
    for (int k = 0; k < s->rounds; k++) {
        __atomic_store_n(&s->a, k + 1, __ATOMIC_SEQ_CST);
        futex(&s->a, FUTEX_WAKE | op, 1, 0);
        while (__atomic_load_n(&s->b, __ATOMIC_SEQ_CST) == k)
            futex(&s->b, FUTEX_WAIT | op, k, 0);
    }
}
static void *pong_thread(void *s) { return pong(s), (void *)0; }
static void futexes(int rounds) {
    struct pair *s = mmap(0, 4096 * 4, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4; i++)
        s[i].rounds = rounds, s[i].shared = i & 1;
    pthread_t t[4];
    pid_t p[4];
    for (int i = 0; i < 4; i++)
        if (i & 1) {
            if ((p[i] = fork()) == 0)
                pong(&s[i]), _exit(0);
        } else
            pthread_create(&t[i], 0, pong_thread, &s[i]);
    for (int i = 1; i < 4; i++)
        if (fork() == 0) { // each pair's other end is somebody else, too
            if (i & 1)
                ping(&s[i]);
            _exit(0);
        }
    ping(&s[0]);
    ping(&s[2]);
    pthread_join(t[0], 0), pthread_join(t[2], 0);
    while (wait(0) > 0)
        ;
    for (int i = 0; i < 4; i++)
        if (s[i].b != rounds)
            FAIL("pair %d %d", i, s[i].b);
    munmap(s, 4096 * 4);
}

// Private and shared pages under fork, unmap, protection and threads: every page holds a pattern of its own.
static void cow(int rounds) {
    enum { PAGES = 700 };
    volatile uint64_t *m = mmap(0, PAGES * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile uint64_t *sh = mmap(0, 64 * 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED || sh == MAP_FAILED)
        FAIL("mmap");
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < PAGES; i++)
            m[i * 512 + i % 512] = (uint64_t)r << 32 | i;
        pid_t p[4];
        for (int k = 0; k < 4; k++)
            if ((p[k] = fork()) == 0) {
                for (int i = k; i < PAGES; i += 1 + k) {
                    if (m[i * 512 + i % 512] != ((uint64_t)r << 32 | i))
                        FAIL("child %d sees %lx on page %d of round %d", k, m[i * 512 + i % 512], i, r);
                    m[i * 512 + i % 512] = ~0ULL - k;
                }
                uint64_t at = rnd() % (PAGES - 100);
                munmap((void *)(m + at * 512), 50 * 4096);
                mprotect((void *)(m + (at + 50) * 512), 50 * 4096, PROT_READ);
                pid_t g = fork();
                if (g == 0) {
                    for (int i = k; i < PAGES; i += 1 + k)
                        if ((i < at || i >= at + 50) && m[i * 512 + i % 512] != ~0ULL - k)
                            FAIL("grandchild");
                    _exit(0);
                }
                if (reap(g))
                    _exit(1);
                __atomic_add_fetch(&sh[(r % 64) * 512], 1, __ATOMIC_SEQ_CST);
                _exit(0);
            }
        // The parent writes while children read.
        for (int i = 0; i < PAGES; i++)
            m[i * 512 + i % 512] = (uint64_t)r << 33 | i;
        for (int k = 0; k < 4; k++)
            if (reap(p[k]))
                FAIL("cow child");
        for (int i = 0; i < PAGES; i++)
            if (m[i * 512 + i % 512] != ((uint64_t)r << 33 | i))
                FAIL("parent page %d", i);
    }
    if (sh[0] < (uint64_t)(rounds + 63) / 64 * 4)
        FAIL("shared %ld", (long)sh[0]);
    munmap((void *)m, PAGES * 4096), munmap((void *)sh, 64 * 4096);
}

// Threads map, write, check, protect and unmap in one space at once: shoot-downs.
static volatile int faults;
static void on_segv(int s, siginfo_t *i, void *c) {
    faults++;
    mprotect((void *)((uintptr_t)i->si_addr & ~4095UL), 4096, 3);
}
static int map_rounds;
static void *mapper(void *n) {
    uint64_t x = (uint64_t)n * 7919 + seed;
    for (int r = 0; r < map_rounds; r++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t pages = 1 + (x >> 40) % 40;
        volatile uint64_t *m = mmap(0, pages * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED)
            FAIL("map");
        for (size_t i = 0; i < pages; i++) {
            if (m[i * 512])
                FAIL("not zero");
            m[i * 512] = x + i;
        }
        mprotect((void *)m, pages * 4096, PROT_READ);
        m[0] = x; // faults, the handler opens it
        if (r % 8 == 0)
            madvise((void *)m, 4096, MADV_DONTNEED), m[0] = x;
        for (size_t i = 0; i < pages; i++)
            if (m[i * 512] != x + i)
                FAIL("thread %ld page %zu", (long)n, i);
        munmap((void *)m, pages * 4096);
    }
    return 0;
}
static void maps(int rounds) {
    struct sigaction a = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, 0);
    map_rounds = rounds;
    pthread_t t[6];
    for (long i = 0; i < 6; i++)
        pthread_create(&t[i], 0, mapper, (void *)i);
    for (int i = 0; i < rounds / 4; i++) {
        pid_t p = fork();
        if (p == 0)
            _exit(0);
        if (p > 0)
            reap(p);
    }
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], 0);
    signal(SIGSEGV, SIG_DFL);
    if (faults == 0)
        FAIL("no faults");
}

static char self[256];
static void execs(int rounds) {
    for (int i = 0; i < rounds; i++) {
        pid_t p = i % 3 == 0 ? vfork() : fork();
        if (p == 0) {
            char n[16];
            snprintf(n, sizeof n, "%d", i & 0x7f);
            execl(self, "storm", "exit", n, (char *)0);
            _exit(126);
        }
        int s = reap(p);
        if (s != (i & 0x7f) << 8)
            FAIL("exec status %x", s);
    }
}

// Threads everywhere, then one executes, ends the group, or is killed.
static void *spin(void *n) {
    for (;;)
        if (n)
            sched_yield();
    return 0;
}
static void *sleeper(void *n) {
    for (;;)
        pause();
}
static void *executor(void *n) {
    usleep((long)n);
    execl(self, "storm", "exit", "42", (char *)0);
    return 0;
}
static void *ender(void *n) {
    usleep((long)n);
    exit_group:
    syscall(SYS_exit_group, 43);
    goto exit_group;
}
static void groups(int rounds) {
    for (int i = 0; i < rounds; i++) {
        int kind = i % 5;
        pid_t p = fork();
        if (p == 0) {
            pthread_t t;
            for (long k = 0; k < 6; k++)
                pthread_create(&t, 0, k & 1 ? sleeper : spin, (void *)(k & 2));
            long us = rnd() % 3000;
            if (kind == 0 || kind == 3)
                for (int k = 0; k < 3; k++)
                    pthread_create(&t, 0, executor, (void *)us);
            if (kind == 1 || kind == 3)
                for (int k = 0; k < 3; k++)
                    pthread_create(&t, 0, ender, (void *)us);
            if (kind == 4)
                syscall(SYS_exit, 9); // the leader first: a zombie with live threads
            for (;;)
                pause();
        }
        if (kind == 2 || kind == 4) {
            usleep(rnd() % 3000);
            kill(p, SIGKILL);
        }
        int s = reap(p);
        int ok = kind == 0 ? s == 42 << 8 : kind == 1 ? s == 43 << 8 : kind == 3 ? s == 42 << 8 || s == 43 << 8 : s == 9;
        if (!ok)
            FAIL("kind %d status %x", kind, s);
    }
}

// Stops and continues against exits and waits.
static void stops(int rounds) {
    for (int i = 0; i < rounds; i++) {
        pid_t p = fork();
        if (p == 0)
            for (volatile int x = 0;; x++)
                if (x % 64 == 0)
                    getppid();
        int s;
        kill(p, SIGSTOP);
        if (waitpid(p, &s, WUNTRACED) != p || !WIFSTOPPED(s))
            FAIL("stop %x", s);
        kill(p, SIGCONT);
        if (waitpid(p, &s, WCONTINUED) != p || !WIFCONTINUED(s))
            FAIL("continue %x", s);
        if (i & 1)
            kill(p, SIGSTOP);
        kill(p, i & 2 ? SIGTERM : SIGKILL);
        if (i & 1)
            kill(p, SIGCONT);
        s = reap(p);
        if (!WIFSIGNALED(s))
            FAIL("end %x", s);
    }
}

// Vector registers, TLS and general registers keep their values whatever happens between.
static void registers(int rounds) {
    enum { N = 8 };
    pid_t p[N];
    for (long k = 0; k < N; k++)
        if ((p[k] = fork()) == 0) {
            struct itimerval t = {{0, 500 + k * 10}, {0, 500}};
            signal(SIGALRM, on_other);
            setitimer(ITIMER_REAL, &t, 0);
            for (int r = 0; r < rounds; r++) {
                uint64_t want = (uint64_t)k * 0x0101010101010101ULL + r, got[2], rbx, r15;
                asm volatile("movq %4, %%xmm7; movq %4, %%xmm15; mov %4, %%rbx; mov %4, %%r15\n"
                             "mov $3000, %%ecx\n1: pause; loop 1b\n"
                             "mov $39, %%eax; syscall; mov $24, %%eax; syscall\n"
                             "movq %%xmm7, %0; movq %%xmm15, %1; mov %%rbx, %2; mov %%r15, %3"
                             : "=&r"(got[0]), "=&r"(got[1]), "=&r"(rbx), "=&r"(r15)
                             : "r"(want)
                             : "rax", "rbx", "rcx", "r11", "r15", "xmm7", "xmm15", "memory");
                if (got[0] != want || got[1] != want || rbx != want || r15 != want)
                    FAIL("registers of %ld: %lx %lx %lx %lx, not %lx", k, got[0], got[1], rbx, r15, want);
            }
            _exit(0);
        }
    for (int k = 0; k < N; k++)
        if (reap(p[k]))
            FAIL("registers");
}

// Timers of a microsecond may slow the machine, but it goes on, and the timers' owner can be killed.
static void timers(int rounds) {
    pid_t p[4];
    for (int k = 0; k < 4; k++)
        if ((p[k] = fork()) == 0) {
            signal(SIGALRM, k & 1 ? SIG_IGN : on_other);
            struct itimerval t = {{0, 1}, {0, 1}};
            setitimer(ITIMER_REAL, &t, 0);
            for (;;)
                ;
        }
    for (int i = 0; i < rounds; i++) {
        struct timespec t = {0, 1 + rnd() % 200000};
        nanosleep(&t, 0);
    }
    for (int k = 0; k < 4; k++)
        kill(p[k], SIGKILL), reap(p[k]);
    // Far timers set again and again take no memory.
    for (int i = 0; i < rounds * 50; i++)
        alarm(100000 + i);
    alarm(0);
}

int main(int c, char **v) {
    static const struct {
        const char *name;
        void (*run)(int);
    } modes[] = {{"forks", forks},   {"nested", nested}, {"ring", ring},       {"signals", signals},
                 {"threads", threads}, {"futexes", futexes}, {"cow", cow},     {"maps", maps},
                 {"execs", execs},   {"groups", groups}, {"stops", stops},     {"registers", registers},
                 {"timers", timers}};
    if (c > 2 && !strcmp(v[1], "exit"))
        return atoi(v[2]);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        strcpy(self, v[0]);
    int rounds = c > 2 ? atoi(v[2]) : 10;
    if (c > 3)
        seed = strtoull(v[3], 0, 0) | 1;
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
        if (c < 2 || !strcmp(v[1], modes[i].name) || !strcmp(v[1], "all")) {
            modes[i].run(rounds);
            printf("%s ok\n", modes[i].name);
            fflush(stdout);
        }
    return 0;
}
