#include "check.h"
int main(void) {
    CHILD("new session", SHOW(setsid() == getpid()); SHOW(getsid(0) == getpid()); SHOW(getpgrp() == getpid());
          SHOW(setsid()); SHOW(setpgid(0, 0)); SHOW(open("/dev/tty", O_RDWR)));
    SHOW(getpgid(99999));
    SHOW(setpgid(99999, 0));
    SHOW(setpgid(0, -1));
    SHOW(setpgid(1, 1));
    SHOW(getsid(99999));
    pid_t p = fork();
    if (!p) {
        pause();
    }
    SHOW(setpgid(p, p));
    SHOW(getpgid(p) == p);
    SHOW(setpgid(p, getpgrp()));
    SHOW(setpgid(p, 99999));
    kill(p, 9);
    reap("child", p);
    int f[2];
    pipe(f);
    p = fork();
    if (!p) {
        close(f[1]);
        char c;
        read(f[0], &c, 1);
        execl("/bin/busybox", "sleep", "5", (char *)0);
    }
    close(f[0]);
    close(f[1]);
    ms(100);
    SHOW(setpgid(p, p));
    kill(p, 9);
    reap("after exec", p);
    CHILD(
        "kill group", setpgid(0, 0); pid_t a = fork(); if (!a) { pause(); } signal(SIGTERM, SIG_IGN); ms(20);
        SHOW(kill(0, SIGTERM)); reap("member", a); SHOW(kill(-getpgrp(), 0)));
    // an orphaned group with a stopped member gets SIGHUP and SIGCONT
    int r[2];
    pipe(r);
    p = fork();
    if (!p) {
        pid_t c = fork();
        if (!c) {
            setpgid(0, 0);
            raise(SIGSTOP);
            pause();
        }
        setpgid(c, c);
        int s;
        waitpid(c, &s, WUNTRACED);
        write(r[1], &c, sizeof c);
        _exit(0);
    }
    reap("leader", p);
    pid_t c;
    read(r[0], &c, sizeof c);
    ms(100);
    SAY("the stopped orphan is dead: %d\n", kill(c, SIGCONT) == 0 || errno == ESRCH);
    CHILD("stop signals in an orphaned group", setsid(); raise(SIGTSTP); SAY("still here\n"));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(setpriority(PRIO_PROCESS, 0, 5));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(nice(100));
    SHOW(getpriority(PRIO_PROCESS, 99999));
    SHOW(getpriority(9, 0));
}
