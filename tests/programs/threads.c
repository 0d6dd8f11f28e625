#include "check.h"
#include <semaphore.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER;
static long counter;
static int ready;
static __thread int tls = 5;
static pthread_barrier_t bar;
static sem_t sem;
static pthread_key_t key;
static int destroyed;
static void *add(void *a) {
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&m);
        counter++;
        pthread_mutex_unlock(&m);
    }
    tls += (int)(long)a;
    return (void *)(long)tls;
}
static void *waiter(void *a) {
    pthread_mutex_lock(&m);
    while (!ready)
        pthread_cond_wait(&cv, &m);
    counter++;
    pthread_mutex_unlock(&m);
    return a;
}
static void *bars(void *a) {
    pthread_setspecific(key, a);
    return (void *)(long)(pthread_barrier_wait(&bar) == PTHREAD_BARRIER_SERIAL_THREAD);
}
static void destroy(void *p) {
    (void)p;
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}
static void *forker(void *a) {
    pid_t p = fork();
    if (!p)
        _exit(3);
    int s;
    waitpid(p, &s, 0);
    return (void *)(long)WEXITSTATUS(s);
}
static void *sleeper(void *a) {
    for (;;)
        pause();
    return a;
}
static void *cancelled(void *a) {
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, 0);
    sleep(100);
    return a;
}
static void *semw(void *a) {
    sem_wait(&sem);
    return a;
}
static void on_usr1(int s) {
    (void)s;
    ready = (int)syscall(SYS_gettid);
}
int main(void) {
    pthread_t t[16];
    void *r;
    for (long i = 0; i < 8; i++)
        pthread_create(&t[i], 0, add, (void *)i);
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], &r);
        SAY("%ld ", (long)r);
    }
    SAY("counter %ld tls %d\n", counter, tls);
    counter = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], 0, waiter, 0);
    ms(20);
    pthread_mutex_lock(&m);
    ready = 1;
    pthread_cond_broadcast(&cv);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], 0);
    SAY("woken %ld\n", counter);
    pthread_key_create(&key, destroy);
    pthread_barrier_init(&bar, 0, 5);
    long serial = 0;
    for (int i = 0; i < 5; i++)
        pthread_create(&t[i], 0, bars, (void *)1);
    for (int i = 0; i < 5; i++) {
        pthread_join(t[i], &r);
        serial += (long)r;
    }
    SAY("serial %ld destroyed %d\n", serial, destroyed);
    pthread_create(t, 0, forker, 0);
    pthread_join(*t, &r);
    SAY("fork in thread %ld\n", (long)r);
    sem_init(&sem, 0, 0);
    pthread_create(t, 0, semw, 0);
    ms(10);
    sem_post(&sem);
    SHOW(pthread_join(*t, 0));
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    SHOW(sem_timedwait(&sem, &ts));
    pthread_create(t, 0, cancelled, 0);
    ms(20);
    pthread_cancel(*t);
    pthread_join(*t, &r);
    SAY("cancelled %d\n", r == PTHREAD_CANCELED);
    ready = 0;
    signal(SIGUSR1, on_usr1);
    pthread_create(t, 0, sleeper, 0);
    ms(20);
    pthread_kill(*t, SIGUSR1);
    ms(50);
    SAY("handled in another thread %d\n", ready != 0 && ready != getpid());
    SAY("pid %d\n", getpid() == (int)syscall(SYS_getpid));
    pthread_attr_t at;
    pthread_attr_init(&at);
    pthread_attr_setdetachstate(&at, 1);
    for (int i = 0; i < 200; i++) {
        pthread_t d;
        if (pthread_create(&d, &at, semw, 0))
            SAY("failed\n");
        sem_post(&sem);
    }
    ms(50);
    CHILD("exit of a thread ends all", pthread_create(t, 0, sleeper, 0); exit(4));
    CHILD("main leaves first", pthread_create(t, 0, forker, 0); pthread_exit(0));
    CHILD("exec with threads", pthread_create(t, 0, sleeper, 0); execl("/bin/busybox", "true", (char *)0));
    CHILD("kill with threads", pthread_create(t, 0, sleeper, 0); kill(getpid(), 9); pause());
    SAY("end\n");
    return 0;
}
