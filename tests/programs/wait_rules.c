// Who may be waited for, by whom, how often, and what is told: wait4, waitid, SIGCHLD, threads, vfork.
#include "check.h"
#include <linux/sched.h>
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
static volatile int chld, code, from, value;
static void on_chld(int s, siginfo_t *i, void *u) {
    chld++;
    code = i->si_code;
    from = i->si_pid;
    value = i->si_status;
    (void)s;
    (void)u;
}
static void catch_chld(int flags) {
    struct sigaction a = {.sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | flags};
    sigaction(SIGCHLD, &a, 0);
    chld = 0;
}
static pid_t child_of_main;
static void *waits(void *a) {
    int s;
    SAY("another thread waits: %d\n", waitpid(child_of_main, &s, 0) == child_of_main);
    status("seen by it", s);
    return a;
}
static void *not_mine(void *a) {
    int s;
    SHOW(waitpid(child_of_main, &s, __WNOTHREAD));
    SHOW(waitpid(-1, &s, __WNOTHREAD | WNOHANG));
    return a;
}
static pid_t twins_child;
static void *forks(void *a) {
    twins_child = fork();
    if (!twins_child)
        _exit(12);
    return a;
}
static volatile int leader_left, go;
static int gate[2];
static void *outlives(void *a) {
    take(gate);
    _exit(33);
    return a;
}
static volatile int vfork_order;
static void *runs_during_vfork(void *a) {
    while (!vfork_order)
        sched_yield();
    vfork_order = 2;
    return a;
}
int main(void) {
    int s;
    siginfo_t i;
    // SIGCHLD is there before wait can give the child (trap 3), once, with all it has to say.
    int late = 0, wrong = 0;
    for (int n = 0; n < 200; n++) {
        catch_chld(0);
        pid_t p = fork();
        if (!p)
            _exit(n & 0x7f);
        while (waitpid(p, &s, 0) != p)
            ;
        late += chld != 1;
        wrong += from != p || code != CLD_EXITED || value != (n & 0x7f);
    }
    SAY("late %d wrong %d\n", late, wrong);
    // What the signal tells of each way to change.
    catch_chld(0);
    pid_t p = fork();
    if (!p)
        for (;;)
            pause();
    kill(p, SIGSTOP);
    while (!chld)
        ms(1);
    SAY("stopped: %d %d %d\n", code == CLD_STOPPED, from == p, value);
    chld = 0;
    kill(p, SIGCONT);
    while (!chld)
        ms(1);
    SAY("continued: %d %d %d\n", code == CLD_CONTINUED, from == p, value);
    SHOW(waitpid(p, &s, WUNTRACED | WNOHANG));
    SHOW(waitpid(p, &s, WCONTINUED | WNOHANG) == p);
    status("continued", s);
    chld = 0;
    kill(p, SIGKILL);
    while (!chld)
        ms(1);
    SAY("killed: %d %d %d\n", code == CLD_KILLED, from == p, value);
    reap("killed", p);
    // SA_NOCLDSTOP: no signal for stops, still waited for.
    catch_chld(SA_NOCLDSTOP);
    if (!(p = fork()))
        for (;;)
            pause();
    kill(p, SIGSTOP);
    SHOW(waitpid(p, &s, WUNTRACED) == p);
    kill(p, SIGCONT);
    SHOW(waitpid(p, &s, WCONTINUED) == p);
    SAY("signals %d\n", chld);
    kill(p, SIGKILL);
    reap("end", p);
    SAY("signals %d\n", chld);
    // SA_NOCLDWAIT with a handler: the signal comes, the zombie does not.
    catch_chld(SA_NOCLDWAIT);
    if (!(p = fork()))
        _exit(1);
    SHOW(waitpid(p, &s, 0));
    SAY("signals %d\n", chld);
    // Ignored after the death: the zombie stays.
    signal(SIGCHLD, SIG_DFL);
    if (!(p = fork()))
        _exit(3);
    await(p, "Z");
    signal(SIGCHLD, SIG_IGN);
    SHOW(waitpid(p, &s, 0) == p);
    status("was a zombie before", s);
    // waitpid of one that is reaped by itself waits for it, then ECHILD.
    int f[2];
    pipe(f);
    if (!(p = fork())) {
        ms(50);
        write(f[1], "d", 1);
        _exit(0);
    }
    SHOW(waitpid(p, &s, 0));
    char c = 0;
    fcntl(f[0], F_SETFL, O_NONBLOCK);
    SHOW(read(f[0], &c, 1));
    signal(SIGCHLD, SIG_DFL);
    // Stops are told once, and WNOWAIT leaves them.
    if (!(p = fork()))
        for (;;)
            pause();
    kill(p, SIGTSTP);
    memset(&i, 0, sizeof i);
    SHOW(waitid(P_PID, p, &i, WSTOPPED | WNOWAIT));
    SAY("%d %d %d %d\n", i.si_signo, i.si_code, i.si_status, i.si_uid == getuid());
    SHOW(waitid(P_PID, p, &i, WSTOPPED | WNOWAIT));
    SHOW(waitid(P_PID, p, &i, WSTOPPED));
    memset(&i, 0xff, sizeof i);
    SHOW(waitid(P_PID, p, &i, WSTOPPED | WEXITED | WCONTINUED | WNOHANG));
    SAY("nothing: signo %d pid %d code %d status %d\n", i.si_signo, i.si_pid, i.si_code, i.si_status);
    SHOW(waitid(P_PID, p, 0, WSTOPPED | WNOHANG));
    kill(p, SIGCONT);
    SHOW(waitid(P_PID, p, &i, WCONTINUED | WNOWAIT));
    SAY("%d %d\n", i.si_code, i.si_status);
    SHOW(waitid(P_PID, p, &i, WCONTINUED));
    // by descriptor
    int fd = (int)syscall(SYS_pidfd_open, p, 0), nb = (int)syscall(SYS_pidfd_open, p, O_NONBLOCK);
    SHOW(waitid(P_PIDFD, fd, &i, WEXITED | WNOHANG));
    SAY("pid %d\n", i.si_pid);
    SHOW(waitid(P_PIDFD, nb, &i, WEXITED));
    kill(p, SIGTERM);
    SHOW(waitid(P_PIDFD, fd, &i, WEXITED | WNOWAIT));
    SHOW(waitid(P_PIDFD, fd, &i, WEXITED));
    SAY("%d %d\n", i.si_code, i.si_status);
    SHOW(waitid(P_PIDFD, fd, &i, WEXITED));
    SHOW(waitid(P_PIDFD, 0, &i, WEXITED));
    SHOW(waitid(P_PIDFD, 99, &i, WEXITED));
    SHOW(waitid(P_PIDFD, -1, &i, WEXITED));
    close(fd);
    close(nb);
    // bad questions
    SHOW(waitid(P_PID, 0, &i, WEXITED));
    SHOW(waitid(P_PID, -5, &i, WEXITED));
    SHOW(waitid(P_PGID, -5, &i, WEXITED));
    SHOW(waitid(P_PGID, 1000000, &i, WEXITED));
    SHOW(waitid(P_ALL, 0, &i, WNOHANG));
    SHOW(waitid(P_ALL, 0, &i, WEXITED | 0x100));
    SHOW(waitpid(-1, &s, WEXITED));
    SHOW(waitpid(INT_MIN, &s, 0));
    SHOW(waitpid(getpid(), &s, 0));
    SHOW(waitpid(getppid(), &s, 0));
    if (!(p = fork()))
        _exit(5);
    await(p, "Z");
    SHOW(syscall(SYS_wait4, p, 8, 0, 0)); // the child is gone for all that
    SHOW(waitpid(p, &s, 0));
    if (!(p = fork()))
        _exit(5);
    await(p, "Z");
    SHOW(syscall(SYS_wait4, p, &s, 0, 8));
    SHOW(waitpid(p, &s, 0));
    if (!(p = fork()))
        _exit(5);
    SHOW(syscall(SYS_waitid, P_PID, p, 8, WEXITED, 0));
    SHOW(waitpid(p, &s, 0));
    // by group: own, another's
    if (!(p = fork()))
        _exit(6);
    SHOW(waitpid(0, &s, 0) == p);
    status("own group", s);
    if (!(p = fork())) {
        setpgid(0, 0);
        _exit(7);
    }
    setpgid(p, p);
    SHOW(waitpid(0, &s, 0));
    SHOW(waitid(P_PGID, p, &i, WEXITED));
    SAY("%d\n", i.si_status);
    // Threads wait for each other's children (7), but not with __WNOTHREAD.
    pthread_t t;
    if (!(child_of_main = fork())) {
        ms(30);
        _exit(11);
    }
    pthread_create(&t, 0, not_mine, 0);
    pthread_join(t, 0);
    pthread_create(&t, 0, waits, 0);
    pthread_join(t, 0);
    pthread_create(&t, 0, forks, 0);
    pthread_join(t, 0);
    reap("an ended thread's child", twins_child);
    // A leader that left first is no zombie to be reaped until its last thread ends (23).
    pipe(gate);
    if (!(p = fork())) {
        pthread_create(&t, 0, outlives, 0);
        syscall(SYS_exit, 5);
    }
    await(p, "Z");
    SHOW(waitpid(p, &s, WNOHANG));
    SHOW(waitid(P_PID, p, &i, WEXITED | WNOHANG | WNOWAIT));
    SHOW(kill(p, 0));
    give(gate);
    reap("the last thread's status", p);
    if (!(p = fork())) {
        pthread_create(&t, 0, outlives, 0);
        syscall(SYS_exit, 5);
    }
    await(p, "Z");
    kill(p, SIGTERM);
    reap("killed after its leader left", p);
    // Children with no signal, or another, are for __WCLONE or __WALL.
    struct clone_args a = {.exit_signal = SIGUSR1};
    signal(SIGUSR1, SIG_IGN);
    p = (pid_t)syscall(SYS_clone3, &a, sizeof a);
    if (!p)
        _exit(8);
    await(p, "Z");
    SHOW(waitpid(p, &s, 0));
    SHOW(waitpid(p, &s, __WCLONE) == p);
    status("clone child", s);
    a.exit_signal = 0;
    p = (pid_t)syscall(SYS_clone3, &a, sizeof a);
    if (!p)
        _exit(9);
    await(p, "Z");
    SHOW(waitpid(-1, &s, WNOHANG));
    SHOW(waitid(P_ALL, 0, &i, WEXITED | __WALL));
    SAY("%d %d\n", i.si_pid == p, i.si_status);
    if (!(p = fork()))
        _exit(10);
    await(p, "Z");
    SHOW(waitpid(p, &s, __WCLONE));
    reap("an ordinary one", p);
    // vfork: only the caller waits, other threads run; a signal to the waiting parent waits, a deadly one kills it (1).
    pthread_create(&t, 0, runs_during_vfork, 0);
    p = vfork();
    if (!p) {
        vfork_order = 1;
        while (vfork_order != 2)
            ;
        _exit(4);
    }
    reap("vfork beside a thread", p);
    pthread_join(t, 0);
    int g[2];
    pipe(g);
    if (!(p = fork())) {
        close(g[0]);
        pid_t q = vfork();
        if (!q) {
            for (;;)
                pause();
        }
        _exit(1);
    }
    close(g[1]);
    await(p, "DS");
    kill(p, SIGKILL);
    reap("killed in vfork", p);
    // its child lives on, holding the pipe: no end of file until it is killed
    fcntl(g[0], F_SETFL, O_NONBLOCK);
    SHOW(read(g[0], &c, 1));
    // wait is for children only, and ECHILD when there are none
    SHOW(wait(&s));
    SHOW(waitid(P_ALL, 0, &i, WEXITED | WNOHANG));
    // The pause()ing child of the vfork goes with its namespace, or with the machine.
}
