#include "check.h"
#include <linux/futex.h>
static long futex(volatile int *a, int op, int v, void *t, volatile int *b, int v3) {
    return syscall(SYS_futex, a, op, v, t, b, v3);
}
int main(void) {
    volatile int *w = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct timespec t = {0, 20000000}, z = {0, 0}, bad = {0, -1};
    SHOW(futex(w, FUTEX_WAIT, 1, 0, 0, 0));
    SHOW(futex(w, FUTEX_WAIT, 0, &t, 0, 0));
    SHOW(futex(w, FUTEX_WAIT, 0, &z, 0, 0));
    SHOW(futex(w, FUTEX_WAIT, 0, &bad, 0, 0));
    SHOW(futex(w, FUTEX_WAKE, 1, 0, 0, 0));
    SHOW(futex((int *)8, FUTEX_WAIT, 0, 0, 0, 0));
    SHOW(futex((int *)((char *)w + 1), FUTEX_WAIT, 0, 0, 0, 0));
    SHOW(futex(w, 99, 0, 0, 0, 0));
    SHOW(futex(w, FUTEX_WAIT_BITSET, 0, &z, 0, 0));
    pid_t p = fork();
    if (!p) {
        long r = futex(w, FUTEX_WAIT, 0, 0, 0, 0);
        _exit(r == 0 ? 5 : 6);
    }
    ms(50);
    *w = 1;
    SHOW(futex(w, FUTEX_WAKE, 10, 0, 0, 0));
    reap("shared waiter", p);
    *w = 0;
    for (int i = 0; i < 3; i++)
        if (!fork()) {
            futex(w, FUTEX_WAIT, 0, 0, 0, 0);
            _exit(0);
        }
    ms(100);
    SHOW(futex(w, FUTEX_REQUEUE, 1, (void *)1, w + 1, 0));
    SHOW(futex(w, FUTEX_WAKE, 9, 0, 0, 0));
    SHOW(futex(w + 1, FUTEX_WAKE, 9, 0, 0, 0));
    for (int i = 0; i < 3; i++)
        wait(0);
    SHOW(futex(w, FUTEX_CMP_REQUEUE, 1, (void *)1, w + 1, 77));
    clock_gettime(CLOCK_REALTIME, &t);
    SHOW(futex(w, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t, 0, -1));
    SHOW(futex(w, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &t, 0, 0));
    SHOW(futex(w, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0));
    SHOW(futex(w, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, 0, 0, 0));
    SHOW(futex(w, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, 1, 0, 0, -1));
    SHOW(futex(w, FUTEX_TRYLOCK_PI | FUTEX_CLOCK_REALTIME, 0, 0, 0, 0));
    SHOW(futex(w, FUTEX_WAKE_OP, 1, (void *)1, w + 1, (0 << 28) | (5 << 12)));
    SAY("op set %d\n", w[1]);
    signal(SIGALRM, exit);
    CHILD("interrupted", struct sigaction a = {.sa_handler = SIG_IGN}; (void)a; signal(SIGALRM, (void (*)(int))getpid);
          siginterrupt(SIGALRM, 1); struct itimerval it = {{0, 0}, {0, 30000}}; setitimer(ITIMER_REAL, &it, 0);
          SHOW(futex(w, FUTEX_WAIT, 0, &(struct timespec){5, 0}, 0, 0)));
    SHOW(syscall(SYS_set_robust_list, w, 24));
    SHOW(syscall(SYS_set_robust_list, w, 23));
    pthread_mutexattr_t at;
    pthread_mutexattr_init(&at);
    pthread_mutexattr_setrobust(&at, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&at, 1);
    pthread_mutex_t *m = (void *)(w + 100);
    pthread_mutex_init(m, &at);
    CHILD("owner dies", pthread_mutex_lock(m));
    int r = pthread_mutex_lock(m);
    SAY("lock %s\n", r ? strerrorname_np(r) : "0");
    SHOW(pthread_mutex_consistent(m));
    SHOW(pthread_mutex_unlock(m));
}
