#include "check.h"
#include <linux/sched.h>
#include <sys/prctl.h>
static int prctl_name(void) {
    char n[16] = {0};
    prctl(PR_SET_NAME, "a-very-long-name-indeed");
    prctl(PR_GET_NAME, n);
    SAY("%s\n", n);
    return prctl(12345, 0, 0, 0, 0);
}
static char st[65536] __attribute__((aligned(16)));
static int shared;
static int fn(void *a) {
    shared = 7;
    (void)a;
    return 5;
}
int main(void) {
    int s;
    pid_t p = clone(fn, st + sizeof st, SIGCHLD, 0);
    reap("copy", p);
    SAY("%d\n", shared);
    p = clone(fn, st + sizeof st, CLONE_VM | SIGCHLD, 0);
    reap("vm", p);
    SAY("%d\n", shared);
    SHOW(clone(fn, st + sizeof st, CLONE_SIGHAND | SIGCHLD, 0));
    SHOW(clone(fn, st + sizeof st, CLONE_THREAD | SIGCHLD, 0));
    SHOW(clone(fn, st + sizeof st, CLONE_THREAD | CLONE_SIGHAND, 0));
    SHOW(clone(fn, st + sizeof st, CLONE_FS | CLONE_NEWNS, 0));
    pid_t ptid = 0, ctid = 1;
    p = (int)syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0, &ptid, &ctid, 0);
    if (!p)
        _exit(0);
    SAY("ptid %d\n", ptid == p);
    reap("settid", p);
    p = clone(fn, st + sizeof st, 0, 0);
    SHOW(waitpid(p, &s, WNOHANG));
    SHOW(waitpid(p, &s, __WALL) == p);
    p = clone(fn, st + sizeof st, CLONE_VFORK | CLONE_VM | SIGCHLD, 0);
    reap("vfork", p);
    int fd = -1;
    struct clone_args a = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
    p = (int)syscall(SYS_clone3, &a, sizeof a);
    if (!p)
        _exit(9);
    if (p > 0) {
        struct pollfd q = {fd, POLLIN, 0};
        SHOW(poll(&q, 1, 5000));
        siginfo_t i;
        SHOW(waitid(P_PIDFD, fd, &i, WEXITED));
        SAY("%d\n", i.si_status);
    } else
        SAY("clone3 %s\n", strerrorname_np(errno));
    shared = 0;
    p = vfork();
    if (!p) {
        shared = 3;
        _exit(2);
    }
    reap("vfork", p);
    SAY("vfork shares %d\n", shared);
    CHILD("files shared", int f = open("/dev/null", 0);
          p = clone((int (*)(void *))close, st + sizeof st, CLONE_FILES | CLONE_VM | SIGCHLD, (void *)(long)f);
          reap("closer", p); SHOW(fcntl(f, F_GETFD)));
    SHOW(syscall(SYS_unshare, 0x1));
    SHOW(prctl_name());
}
