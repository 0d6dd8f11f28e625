#include "check.h"
int main(void) {
    int s;
    pid_t p = fork();
    if (!p)
        _exit(7);
    SAY("same pid: %d\n", wait4(p, &s, 0, 0) == p);
    status("exit 7", s);
    SHOW(wait4(-1, &s, 0, 0));
    SHOW(waitpid(1, &s, 0));
    SHOW(waitpid(-1, &s, WNOHANG));
    SHOW(wait4(-1, &s, 0x40000000 | 0x10, 0));
    CHILD("exit 256+3", _exit(256 + 3));
    CHILD("sigkill", raise(SIGKILL));
    CHILD("sigterm", raise(SIGTERM));
    CHILD("abort", abort());
    p = fork();
    if (!p) {
        for (;;)
            pause();
    }
    SHOW(waitpid(p, &s, WNOHANG));
    kill(p, SIGSTOP);
    waitpid(p, &s, WUNTRACED);
    status("stop", s);
    SHOW(waitpid(p, &s, WUNTRACED | WNOHANG));
    kill(p, SIGCONT);
    waitpid(p, &s, WCONTINUED);
    status("cont", s);
    SHOW(waitpid(p, &s, WCONTINUED | WNOHANG));
    kill(p, SIGKILL);
    reap("kill", p);
    // order, siblings and groups
    int a[5];
    for (int i = 0; i < 5; i++)
        if (!(a[i] = fork())) {
            ms(10 * (5 - i));
            _exit(i);
        }
    for (int i = 0; i < 5; i++) {
        waitpid(a[i], &s, 0);
        status("sibling", s);
    }
    if (!(p = fork())) {
        setpgid(0, 0);
        _exit(4);
    }
    setpgid(p, p);
    SAY("by group: %d\n", waitpid(-p, &s, 0) == p);
    status("group", s);
    SHOW(waitpid(-99999, &s, 0));
    // orphans go to process 1, and the parent's variables stay its own
    int v = 1;
    CHILD(
        "grandparent", v = 2; if (!fork()) {
            ms(30);
            _exit(getppid() == 1 ? 0 : 1);
        });
    SAY("v %d\n", v);
    int f[2];
    pipe(f);
    if (!(p = fork())) {
        if (!fork()) {
            ms(50);
            char c = getppid() == 1;
            write(f[1], &c, 1);
            _exit(0);
        }
        _exit(0);
    }
    reap("middle", p);
    char c = 9;
    read(f[0], &c, 1);
    SAY("orphan of 1: %d\n", c);
    siginfo_t i;
    memset(&i, 0xff, sizeof i);
    if (!(p = fork()))
        _exit(33);
    SHOW(waitid(P_PID, p, &i, WEXITED | WNOWAIT));
    SAY("%d %d %d %d\n", i.si_pid == p, i.si_status, i.si_code == CLD_EXITED, i.si_signo == SIGCHLD);
    SHOW(waitid(P_PID, p, &i, WEXITED));
    SHOW(waitid(P_PID, p, &i, WEXITED));
    SHOW(waitid(P_ALL, 0, &i, 0));
    SHOW(waitid(9, 0, &i, WEXITED));
    if (!(p = fork())) {
        pause();
    }
    i.si_pid = 5;
    SHOW(waitid(P_PID, p, &i, WEXITED | WNOHANG));
    SAY("pid %d\n", i.si_pid);
    kill(p, 9);
    waitid(P_ALL, 0, &i, WEXITED);
    SAY("%d %d\n", i.si_code == CLD_KILLED, i.si_status);
}
