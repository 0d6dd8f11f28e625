// process_vm_readv and process_vm_writev, kcmp, mlockall, futex_waitv.
#include "check.h"
#include <linux/futex.h>
#include <sys/uio.h>
struct fw {
    unsigned long val, addr;
    unsigned flags, res;
};
static unsigned w[3];
static void *wk(void *a) {
    ms(50);
    w[1] = 1;
    syscall(SYS_futex, &w[1], FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    return 0;
}
static void hh(int s) {}
int main() {
    char b[100] = "local", c[100] = {0};
    struct iovec l = {c, 50}, r = {b, 50};
    SHOW(process_vm_readv(getpid(), &l, 1, &r, 1, 0));
    SAY("%s\n", c);
    int p[2];
    pipe(p);
    pid_t k = fork();
    if (!k) {
        strcpy(b, "child");
        write(p[1], "x", 1);
        ms(200);
        SAY("child sees %s\n", b);
        _exit(0);
    }
    char x;
    read(p[0], &x, 1);
    SHOW(process_vm_readv(k, &l, 1, &r, 1, 0));
    SAY("%s %s\n", c, b);
    strcpy(c, "written");
    SHOW(process_vm_writev(k, &l, 1, &r, 1, 0));
    struct iovec bad = {(void *)8, 10};
    SHOW(process_vm_readv(k, &l, 1, &bad, 1, 0));
    SHOW(process_vm_readv(k, &bad, 1, &r, 1, 0));
    SHOW(process_vm_readv(k, &l, 1, &r, 1, 1));
    SHOW(process_vm_readv(999999, &l, 1, &r, 1, 0));
    struct iovec two[2] = {{b, 20}, {(void *)8, 10}};
    SHOW(process_vm_readv(k, &l, 1, two, 2, 0));
    SHOW(process_vm_readv(k, &l, 0, two, 2, 0));
    SHOW(process_vm_readv(k, &l, 2000, two, 2, 0));
    SHOW(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    int d = dup(0);
    SHOW(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, d));
    SHOW(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, p[0]) > 0);
    SHOW(syscall(SYS_kcmp, getpid(), k, 0, 0, 0));
    for (int i = 1; i < 7; i++)
        SAY("%d %d\n", i, syscall(SYS_kcmp, getpid(), k, i, 0, 0) > 0);
    SHOW(syscall(SYS_kcmp, getpid(), getpid(), 99, 0, 0));
    SHOW(syscall(SYS_kcmp, getpid(), 999999, 1, 0, 0));
    SHOW(syscall(SYS_kcmp, getpid(), k, 0, 0, 99));
    wait(0);
    SHOW(mlockall(0));
    SHOW(mlockall(1));
    SHOW(mlockall(4));
    SHOW(mlockall(99));
    SHOW(munlockall());
    SHOW(syscall(SYS_mlock2, b, 10, 0));
    SHOW(syscall(SYS_mlock2, b, 10, 2));
    SHOW(syscall(SYS_mlock2, 8, 10, 0));
    CHILD("unpriv", setuid(1000); SHOW(process_vm_readv(1, &l, 1, &r, 1, 0));
          SHOW(syscall(SYS_kcmp, getpid(), 1, 1, 0, 0)));
    struct fw v[3] = {
        {0, (long)&w[0], FUTEX_32 | 128, 0}, {0, (long)&w[1], FUTEX_32 | 128, 0}, {0, (long)&w[2], FUTEX_32 | 128, 0}};
    SHOW(syscall(SYS_futex_waitv, v, 0, 0, 0, 0));
    SHOW(syscall(SYS_futex_waitv, v, 129, 0, 0, 0));
    SHOW(syscall(SYS_futex_waitv, v, 3, 1, 0, 0));
    v[1].val = 1;
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, 0, 0));
    v[1].val = 0;
    v[2].res = 1;
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, 0, 0));
    v[2].res = 0;
    v[2].flags = 128;
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, 0, 0));
    v[2].flags = 130;
    v[2].addr = 8;
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, 0, 0));
    v[2].addr = (long)&w[2] + 1;
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, 0, 0));
    v[2].addr = (long)&w[2];
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 20000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_nsec -= 1000000000, t.tv_sec++;
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, &t, CLOCK_MONOTONIC));
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, &t, CLOCK_REALTIME));
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, &t, 7));
    pthread_t th;
    pthread_create(&th, 0, wk, 0);
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, 0, 0));
    pthread_join(th, 0);
    v[1].val = 1;
    struct sigaction sa = {.sa_handler = hh};
    sigaction(SIGALRM, &sa, 0);
    ualarm(20000, 0);
    SHOW(syscall(SYS_futex_waitv, v, 3, 0, 0, 0));
}
