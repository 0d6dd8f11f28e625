#include "check.h"
static void h(int s) { (void)s; }
static void arm(int flags) {
    struct sigaction a = {.sa_handler = h, .sa_flags = flags};
    sigaction(SIGALRM, &a, 0);
    struct itimerval t = {{0, 50000}, {0, 50000}};
    setitimer(ITIMER_REAL, &t, 0);
}
static void off(void) {
    struct itimerval t = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &t, 0);
}
static void all(int flags) {
    int f[2];
    pipe(f);
    char c;
    pid_t p = fork();
    if (!p) {
        ms(200);
        write(f[1], "x", 1);
        _exit(0);
    }
    arm(flags);
    SHOW(read(f[0], &c, 1));
    off();
    int s;
    waitpid(p, &s, 0);
    p = fork();
    if (!p) {
        ms(200);
        _exit(0);
    }
    arm(flags);
    int r = waitpid(p, &s, 0);
    off();
    SAY("waitpid %s\n", r == p ? "restarted" : strerrorname_np(errno));
    if (r != p)
        waitpid(p, &s, 0);
    struct pollfd pf = {f[0], POLLIN, 0};
    if (read(f[0], &c, 0)) {
    }
    arm(flags);
    fcntl(f[0], F_SETFL, O_NONBLOCK);
    while (read(f[0], &c, 1) == 1)
        ;
    SHOW(poll(&pf, 1, 500));
    off();
    struct timespec t = {0, 300000000}, left = {0, 0};
    arm(flags);
    SHOW(nanosleep(&t, &left));
    off();
    SAY("left: %d\n", left.tv_nsec > 0 && left.tv_nsec < 300000000);
    sigset_t e;
    sigemptyset(&e);
    arm(flags);
    SHOW(sigsuspend(&e));
    off();
    arm(flags);
    SHOW(pause());
    off();
    fd_set fs;
    FD_ZERO(&fs);
    FD_SET(f[0], &fs);
    struct timeval tv = {1, 0};
    arm(flags);
    SHOW(select(f[0] + 1, &fs, 0, 0, &tv));
    off();
    SHOW(sigtimedwait(&e, 0, &(struct timespec){0, 20000000}));
}
int main(void) {
    SAY("SA_RESTART\n");
    all(SA_RESTART);
    SAY("without\n");
    all(0);
}
