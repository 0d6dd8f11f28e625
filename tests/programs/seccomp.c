// Call filters: every action, stacking, inheritance, threads, the strict set, and what is refused.
#include "check.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <ucontext.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF_CALL(nr, answer) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, answer)
#define RETURN(answer) BPF_STMT(BPF_RET | BPF_K, answer)

static long sec(unsigned op, unsigned flags, void *arg) { return syscall(SYS_seccomp, op, flags, arg); }
static long put(struct sock_filter *f, unsigned short n, unsigned flags) {
    struct sock_fprog p = {n, f};
    return sec(SECCOMP_SET_MODE_FILTER, flags, &p);
}
#define PUT(flags, ...)                                                                                                \
    ({                                                                                                                 \
        struct sock_filter f_[] = {__VA_ARGS__};                                                                       \
        put(f_, sizeof f_ / sizeof *f_, flags);                                                                        \
    })
// A filter that answers one call so and allows the rest.
#define ANSWER(call, answer) PUT(0, LOAD(nr), IF_CALL(call, answer), RETURN(SECCOMP_RET_ALLOW))
#define nnp() prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

static int field(const char *name) {
    char line[256];
    int value = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            value = atoi(line + strlen(name));
    if (f)
        fclose(f);
    return value;
}
static volatile long seen[8];
static void on_sys(int n, siginfo_t *i, void *c) {
    ucontext_t *u = c;
    seen[0] = n, seen[1] = i->si_code, seen[2] = i->si_errno, seen[3] = i->si_syscall, seen[4] = i->si_arch;
    seen[5] = (long)i->si_call_addr == u->uc_mcontext.gregs[REG_RIP];
    seen[6] = u->uc_mcontext.gregs[REG_RAX];
    u->uc_mcontext.gregs[REG_RAX] = 4242;
}
static void *asks(void *wait) {
    if (wait)
        usleep(30000);
    errno = 0;
    long r = syscall(SYS_getppid);
    return (void *)(r == -1 ? (long)errno : 0L);
}
static void *dies(void *a) {
    (void)a;
    syscall(SYS_getppid);
    return (void *)1;
}
static pthread_barrier_t gate;
static void *diverges(void *a) {
    (void)a;
    ANSWER(SYS_getpgid, SECCOMP_RET_ERRNO | 9);
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    return 0;
}
static void *waits(void *a) {
    (void)a;
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&gate);
    errno = 0;
    syscall(SYS_getppid);
    return (void *)(long)(errno * 10 + prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

int main(int argc, char **argv) {
    if (argc > 1) {
        // After exec: the filter is still there.
        SHOW(syscall(SYS_getppid));
        return 3;
    }
    int outer = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);

    // What is refused.
    SHOW(sec(77, 0, 0));
    SHOW(sec(SECCOMP_SET_MODE_STRICT, 1, 0));
    SHOW(sec(SECCOMP_SET_MODE_STRICT, 0, &outer));
    SHOW(sec(SECCOMP_SET_MODE_FILTER, 0x8000, 0));
    SHOW(sec(SECCOMP_SET_MODE_FILTER, 0, 0));
    SHOW(prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_SECCOMP, 9, 0, 0, 0));
    SHOW(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0, 0, 0));
    CHILD("bad programs", {
        SHOW(nnp());
        SHOW(put(0, 0, 0));
        SHOW(put(0, 5000, 0));
        SHOW(put((void *)8, 1, 0));
        SHOW(PUT(0, LOAD(nr)));
        SHOW(PUT(0, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_ST, 16), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(0xffff, 1), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(PUT(0, BPF_STMT(BPF_RET | BPF_X, 0)));
        SHOW(PUT(0, BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_ST, 1), BPF_STMT(BPF_LDX | BPF_MEM, 1),
                 BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_MISC | BPF_TAX, 0),
                 RETURN(SECCOMP_RET_ALLOW)));
    });
    CHILD("without privilege", {
        if (setresuid(1000, 1000, 1000))
            SAY("setresuid failed\n");
        SHOW(ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | 7));
        SHOW(nnp());
        SHOW(ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | 7));
        SHOW(syscall(SYS_getppid));
    });
    unsigned known[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                        SECCOMP_RET_TRACE,        SECCOMP_RET_LOG,         SECCOMP_RET_ALLOW, 0x12340000};
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        SHOW(sec(SECCOMP_GET_ACTION_AVAIL, 0, &known[i]));
    SHOW(sec(SECCOMP_GET_ACTION_AVAIL, 1, &known[0]));
    SHOW(sec(SECCOMP_GET_ACTION_AVAIL, 0, (void *)8));

    // Every action.
    CHILD("errno", {
        nnp();
        SHOW(ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV));
        SHOW(syscall(SYS_getppid));
        SHOW(ANSWER(SYS_getpgid, SECCOMP_RET_ERRNO | 0));
        SHOW(syscall(SYS_getpgid, 0));
        SHOW(ANSWER(SYS_getsid, SECCOMP_RET_ERRNO | 0xffff));
        SAY("%ld\n", ({ long r; __asm__ volatile("syscall" : "=a"(r) : "0"(SYS_getsid), "D"(0) : "rcx", "r11", "memory"); r; }));
        SHOW(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
        SAY("Seccomp %d\n", field("Seccomp:"));
        SAY("NoNewPrivs %d\n", field("NoNewPrivs:"));
        SHOW(sec(SECCOMP_SET_MODE_STRICT, 0, 0));
        TRY(getpid());
        // A call that waits, and one interrupted by a handler.
        ms(5);
        CHILD("grandchild", SHOW(syscall(SYS_getppid)));
    });
    CHILD("number of filters", {
        nnp();
        int before = field("Seccomp_filters:");
        for (int i = 0; i < 5; i++)
            PUT(0, RETURN(SECCOMP_RET_ALLOW));
        SAY("%d more\n", field("Seccomp_filters:") - before);
    });
    CHILD("kill process", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
        signal(SIGSYS, SIG_IGN);
        SAY("before\n");
        syscall(SYS_getppid);
        SAY("not reached\n");
    });
    CHILD("kill thread, the only one", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_KILL_THREAD | 5);
        syscall(SYS_getppid);
        SAY("not reached\n");
    });
    CHILD("kill thread, one of two", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_KILL_THREAD);
        pthread_t t;
        void *r = (void *)7;
        pthread_create(&t, 0, dies, 0);
        ms(50);
        SAY("alive, %d left\n", field("Threads:"));
    });
    CHILD("unknown action", {
        nnp();
        ANSWER(SYS_getppid, 0x00010000);
        syscall(SYS_getppid);
        SAY("not reached\n");
    });
    CHILD("trap", {
        nnp();
        struct sigaction a = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
        sigaction(SIGSYS, &a, 0);
        ANSWER(SYS_getppid, SECCOMP_RET_TRAP | 77);
        SHOW(syscall(SYS_getppid));
        SAY("sig %ld code %ld errno %ld call %ld arch %d addr %ld rax %ld\n", seen[0], seen[1], seen[2],
            seen[3] - SYS_getppid, (unsigned)seen[4] == AUDIT_ARCH_X86_64, seen[5], seen[6] - SYS_getppid);
    });
    CHILD("trap, blocked", {
        nnp();
        struct sigaction a = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
        sigaction(SIGSYS, &a, 0);
        sigset_t s;
        sigemptyset(&s), sigaddset(&s, SIGSYS);
        sigprocmask(SIG_BLOCK, &s, 0);
        ANSWER(SYS_getppid, SECCOMP_RET_TRAP);
        syscall(SYS_getppid);
        SAY("not reached\n");
    });
    CHILD("trace without tracer", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_TRACE | 3);
        SHOW(syscall(SYS_getppid));
    });
    CHILD("supervisor without one", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_USER_NOTIF);
        SHOW(syscall(SYS_getppid));
    });
    CHILD("log", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_LOG);
        TRY(syscall(SYS_getppid));
    });
    CHILD("stacked", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | 11);
        ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | 12);
        ANSWER(SYS_getppid, SECCOMP_RET_ALLOW);
        ANSWER(SYS_getpgid, SECCOMP_RET_TRACE);
        ANSWER(SYS_getpgid, SECCOMP_RET_ERRNO | 5);
        SHOW(syscall(SYS_getppid));
        SHOW(syscall(SYS_getpgid, 0));
    });
    CHILD("arguments", {
        nnp();
        SHOW(PUT(SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW, LOAD(arch),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0), RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup, 0, 5), LOAD(args[0]),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77, 0, 3),
                 BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 1), RETURN(SECCOMP_RET_ERRNO | EDOM), RETURN(SECCOMP_RET_ALLOW)));
        SHOW(syscall(SYS_dup, 77L | 5L << 32));
        SHOW(syscall(SYS_dup, 77L));
        SHOW(syscall(SYS_dup, 78L | 5L << 32));
    });
    CHILD("calls that wait", {
        nnp();
        int p[2];
        if (pipe(p))
            return 1;
        ANSWER(SYS_sched_yield, SECCOMP_RET_ERRNO | 3);
        SHOW(sched_yield());
        ANSWER(SYS_read, SECCOMP_RET_ERRNO | 2);
        char c;
        SHOW(read(p[0], &c, 1));
        SHOW(write(p[1], "x", 1));
        struct timespec t = {0, 1000};
        SHOW(nanosleep(&t, 0));
        ANSWER(SYS_nanosleep, SECCOMP_RET_ERRNO | 1);
        ANSWER(SYS_clock_nanosleep, SECCOMP_RET_ERRNO | 1);
        SAY("%d\n", nanosleep(&t, 0));
        ANSWER(SYS_wait4, SECCOMP_RET_ERRNO | 13);
        SHOW(wait4(-1, 0, 0, 0));
        ANSWER(SYS_clone, SECCOMP_RET_ERRNO | 14);
        ANSWER(SYS_fork, SECCOMP_RET_ERRNO | 15);
        SHOW(syscall(SYS_fork));
        SHOW(fork());
    });
    CHILD("exec", {
        nnp();
        ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | 33);
        char *v[] = {argv[0], "again", 0};
        execv("/proc/self/exe", v);
        SAY("exec failed\n");
    });
    CHILD("exec refused", {
        nnp();
        ANSWER(SYS_execve, SECCOMP_RET_ERRNO | EACCES);
        char *v[] = {argv[0], "again", 0};
        SHOW(execv("/proc/self/exe", v));
    });

    // Threads.
    CHILD("other threads are not touched", {
        nnp();
        pthread_t t;
        void *r;
        pthread_create(&t, 0, asks, (void *)1);
        ANSWER(SYS_getppid, SECCOMP_RET_ERRNO | 20);
        SHOW(syscall(SYS_getppid));
        pthread_join(t, &r);
        SAY("other %ld\n", (long)r);
        pthread_create(&t, 0, asks, 0);
        pthread_join(t, &r);
        SAY("new %ld\n", (long)r);
    });
    CHILD("all threads at once", {
        nnp();
        pthread_t t[3];
        void *r;
        pthread_barrier_init(&gate, 0, 4);
        for (int i = 0; i < 3; i++)
            pthread_create(&t[i], 0, waits, 0);
        pthread_barrier_wait(&gate);
        SHOW(PUT(SECCOMP_FILTER_FLAG_TSYNC, LOAD(nr), IF_CALL(SYS_getppid, SECCOMP_RET_ERRNO | 21), RETURN(SECCOMP_RET_ALLOW)));
        pthread_barrier_wait(&gate);
        for (int i = 0; i < 3; i++) {
            pthread_join(t[i], &r);
            SAY("thread %ld\n", (long)r);
        }
    });
    CHILD("a thread of its own mind", {
        nnp();
        pthread_t t;
        pthread_barrier_init(&gate, 0, 2);
        pthread_create(&t, 0, diverges, 0);
        pthread_barrier_wait(&gate);
        struct sock_filter f[] = {RETURN(SECCOMP_RET_ALLOW)};
        SAY("its number: %d\n", put(f, 1, SECCOMP_FILTER_FLAG_TSYNC) > 0);
        SHOW(put(f, 1, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH));
        SHOW(put(f, 1, 0));
        pthread_barrier_wait(&gate);
        pthread_join(t, 0);
    });
    CHILD("too many", {
        nnp();
        static struct sock_filter f[4096];
        for (int i = 0; i < 4096; i++)
            f[i] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
        errno = 0;
        int n = 0;
        while (n < 100 && put(f, 4096, 0) == 0)
            n++;
        SAY("ended %s, some %d\n", strerrorname_np(errno), n > 0 && n < 9);
    });

    // The strict set. Where this program already is under a filter, it cannot be had.
    static const char *strict = "strict exit: exited 9 (0x900)\nstrict: killed by 9 (0x9)\nstrict, exit_group: killed by 9 (0x9)\n";
    if (outer) {
        SAY("%s", strict);
    } else {
        CHILD("strict exit", {
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
            syscall(SYS_write, 1, "", 0);
            syscall(SYS_exit, 9);
        });
        CHILD("strict", {
            sec(SECCOMP_SET_MODE_STRICT, 0, 0);
            syscall(SYS_getpid);
            syscall(SYS_exit, 8);
        });
        CHILD("strict, exit_group", {
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
            syscall(SYS_exit_group, 8);
        });
    }
    return 0;
}
