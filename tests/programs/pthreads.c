// pthreads as glibc uses the kernel: mutexes of every kind, conditions, cancellation, barriers, signals, spawning.
#include "check.h"
#include <semaphore.h>
#include <spawn.h>
extern char **environ;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int q[16], qn;
static long sum;
static __thread int tls = 5;
static pthread_key_t key;
static int dtors;
static void dt(void *p) { __atomic_add_fetch(&dtors, 1, 5); }
static void *prod(void *a) {
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&m);
        while (qn == 16)
            pthread_cond_wait(&c, &m);
        q[qn++] = i;
        pthread_cond_broadcast(&c);
        pthread_mutex_unlock(&m);
    }
    return a;
}
static void *cons(void *a) {
    pthread_setspecific(key, a);
    tls += (long)a;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&m);
        while (!qn)
            pthread_cond_wait(&c, &m);
        sum += q[--qn];
        pthread_cond_broadcast(&c);
        pthread_mutex_unlock(&m);
    }
    return (void *)(long)tls;
}
static int cleaned;
static void cl(void *p) { cleaned++; }
static void *sleeper(void *a) {
    pthread_cleanup_push(cl, 0);
    sleep(100);
    pthread_cleanup_pop(0);
    return 0;
}
static void *reader(void *a) {
    pthread_cleanup_push(cl, 0);
    char b;
    read(*(int *)a, &b, 1);
    pthread_cleanup_pop(0);
    return 0;
}
static void *spinner(void *a) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
    for (;;)
        ;
    return 0;
}
static void *condw(void *a) {
    pthread_cleanup_push((void *)pthread_mutex_unlock, &m);
    pthread_mutex_lock(&m);
    for (;;)
        pthread_cond_wait(&c, &m);
    pthread_cleanup_pop(0);
    return 0;
}
static pthread_barrier_t bar;
static int serial;
static void *barr(void *a) {
    for (int i = 0; i < 50; i++)
        if (pthread_barrier_wait(&bar) == PTHREAD_BARRIER_SERIAL_THREAD)
            __atomic_add_fetch(&serial, 1, 5);
    return 0;
}
static pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
static long rwv;
static void *rwt(void *a) {
    for (int i = 0; i < 500; i++) {
        if (i % 5 == 0) {
            pthread_rwlock_wrlock(&rw);
            rwv++;
            pthread_rwlock_unlock(&rw);
        } else {
            pthread_rwlock_rdlock(&rw);
            volatile long x = rwv;
            pthread_rwlock_unlock(&rw);
        }
    }
    return 0;
}
static sem_t sem;
static void *semt(void *a) {
    sem_wait(&sem);
    return 0;
}
static volatile sig_atomic_t hits;
static void h(int s) { hits++; }
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int onced;
static void on(void) { onced++; }
int main() {
    pthread_t t[16];
    void *r;
    setvbuf(stdout, 0, _IONBF, 0);
    pthread_key_create(&key, dt);
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], 0, prod, (void *)i);
    for (long i = 4; i < 8; i++)
        pthread_create(&t[i], 0, cons, (void *)i);
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], &r);
        printf("join %d %ld\n", i, (long)r);
    }
    printf("sum %ld tls %d dtors %d\n", sum, tls, dtors);
    int p[2];
    pipe(p);
    pthread_create(&t[0], 0, sleeper, 0);
    pthread_create(&t[1], 0, reader, p);
    pthread_create(&t[2], 0, spinner, 0);
    pthread_create(&t[3], 0, condw, 0);
    usleep(50000);
    for (int i = 0; i < 4; i++) {
        printf("cancel %d\n", pthread_cancel(t[i]));
        pthread_join(t[i], &r);
        printf("%d\n", r == PTHREAD_CANCELED);
    }
    printf("cleaned %d trylock %d\n", cleaned, pthread_mutex_trylock(&m));
    pthread_mutex_unlock(&m);
    pthread_barrier_init(&bar, 0, 5);
    for (int i = 0; i < 5; i++)
        pthread_create(&t[i], 0, barr, 0);
    for (int i = 0; i < 5; i++)
        pthread_join(t[i], 0);
    printf("serial %d\n", serial);
    for (int i = 0; i < 6; i++)
        pthread_create(&t[i], 0, rwt, 0);
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], 0);
    printf("rw %ld\n", rwv);
    sem_init(&sem, 0, 0);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], 0, semt, 0);
    for (int i = 0; i < 3; i++)
        sem_post(&sem);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], 0);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 50000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_nsec -= 1000000000, ts.tv_sec++;
    printf("sem_timedwait %d %d\n", sem_timedwait(&sem, &ts), errno == ETIMEDOUT);
    pthread_mutex_lock(&m);
    printf("cond_timedwait %d\n", pthread_cond_timedwait(&c, &m, &ts) == ETIMEDOUT);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < 3; i++)
        pthread_once(&once, on);
    printf("once %d\n", onced);
    pthread_mutexattr_t ma;
    pthread_mutex_t rm;
    pthread_mutexattr_init(&ma);
    pthread_mutexattr_settype(&ma, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&rm, &ma);
    pthread_mutex_lock(&rm);
    printf("errcheck %d\n", pthread_mutex_lock(&rm) == EDEADLK);
    pthread_mutex_unlock(&rm);
    // process-shared + robust + pi
    struct sh {
        pthread_mutex_t r;
        pthread_mutex_t pi;
        pthread_cond_t c;
        int v;
    } *s = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&ma);
    pthread_mutexattr_setpshared(&ma, 1);
    pthread_mutexattr_setrobust(&ma, 1);
    pthread_mutex_init(&s->r, &ma);
    pthread_mutexattr_t mp;
    pthread_mutexattr_init(&mp);
    pthread_mutexattr_setpshared(&mp, 1);
    pthread_mutexattr_setprotocol(&mp, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&s->pi, &mp);
    pid_t k = fork();
    if (!k) {
        pthread_mutex_lock(&s->r);
        _exit(0);
    }
    waitpid(k, 0, 0);
    int e = pthread_mutex_lock(&s->r);
    printf("robust %s\n", e == EOWNERDEAD ? "EOWNERDEAD" : "other");
    pthread_mutex_consistent(&s->r);
    pthread_mutex_unlock(&s->r);
    pthread_mutex_lock(&s->pi);
    k = fork();
    if (!k) {
        pthread_mutex_lock(&s->pi);
        s->v = 7;
        pthread_mutex_unlock(&s->pi);
        _exit(0);
    }
    usleep(50000);
    printf("v %d\n", s->v);
    pthread_mutex_unlock(&s->pi);
    waitpid(k, 0, 0);
    printf("v %d\n", s->v);
    // signals to threads
    struct sigaction sa = {.sa_handler = h};
    sigaction(SIGUSR1, &sa, 0);
    pthread_create(&t[0], 0, sleeper, 0);
    usleep(20000);
    pthread_kill(t[0], SIGUSR1);
    pthread_join(t[0], 0);
    printf("hits %d\n", hits);
    sigset_t ss;
    sigemptyset(&ss);
    sigaddset(&ss, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &ss, 0);
    kill(getpid(), SIGUSR2);
    int sg;
    sigwait(&ss, &sg);
    printf("sigwait %d\n", sg == SIGUSR2);
    // fork in threaded, exec, posix_spawn, popen, system
    FILE *f = popen("echo popen; exit 3", "r");
    char b[100];
    fgets(b, 100, f);
    printf("%s%d\n", b, WEXITSTATUS(pclose(f)));
    fflush(stdout);
    printf("system %d\n", WEXITSTATUS(system("echo sys; exit 5")));
    char *av[] = {"sh", "-c", "echo spawned; kill -TERM $$", 0};
    posix_spawn(&k, "/bin/sh", 0, 0, av, environ);
    int st;
    waitpid(k, &st, 0);
    printf("spawn %d\n", WTERMSIG(st));
    printf("spawn missing %d\n", posix_spawn(&k, "/nonexist", 0, 0, av, environ) == ENOENT);
    pthread_attr_t at;
    pthread_attr_init(&at);
    pthread_attr_setstacksize(&at, 65536);
    pthread_attr_setdetachstate(&at, 1);
    sem_init(&sem, 0, 0);
    for (int i = 0; i < 50; i++) {
        sem_post(&sem);
        e = pthread_create(&t[0], &at, semt, 0);
        if (e)
            printf("create %d\n", e);
    }
    while (1) {
        int v;
        sem_getvalue(&sem, &v);
        if (!v)
            break;
        usleep(1000);
    }
    puts("detached ok");
    timer_t tm;
    struct sigevent se = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    hits = 0;
    printf("timer %d\n", timer_create(CLOCK_MONOTONIC, &se, &tm));
    struct itimerspec it = {{0, 10000000}, {0, 10000000}};
    timer_settime(tm, 0, &it, 0);
    while (hits < 5)
        pause();
    timer_delete(tm);
    puts("5 ticks");
    cpu_set_t cs;
    sched_getaffinity(0, sizeof cs, &cs);
    printf("cpus>0 %d\n", CPU_COUNT(&cs) > 0);
    char nm[16];
    pthread_setname_np(pthread_self(), "abc");
    pthread_getname_np(pthread_self(), nm, 16);
    puts(nm);
    pthread_exit(0);
}
