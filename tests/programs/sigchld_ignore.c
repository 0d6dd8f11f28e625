#include "check.h"
int main(void) {
    int s;
    signal(SIGCHLD, SIG_IGN);
    if (!fork()) {
        ms(20);
        _exit(1);
    }
    SHOW(wait(&s));
    struct sigaction a = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &a, 0);
    if (!fork())
        _exit(1);
    SHOW(wait(&s));
    signal(SIGCHLD, SIG_DFL);
    pid_t p = fork();
    if (!p)
        _exit(2);
    SAY("%d\n", wait(&s) == p);
    status("default", s);
}
