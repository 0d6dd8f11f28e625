#include "check.h"
int main(void) {
    pid_t p = fork();
    if (!p)
        pause();
    int f = (int)syscall(SYS_pidfd_open, p, 0);
    TRY(f);
    struct pollfd q = {f, POLLIN, 0};
    SHOW(poll(&q, 1, 0));
    SHOW(syscall(SYS_pidfd_send_signal, f, 0, 0, 0));
    SHOW(syscall(SYS_pidfd_send_signal, f, SIGTERM, 0, 0));
    SHOW(poll(&q, 1, 5000));
    reap("term", p);
    SHOW(syscall(SYS_pidfd_send_signal, f, 0, 0, 0));
    SHOW(syscall(SYS_pidfd_open, 99999, 0));
    SHOW(syscall(SYS_pidfd_open, -1, 0));
    SHOW(syscall(SYS_pidfd_open, getpid(), 7));
    SHOW(fcntl(f, F_GETFD));
}
