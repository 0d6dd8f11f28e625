// Signals that cannot be refused, stops and continuations, process 1, and which thread gets what.
#include "check.h"
#include <sys/prctl.h>
static volatile int n;
static volatile int order[32];
static void h(int s) {
    if (n < 32)
        order[n] = s;
    n++;
}
static int gate[2];
static volatile pid_t tid, who;
static void note(int s) {
    who = (pid_t)syscall(SYS_gettid);
    n++;
    (void)s;
}
static void *loops(void *a) {
    tid = (pid_t)syscall(SYS_gettid);
    for (;;)
        pause();
    return a;
}
static void *blocks_all(void *a) {
    sigset_t m;
    sigfillset(&m);
    pthread_sigmask(SIG_BLOCK, &m, 0);
    tid = (pid_t)syscall(SYS_gettid);
    for (;;)
        pause();
    return a;
}
static void *takes_then_blocks(void *a) {
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, SIGUSR1);
    tid = (pid_t)syscall(SYS_gettid);
    int s;
    sigwait(&m, &s);
    who = tid;
    return a;
}
int main(void) {
    int s;
    siginfo_t i;
    struct sigaction a = {.sa_handler = h}, o;
    sigset_t m, pend;
    // 12: not caught, not ignored, not blocked
    signal(SIGUSR1, SIG_IGN);
    SHOW(syscall(SYS_rt_sigaction, SIGKILL, 0, &o, 8));
    SHOW(syscall(SYS_rt_sigaction, SIGSTOP, &a, 0, 8));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, &a, 0, 4));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, 8, 0, 8));
    SHOW(syscall(SYS_rt_sigprocmask, 9, &m, 0, 8));
    SHOW(syscall(SYS_rt_sigprocmask, 9, 0, 0, 8));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, 0, 8));
    SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &m, 0, 9));
    SHOW(syscall(SYS_rt_sigpending, &pend, 9));
    CHILD("kill with all blocked", sigfillset(&m); sigprocmask(SIG_SETMASK, &m, 0); kill(getpid(), SIGKILL); pause());
    a.sa_flags = SA_NODEFER | SA_RESETHAND;
    sigfillset(&a.sa_mask);
    sigaction(SIGUSR1, &a, 0);
    sigaction(SIGUSR1, 0, &o);
    SAY("mask kept: kill %d stop %d usr2 %d, flags %x\n", sigismember(&o.sa_mask, SIGKILL), sigismember(&o.sa_mask, SIGSTOP),
        sigismember(&o.sa_mask, SIGUSR2), o.sa_flags & 0x7fffffff & ~0x04000000);
    a = (struct sigaction){.sa_handler = h};
    // Flags the kernel does not know are not kept (SA_UNSUPPORTED asks for that).
    a.sa_flags = 0x400 | 0x800 | 0x100;
    sigaction(SIGUSR1, &a, 0);
    sigaction(SIGUSR1, 0, &o);
    SAY("unknown flags %x\n", o.sa_flags & ~0x04000000);
    a.sa_flags = 0;
    // process 1 is deaf to what it has no handler for
    SHOW(kill(1, SIGKILL));
    SHOW(kill(1, SIGSTOP));
    SHOW(kill(1, SIGPROF));
    SHOW(kill(1, 0));
    // 13: a stop discards SIGCONT, and SIGCONT discards stops, blocked or not
    sigfillset(&m);
    sigprocmask(SIG_SETMASK, &m, 0);
    kill(getpid(), SIGTSTP), kill(getpid(), SIGTTIN), kill(getpid(), SIGTTOU);
    sigpending(&pend);
    SAY("pending stops %d%d%d\n", sigismember(&pend, SIGTSTP), sigismember(&pend, SIGTTIN), sigismember(&pend, SIGTTOU));
    kill(getpid(), SIGCONT);
    sigpending(&pend);
    SAY("after cont %d%d%d cont %d\n", sigismember(&pend, SIGTSTP), sigismember(&pend, SIGTTIN),
        sigismember(&pend, SIGTTOU), sigismember(&pend, SIGCONT));
    kill(getpid(), SIGTTIN);
    sigpending(&pend);
    SAY("after stop %d cont %d\n", sigismember(&pend, SIGTTIN), sigismember(&pend, SIGCONT));
    kill(getpid(), SIGCONT);
    sigemptyset(&m);
    sigprocmask(SIG_SETMASK, &m, 0);
    pipe(gate);
    pid_t p = fork();
    if (!p) {
        sigfillset(&m);
        sigprocmask(SIG_SETMASK, &m, 0);
        signal(SIGCONT, SIG_IGN);
        give(gate);
        for (;;)
            pause();
    }
    take(gate);
    kill(p, SIGSTOP);
    SHOW(waitpid(p, &s, WUNTRACED) == p);
    kill(p, SIGTERM); // blocked and stopped: waits
    SHOW(waitpid(p, &s, WNOHANG));
    kill(p, SIGCONT);
    SHOW(waitpid(p, &s, WCONTINUED) == p);
    status("continued though ignored and blocked", s);
    // a second stop of a stopped one says nothing; a continuation of a running one neither
    kill(p, SIGCONT);
    SHOW(waitpid(p, &s, WCONTINUED | WNOHANG));
    kill(p, SIGSTOP);
    SHOW(waitpid(p, &s, WUNTRACED) == p);
    kill(p, SIGSTOP);
    SHOW(waitpid(p, &s, WUNTRACED | WNOHANG));
    // 14: killed while stopped
    kill(p, SIGKILL);
    reap("killed while stopped", p);
    // a stopped one takes other signals when continued, in their order
    if (!(p = fork())) {
        sigaction(SIGUSR2, &a, 0);
        sigaction(SIGHUP, &a, 0);
        sigaction(SIGCONT, &a, 0);
        n = 0;
        raise(SIGSTOP);
        // lower numbers first, nested: the last one built runs first
        SAY("handlers %d, in order %d %d %d\n", n, order[0], order[1], order[2]);
        _exit(n);
    }
    SHOW(waitpid(p, &s, WUNTRACED) == p);
    kill(p, SIGUSR2), kill(p, SIGHUP);
    SHOW(waitpid(p, &s, WNOHANG));
    kill(p, SIGCONT);
    reap("handlers", p);
    // stops by each of the four, and their defaults
    int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (int k = 0; k < 4; k++) {
        if (!(p = fork()))
            for (;;)
                pause();
        kill(p, stops[k]);
        waitpid(p, &s, WUNTRACED);
        status("stopped", s);
        kill(p, SIGKILL);
        reap("then", p);
    }
    // a stop stops every thread, and tells once
    if (!(p = fork())) {
        pthread_t t;
        pthread_create(&t, 0, loops, 0);
        pthread_create(&t, 0, loops, 0);
        pause();
    }
    ms(20);
    kill(p, SIGSTOP);
    SHOW(waitpid(p, &s, WUNTRACED) == p);
    SHOW(waitpid(p, &s, WUNTRACED | WNOHANG));
    SHOW(await(p, "T"));
    kill(p, SIGCONT);
    SHOW(waitpid(p, &s, WCONTINUED) == p);
    kill(p, SIGKILL);
    reap("threads", p);
    // every signal's default, in a child
    for (int k = 1; k < 32; k++) {
        if (k == SIGSTOP || k == SIGTSTP || k == SIGTTIN || k == SIGTTOU)
            continue;
        char name[32];
        snprintf(name, sizeof name, "default of %d", k);
        CHILD(name, struct rlimit z = {0}; setrlimit(RLIMIT_CORE, &z); signal(k, SIG_DFL); kill(getpid(), k));
    }
    CHILD("default of the last real-time one", kill(getpid(), 64));
    // 40: order. Lowest number first; real-time ones of one number in the order they were sent
    n = 0;
    sigfillset(&m);
    sigprocmask(SIG_SETMASK, &m, 0);
    int all[] = {SIGRTMAX, SIGRTMIN + 2, SIGUSR2, SIGTERM, SIGUSR1, SIGHUP, SIGALRM};
    for (int k = 0; k < 7; k++) {
        struct sigaction q = {.sa_handler = h};
        sigfillset(&q.sa_mask);
        sigaction(all[k], &q, 0);
        kill(getpid(), all[k]);
    }
    sigemptyset(&m);
    sigprocmask(SIG_SETMASK, &m, 0);
    SAY("order:");
    for (int k = 0; k < n; k++)
        SAY(" %d", order[k]);
    SAY("\n");
    // thread-directed before process-directed
    sigfillset(&m);
    sigprocmask(SIG_SETMASK, &m, 0);
    n = 0;
    kill(getpid(), SIGHUP);
    syscall(SYS_tgkill, getpid(), getpid(), SIGTERM);
    sigemptyset(&m);
    sigprocmask(SIG_SETMASK, &m, 0);
    SAY("own first: %d %d\n", order[0], order[1]);
    // to the process: whoever does not block it
    pthread_t t;
    pthread_create(&t, 0, loops, 0);
    while (!tid)
        ms(1);
    await_thread(getpid(), tid, "S");
    sigemptyset(&m);
    sigaddset(&m, SIGUSR1);
    sigprocmask(SIG_BLOCK, &m, 0);
    struct sigaction nt = {.sa_handler = note};
    sigaction(SIGUSR1, &nt, 0);
    sigaction(SIGUSR2, &nt, 0);
    n = 0;
    kill(getpid(), SIGUSR1);
    while (!n)
        ms(1);
    SAY("to the thread %d\n", who == tid);
    // the first thread is preferred when it can
    n = 0;
    kill(getpid(), SIGUSR2);
    while (!n)
        ;
    SAY("to the leader %d\n", who == getpid());
    pthread_cancel(t);
    pthread_join(t, 0);
    tid = 0;
    // all block it: pending for all, taken by whoever unblocks or waits
    pthread_create(&t, 0, blocks_all, 0);
    while (!tid)
        ms(1);
    n = 0;
    kill(getpid(), SIGUSR1);
    sigpending(&pend);
    SAY("pending %d ran %d\n", sigismember(&pend, SIGUSR1), n);
    tid = 0, who = 0;
    pthread_t t2;
    pthread_create(&t2, 0, takes_then_blocks, 0);
    pthread_join(t2, 0);
    SAY("taken by the one that waits %d\n", who == tid && n == 0);
    // to a thread that ended: ESRCH; wrong group: ESRCH
    while (!syscall(SYS_tgkill, getpid(), tid, 0))
        sched_yield(); // joined a little before it is gone
    SHOW(syscall(SYS_tgkill, getpid(), tid, 0));
    SHOW(syscall(SYS_tkill, tid, 0));
    SHOW(syscall(SYS_tgkill, getppid(), getpid(), 0));
    SHOW(syscall(SYS_tgkill, getpid(), getpid(), 65));
    SHOW(syscall(SYS_tgkill, 0, getpid(), 0));
    SHOW(syscall(SYS_tgkill, getpid(), 0, 0));
    SHOW(syscall(SYS_tgkill, -1, getpid(), 0));
    SHOW(syscall(SYS_tkill, 0, 0));
    SHOW(syscall(SYS_tkill, -1, 0));
    SHOW(syscall(SYS_tkill, 999999, 0));
    // nested, deferred and reset
    CHILD("SA_NODEFER off", struct sigaction x = {.sa_handler = h}; sigaction(SIGUSR2, &x, 0); sigprocmask(0, 0, &m);
          SAY("not blocked outside %d\n", !sigismember(&m, SIGUSR2)));
    // an ignored signal is dropped even while blocked, except that it becomes pending when not ignored
    sigfillset(&m);
    sigprocmask(SIG_SETMASK, &m, 0);
    signal(SIGUSR1, SIG_IGN);
    kill(getpid(), SIGUSR1);
    sigpending(&pend);
    SAY("ignored and blocked: pending %d\n", sigismember(&pend, SIGUSR1));
    signal(SIGUSR1, SIG_DFL);
    kill(getpid(), SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sigpending(&pend);
    SAY("dropped by being ignored: pending %d\n", sigismember(&pend, SIGUSR1));
    kill(getpid(), SIGCHLD);
    sigpending(&pend);
    SAY("ignored by default, blocked: pending %d\n", sigismember(&pend, SIGCHLD));
    signal(SIGCHLD, SIG_DFL);
    sigpending(&pend);
    SAY("and after setting the default: pending %d\n", sigismember(&pend, SIGCHLD));
}
