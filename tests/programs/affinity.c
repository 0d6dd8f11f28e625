// Threads run where their affinity allows, whoever sets it and whatever they do meanwhile. Only what holds for any number
// of CPUs is printed.
#include "check.h"

static cpu_set_t all;
static int cpus[CPU_SETSIZE], count;

static int pin(pid_t who, int cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(who, sizeof one, &one);
}

// Goes round all CPUs; how often it was somewhere else.
static long go_round(int rounds, int step) {
    long wrong = 0;
    for (int i = 0; i < rounds; i++) {
        int cpu = cpus[(i * step) % count];
        wrong += pin(0, cpu) != 0;
        wrong += sched_getcpu() != cpu;
        if (i % 3 == 0)
            sched_yield();
        if (i % 7 == 0)
            usleep(1);
        wrong += sched_getcpu() != cpu;
    }
    return wrong;
}

static void *round_thread(void *step) {
    return (void *)go_round(300, (int)(long)step);
}

static volatile int where = -1, stop;
static volatile pid_t tid;
static void *spin(void *unused) {
    tid = syscall(SYS_gettid);
    while (!stop)
        where = sched_getcpu();
    return 0;
}

// Sends a spinning thread to a CPU; whether it arrives.
static int send(int cpu) {
    if (pin(tid, cpu))
        return 0;
    for (int i = 0; i < 2000 && where != cpu; i++)
        usleep(1000);
    int arrived = where == cpu;
    for (int i = 0; i < 20; i++) {
        usleep(500);
        arrived &= where == cpu;
    }
    return arrived;
}

int main(void) {
    SHOW(sched_getaffinity(0, sizeof all, &all) > 0 || 1);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all))
            cpus[count++] = cpu;
    SAY("elsewhere %ld\n", go_round(100, 1));

    // A child starts where its parent may run, also over exec and across a fork of a pinned thread.
    pin(0, cpus[count - 1]);
    int bad = 0;
    for (int i = 0; i < 50; i++) {
        int s;
        pid_t child = fork();
        if (!child) {
            int wrong = 0;
            for (int j = 0; j < 20; j++) {
                wrong |= sched_getcpu() != cpus[count - 1];
                sched_yield();
            }
            _exit(wrong);
        }
        waitpid(child, &s, 0);
        bad += s != 0;
    }
    SAY("children elsewhere %d\n", bad);
    SHOW(sched_setaffinity(0, sizeof all, &all));

    pthread_t threads[6];
    for (long i = 0; i < 6; i++)
        pthread_create(&threads[i], 0, round_thread, (void *)(i + 1));
    long wrong = 0;
    for (int i = 0; i < 6; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (long)result;
    }
    SAY("threads elsewhere %ld\n", wrong);

    // Another thread's affinity: it moves although it never enters the kernel by itself for long.
    pthread_t spinner;
    pthread_create(&spinner, 0, spin, 0);
    while (where < 0)
        usleep(100);
    SAY("sent %d %d %d\n", send(cpus[0]), send(cpus[count - 1]), send(cpus[count / 2]));
    // Two that may only use one CPU share it.
    pin(tid, cpus[0]);
    pin(0, cpus[0]);
    int together = 1;
    for (int i = 0; i < 50; i++) {
        usleep(200);
        together &= sched_getcpu() == cpus[0];
    }
    SAY("together %d\n", together);
    stop = 1;
    pthread_join(spinner, 0);

    cpu_set_t none;
    CPU_ZERO(&none);
    SHOW(sched_setaffinity(0, sizeof none, &none));
    SHOW(sched_setaffinity(99999, sizeof all, &all));
    SHOW(sched_setaffinity(0, sizeof all, (void *)8));
    SHOW(sched_setaffinity(0, 0, &all));
    // A failed call changes nothing.
    cpu_set_t now;
    sched_getaffinity(0, sizeof now, &now);
    SAY("still pinned %d\n", CPU_COUNT(&now) == 1 && CPU_ISSET(cpus[0], &now));
}
