// Conversations by everything that can wake a process, all at once: `wakeups [SECONDS [SEED [COPIES]]]`. Each waits for an answer before it goes
// on, so one lost wake-up stops it for good. A watchdog sees that and names who stands still, with what the kernel says of its processes.
// Without arguments: a few seconds. For long runs see stress/README.md.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Who has not moved for so long stands still: a hundred times what the worst of the loads here takes on a busy machine.
#define PATIENCE 30
#define MOST 256

struct circle {
    const char *name;
    pid_t leader;
    _Atomic unsigned long turns;
    _Atomic int word, ack, gone, there;
};

static struct {
    _Atomic int stop;
    struct circle circles[MOST];
} *shared;
static struct circle *me;
static uint64_t seed = 1;

static uint64_t rnd(void) { // xorshift64*
    seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
    return seed * 0x2545F4914F6CDD1DULL;
}

#define CHECK(what)                                                                                                      \
    do {                                                                                                                 \
        if (!(what)) {                                                                                                   \
            printf("%s: no, line %d, errno %d: %s\n", me->name, __LINE__, errno, #what);                                 \
            _exit(1);                                                                                                    \
        }                                                                                                                \
    } while (0)

static int going(void) {
    me->turns++;
    return !shared->stop;
}

static pid_t begin(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) seed += getpid() * 7919;
    return pid;
}

static int status_of(pid_t pid) {
    int status;
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
    }
    CHECK(got == pid);
    return status;
}

static void give(int file) {
    char byte = 'x';
    CHECK(write(file, &byte, 1) == 1);
}

static int take(int file) {
    char byte;
    ssize_t count = read(file, &byte, 1);
    CHECK(count >= 0);
    return count;
}

static long futex(_Atomic int *word, int operation, int value) {
    return syscall(SYS_futex, word, operation, value, 0, 0, 0);
}

static void await_not(_Atomic int *word, int value) {
    while (*word == value) CHECK(futex(word, FUTEX_WAIT, value) == 0 || errno == EAGAIN || errno == EINTR);
}

// ---- Two that pass a byte back and forth ------------------------------------------------------------------------------

static void converse(void (*between)(pid_t)) {
    int there[2], back[2];
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    pid_t other = begin();
    if (!other) {
        close(there[1]), close(back[0]);
        while (take(there[0])) give(back[1]);
        _exit(0);
    }
    close(there[0]), close(back[1]);
    while (going()) {
        give(there[1]);
        if (between) between(other);
        CHECK(take(back[0]) == 1);
    }
    close(there[1]);
    CHECK(status_of(other) == 0);
}

static void pipes(void) { converse(0); }

// The other, or this one, may run elsewhere from now on, while it is being woken.
static void move(pid_t other) {
    if (rnd() % 4) return;
    cpu_set_t one;
    CPU_ZERO(&one);
    int cpus = sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < cpus && cpu < CPU_SETSIZE; cpu++)
        if (rnd() & 1) CPU_SET(cpu, &one);
    // None of those may be one that this process is allowed to use.
    CHECK(sched_setaffinity(rnd() & 1 ? other : 0, sizeof one, &one) == 0 || errno == EINVAL);
}
static void moved(void) { converse(move); }

static void promote(pid_t other) {
    if (rnd() % 4) return;
    struct sched_param none = {0}, some = {.sched_priority = 1 + rnd() % 9};
    static const int policies[] = {SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR};
    int policy = policies[rnd() % 5];
    pid_t who = rnd() & 1 ? other : 0;
    // Neither need be allowed.
    if (sched_setscheduler(who, policy, policy == SCHED_FIFO || policy == SCHED_RR ? &some : &none) < 0) CHECK(errno == EPERM);
    if (rnd() & 1) setpriority(PRIO_PROCESS, other, rnd() % 20);
}
static void promoted(void) { converse(promote); }

static void halt(pid_t other) {
    if (rnd() % 4) return;
    CHECK(kill(other, SIGSTOP) == 0);
    int status;
    CHECK(waitpid(other, &status, WUNTRACED) == other && WIFSTOPPED(status));
    CHECK(kill(other, SIGCONT) == 0);
    CHECK(waitpid(other, &status, WCONTINUED) == other && WIFCONTINUED(status));
}
static void halted(void) { converse(halt); }

// ---- Six in a ring ----------------------------------------------------------------------------------------------------

static void ring(void) {
    enum { SIZE = 6 };
    int ends[SIZE][2];
    pid_t others[SIZE];
    for (int i = 0; i < SIZE; i++) CHECK(pipe(ends[i]) == 0);
    for (int i = 1; i < SIZE; i++) {
        others[i] = begin();
        if (others[i]) continue;
        for (int k = 0; k < SIZE; k++) {
            if (k != i) close(ends[k][0]);
            if (k != (i + 1) % SIZE) close(ends[k][1]);
        }
        while (take(ends[i][0])) give(ends[(i + 1) % SIZE][1]);
        _exit(0);
    }
    for (int k = 0; k < SIZE; k++) {
        if (k != 0) close(ends[k][0]);
        if (k != 1) close(ends[k][1]);
    }
    // Several tokens at once.
    int tokens = 1 + rnd() % 4;
    for (int i = 0; i < tokens; i++) give(ends[1][1]);
    while (going()) {
        CHECK(take(ends[0][0]) == 1);
        give(ends[1][1]);
    }
    close(ends[1][1]);
    while (take(ends[0][0])) tokens--;
    CHECK(tokens == 0);
    for (int i = 1; i < SIZE; i++) CHECK(status_of(others[i]) == 0);
}

// ---- poll, epoll, sockets ---------------------------------------------------------------------------------------------

static int take_polled(int file) {
    struct pollfd poll_of = {.fd = file, .events = POLLIN};
    for (;;) {
        char byte;
        ssize_t count = read(file, &byte, 1);
        if (count >= 0) return count;
        CHECK(errno == EAGAIN);
        CHECK(poll(&poll_of, 1, -1) == 1);
    }
}

static void polled(void) {
    int there[2], back[2];
    CHECK(pipe2(there, O_NONBLOCK) == 0 && pipe2(back, O_NONBLOCK) == 0);
    pid_t other = begin();
    if (!other) {
        close(there[1]), close(back[0]);
        while (take_polled(there[0])) give(back[1]);
        _exit(0);
    }
    close(there[0]), close(back[1]);
    while (going()) {
        give(there[1]);
        CHECK(take_polled(back[0]) == 1);
    }
    close(there[1]);
    CHECK(status_of(other) == 0);
}

static uint64_t take_event(int epoll, int event) {
    struct epoll_event ready;
    uint64_t value;
    CHECK(epoll_wait(epoll, &ready, 1, -1) == 1 && ready.data.fd == event);
    CHECK(read(event, &value, 8) == 8);
    return value;
}

static int watching(int event) {
    int epoll = epoll_create1(0);
    struct epoll_event want = {.events = EPOLLIN | EPOLLET, .data.fd = event};
    CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, event, &want) == 0);
    return epoll;
}

static void events(void) {
    int there = eventfd(0, 0), back = eventfd(0, 0);
    uint64_t one = 1, end = 1000;
    pid_t other = begin();
    if (!other) {
        int epoll = watching(there);
        while (take_event(epoll, there) < end) CHECK(write(back, &one, 8) == 8);
        _exit(0);
    }
    int epoll = watching(back);
    while (going()) {
        CHECK(write(there, &one, 8) == 8);
        CHECK(take_event(epoll, back) == 1);
    }
    CHECK(write(there, &end, 8) == 8);
    CHECK(status_of(other) == 0);
}

// Messages larger than the buffer, so that the writer waits as well.
static void sockets(void) {
    enum { LARGE = 400000 };
    static char buffer[LARGE];
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    pid_t other = begin();
    if (!other) {
        close(ends[0]);
        for (;;) {
            int length;
            ssize_t count = recv(ends[1], &length, sizeof length, MSG_WAITALL);
            if (count == 0) _exit(0);
            CHECK(count == sizeof length);
            CHECK(recv(ends[1], buffer, length, MSG_WAITALL) == length);
            CHECK(send(ends[1], &length, sizeof length, 0) == sizeof length);
        }
    }
    close(ends[1]);
    while (going()) {
        int length = rnd() % 8 ? 1 + rnd() % 100 : 1 + rnd() % LARGE, answer;
        CHECK(send(ends[0], &length, sizeof length, 0) == sizeof length);
        for (int sent = 0; sent < length;) {
            ssize_t count = send(ends[0], buffer, length - sent, 0);
            CHECK(count > 0);
            sent += count;
        }
        CHECK(recv(ends[0], &answer, sizeof answer, MSG_WAITALL) == sizeof answer && answer == length);
    }
    close(ends[0]);
    CHECK(status_of(other) == 0);
}

// ---- Futexes ----------------------------------------------------------------------------------------------------------

static void turn_by_turn(void) {
    pid_t other = begin();
    if (!other) {
        while (me->word >= 0) {
            await_not(&me->word, 0);
            if (me->word < 0) break;
            me->word = 0;
            CHECK(futex(&me->word, FUTEX_WAKE, 1) >= 0);
        }
        _exit(0);
    }
    while (going()) {
        me->word = 1;
        CHECK(futex(&me->word, FUTEX_WAKE, 1) >= 0);
        await_not(&me->word, 1);
    }
    me->word = -1;
    CHECK(futex(&me->word, FUTEX_WAKE, 1) >= 0);
    CHECK(status_of(other) == 0);
}

// One wakes many; the last of them wakes it.
static void herd(void) {
    enum { SIZE = 5 };
    pid_t others[SIZE];
    for (int i = 0; i < SIZE; i++) {
        others[i] = begin();
        if (others[i]) continue;
        for (int seen = 0;;) {
            await_not(&me->word, seen);
            if (me->word < 0) _exit(0);
            seen++;
            if (++me->ack == seen * SIZE) CHECK(futex(&me->ack, FUTEX_WAKE, 1) >= 0);
        }
    }
    for (int turn = 1; going(); turn++) {
        me->word = turn;
        // Sometimes one by one.
        if (rnd() & 1)
            for (int i = 0; i < SIZE; i++) CHECK(futex(&me->word, FUTEX_WAKE, 1) >= 0);
        CHECK(futex(&me->word, FUTEX_WAKE, INT_MAX) >= 0);
        for (int ack; (ack = me->ack) < turn * SIZE;) CHECK(futex(&me->ack, FUTEX_WAIT, ack) == 0 || errno == EAGAIN);
        if (turn == INT_MAX / SIZE - 1) break;
    }
    me->word = -1;
    CHECK(futex(&me->word, FUTEX_WAKE, INT_MAX) >= 0);
    for (int i = 0; i < SIZE; i++) CHECK(status_of(others[i]) == 0);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static long made, used, queued;

static void *produce(void *end) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (queued == 3) pthread_cond_wait(&emptied, &mutex);
        int go = going();
        if (go) queued++, made++;
        pthread_mutex_unlock(&mutex);
        if (!go) return end;
        pthread_cond_signal(&filled);
    }
}

static void *consume(void *end) {
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (queued == 0) pthread_cond_wait(&filled, &mutex);
        if (queued < 0) return pthread_mutex_unlock(&mutex), end;
        queued--, used++;
        pthread_mutex_unlock(&mutex);
        pthread_cond_signal(&emptied);
    }
}

static void conditions(void) {
    pthread_t makers[2], users[2];
    for (int i = 0; i < 2; i++) CHECK(!pthread_create(&users[i], 0, consume, 0) && !pthread_create(&makers[i], 0, produce, 0));
    for (int i = 0; i < 2; i++) CHECK(!pthread_join(makers[i], 0));
    pthread_mutex_lock(&mutex);
    while (queued) {
        pthread_mutex_unlock(&mutex);
        usleep(1000);
        pthread_mutex_lock(&mutex);
    }
    queued = -1;
    pthread_mutex_unlock(&mutex);
    pthread_cond_broadcast(&filled);
    for (int i = 0; i < 2; i++) CHECK(!pthread_join(users[i], 0));
    CHECK(made == used);
}

static void *nothing(void *value) { return value; }

static void threads(void) {
    while (going()) {
        pthread_t some[4];
        void *result;
        for (long i = 0; i < 4; i++) CHECK(!pthread_create(&some[i], 0, nothing, (void *)i));
        for (long i = 0; i < 4; i++) CHECK(!pthread_join(some[i], &result) && result == (void *)i);
    }
}

static struct {
    pthread_mutex_t mutex;
    long count;
} inheriting;

static void *contend(void *end) {
    while (going()) {
        pthread_mutex_lock(&inheriting.mutex);
        long count = inheriting.count++;
        if (rnd() % 16 == 0) sched_yield();
        CHECK(inheriting.count == count + 1);
        pthread_mutex_unlock(&inheriting.mutex);
    }
    return end;
}

static void inheritance(void) {
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT);
    CHECK(!pthread_mutex_init(&inheriting.mutex, &kind));
    pthread_t some[3];
    for (int i = 0; i < 3; i++) CHECK(!pthread_create(&some[i], 0, contend, 0));
    for (int i = 0; i < 3; i++) CHECK(!pthread_join(some[i], 0));
}

// ---- Signals ----------------------------------------------------------------------------------------------------------

static volatile sig_atomic_t signalled;
static void on_signal(int number) { signalled = number; }

static void handle(int number) {
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, number);
    CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0 && sigaction(number, &action, 0) == 0);
}

static void await_signal(void) {
    sigset_t none;
    sigemptyset(&none);
    while (!signalled) sigsuspend(&none);
    signalled = 0;
}

static void signals(void) {
    handle(SIGUSR1);
    pid_t leader = getpid(), other = begin();
    if (!other)
        for (;;) {
            await_signal();
            if (me->gone) _exit(0);
            CHECK(kill(leader, SIGUSR1) == 0);
        }
    while (going()) {
        CHECK(kill(other, SIGUSR1) == 0);
        await_signal();
    }
    me->gone = 1;
    CHECK(kill(other, SIGUSR1) == 0);
    CHECK(status_of(other) == 0);
}

// Queued ones, each with its number, all of which have to come in order.
static void queued_signals(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &set, 0) == 0);
    pid_t leader = getpid(), other = begin();
    if (!other)
        for (int expected = 0;; expected++) {
            siginfo_t info;
            CHECK(sigwaitinfo(&set, &info) == SIGRTMIN);
            if (info.si_value.sival_int < 0) _exit(0);
            CHECK(info.si_value.sival_int == expected);
            if (expected % 4 == 3) CHECK(sigqueue(leader, SIGRTMIN, info.si_value) == 0);
        }
    for (int sent = 0; going();) {
        siginfo_t info;
        for (int i = 0; i < 4; i++) CHECK(sigqueue(other, SIGRTMIN, (union sigval){.sival_int = sent++}) == 0);
        CHECK(sigwaitinfo(&set, &info) == SIGRTMIN && info.si_value.sival_int == sent - 1);
    }
    CHECK(sigqueue(other, SIGRTMIN, (union sigval){.sival_int = -1}) == 0);
    CHECK(status_of(other) == 0);
}

// A handler that interrupts a read at any place: the byte comes all the same.
static void interruptions(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR2, &action, 0) == 0);
    pid_t leader = getpid(), other = begin();
    if (!other) {
        while (!me->gone) {
            CHECK(kill(leader, SIGUSR2) == 0);
            usleep(rnd() % 200);
        }
        _exit(0);
    }
    pipes();
    me->gone = 1;
    CHECK(status_of(other) == 0);
}

static void timers(void) {
    handle(SIGALRM);
    while (going()) {
        struct timespec before, after, span = {.tv_nsec = rnd() % 300000};
        clock_gettime(CLOCK_MONOTONIC, &before);
        CHECK(nanosleep(&span, 0) == 0);
        clock_gettime(CLOCK_MONOTONIC, &after);
        CHECK((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= span.tv_nsec);
        struct itimerval soon = {.it_value.tv_usec = 1 + rnd() % 500};
        CHECK(setitimer(ITIMER_REAL, &soon, 0) == 0);
        await_signal();
    }
}

// ---- Processes --------------------------------------------------------------------------------------------------------

static void forks(void) {
    while (going()) {
        pid_t some[8];
        int count = 1 + rnd() % 8;
        for (int i = 0; i < count; i++)
            if (!(some[i] = begin())) {
                if (i & 1) pause();
                _exit(i);
            }
        for (int i = 1; i < count; i += 2) CHECK(kill(some[i], SIGKILL) == 0);
        for (int i = count; i--;) CHECK(status_of(some[i]) == (i & 1 ? SIGKILL : i << 8));
    }
    CHECK(wait(0) == -1 && errno == ECHILD);
}

static void told_of_children(void) {
    handle(SIGCHLD);
    while (going()) {
        pid_t child = begin();
        if (!child) _exit(7);
        await_signal();
        int status;
        CHECK(waitpid(child, &status, WNOHANG) == child && status == 7 << 8);
    }
}

static void trees(void) {
    while (going()) {
        pid_t child = begin();
        if (!child) {
            pid_t left = begin();
            if (!left) _exit(1);
            pid_t right = begin();
            if (!right) _exit(2);
            CHECK(status_of(left) == 1 << 8 && status_of(right) == 2 << 8);
            _exit(3);
        }
        CHECK(status_of(child) == 3 << 8);
    }
}

static void programs(void) {
    while (going()) {
        pid_t child = vfork();
        if (!child) execl("/proc/self/exe", "wakeups", "exit", (char *)0), _exit(9);
        CHECK(child > 0 && status_of(child) == 42 << 8);
    }
}

// Killed at any point of a conversation: the one who reads sees the end.
static void killed(void) {
    while (going()) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        pid_t child = begin();
        if (!child) {
            close(ends[0]);
            for (;;) give(ends[1]);
        }
        close(ends[1]);
        for (int count = rnd() % 20; count--;) CHECK(take(ends[0]) == 1);
        CHECK(kill(child, SIGKILL) == 0);
        while (take(ends[0])) {
        }
        close(ends[0]);
        CHECK(status_of(child) == SIGKILL);
    }
}

// Threads that wait in many ways when their process ends.
static void *wait_for_ever(void *how) {
    me->there++;
    futex(&me->there, FUTEX_WAKE, 1);
    if (how) pause();
    while (!me->gone) futex(&me->gone, FUTEX_WAIT, 0);
    return 0;
}

static void group_ends(void) {
    while (going()) {
        me->there = 0;
        pid_t child = begin();
        if (!child) {
            pthread_t thread;
            for (long i = 0; i < 3; i++) CHECK(!pthread_create(&thread, 0, wait_for_ever, (void *)(i & 1)));
            if (rnd() & 1)
                for (int there; (there = me->there) < 3;) futex(&me->there, FUTEX_WAIT, there);
            _exit(5);
        }
        CHECK(status_of(child) == 5 << 8);
    }
}

// Somebody who only computes, so that wake-ups have to preempt.
static void computes(void) {
    volatile unsigned long sum = 0;
    while (going())
        for (int i = 0; i < 100000; i++) sum += i;
}

// ---- All of them ------------------------------------------------------------------------------------------------------

static const struct {
    const char *name;
    void (*run)(void);
} kinds[] = {
    {"pipes", pipes}, {"moved", moved}, {"promoted", promoted}, {"halted", halted}, {"ring", ring},
    {"polled", polled}, {"events", events}, {"sockets", sockets}, {"turn by turn", turn_by_turn}, {"herd", herd},
    {"conditions", conditions}, {"threads", threads}, {"inheritance", inheritance}, {"signals", signals},
    {"queued signals", queued_signals}, {"interruptions", interruptions}, {"timers", timers}, {"forks", forks},
    {"told of children", told_of_children}, {"trees", trees}, {"programs", programs}, {"killed", killed},
    {"group ends", group_ends}, {"computes", computes},
};
#define KINDS (int)(sizeof kinds / sizeof *kinds)

// What the kernel says of the processes of a circle, and of its threads.
static void tell_about(pid_t group) {
    DIR *all = opendir("/proc");
    for (struct dirent *entry; all && (entry = readdir(all));) {
        static const char *const files[] = {"stat", "wchan", "syscall"};
        int pid = atoi(entry->d_name);
        if (!pid || getpgid(pid) != group) continue;
        char path[300], text[512];
        snprintf(path, sizeof path, "/proc/%d/task", pid);
        DIR *tasks = opendir(path);
        for (struct dirent *task; tasks && (task = readdir(tasks));)
            for (int i = 0; i < 3; i++) {
                if (task->d_name[0] == '.') continue;
                snprintf(path, sizeof path, "/proc/%d/task/%s/%s", pid, task->d_name, files[i]);
                int file = open(path, O_RDONLY);
                ssize_t count = file < 0 ? 0 : read(file, text, sizeof text - 1);
                if (file >= 0) close(file);
                text[count < 0 ? 0 : count] = 0;
                fprintf(stderr, "  %s: %s%s", path, text, strchr(text, '\n') ? "" : "\n");
            }
        if (tasks) closedir(tasks);
    }
    if (all) closedir(all);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "exit")) _exit(42);
    setvbuf(stdout, 0, _IONBF, 0);
    double seconds = argc > 1 ? atof(argv[1]) : 3;
    if (argc > 2) seed = strtoull(argv[2], 0, 0) | 1;
    int copies = argc > 3 ? atoi(argv[3]) : 1;
    const char *only = argc > 4 ? argv[4] : 0;
    if (copies > MOST / KINDS) copies = MOST / KINDS;
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct circle *circles = shared->circles;
    int count = 0, wrong = 0;
    double start = now();
    for (int copy = 0; copy < copies; copy++)
        for (int kind = 0; kind < KINDS; kind++) {
            if (only && strcmp(only, kinds[kind].name)) continue;
            me = &circles[count++];
            me->name = kinds[kind].name;
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            pid_t leader = fork();
            if (!leader) {
                setpgid(0, 0);
                kinds[kind].run();
                _exit(0);
            }
            // Not in the child: it shares this.
            me->leader = leader;
            if (leader < 0) {
                printf("no more processes\n");
                for (int i = 0; i < count - 1; i++) setpgid(circles[i].leader, circles[i].leader), kill(-circles[i].leader, SIGKILL);
                return 1;
            }
        }
    double told = start;
    double moved_at[MOST];
    unsigned long turns[MOST];
    int status[MOST], ended[MOST] = {0}, left = count;
    for (int i = 0; i < count; i++) moved_at[i] = start, turns[i] = 0, status[i] = -1;
    while (left) {
        usleep(20000);
        double time = now();
        if (time - start >= seconds) shared->stop = 1;
        for (int i = 0; i < count; i++) {
            if (ended[i]) continue;
            if (waitpid(circles[i].leader, &status[i], WNOHANG) == circles[i].leader) {
                ended[i] = 1, left--;
                if (!shared->stop) wrong = 1; // too early
                continue;
            }
            if (circles[i].turns != turns[i]) turns[i] = circles[i].turns, moved_at[i] = time;
            if (time - moved_at[i] < PATIENCE) continue;
            printf("%s: no, stands still after %lu turns, %.1f s after the start\n", circles[i].name, turns[i], time - start);
            tell_about(circles[i].leader);
            kill(-circles[i].leader, SIGKILL);
            ended[i] = 1, left--, wrong = 1;
        }
        if (argc > 1 && time - told >= 10) {
            told = time;
            unsigned long sum = 0;
            for (int i = 0; i < count; i++) sum += circles[i].turns;
            fprintf(stderr, "%.0f s: %lu turns\n", time - start, sum);
        }
    }
    for (int i = 0; i < count; i++) {
        int good = status[i] == 0 && circles[i].turns > 1;
        if (!good) wrong = 1;
        if (copies == 1) printf("%s: %s\n", circles[i].name, good ? "yes" : "no");
        if (argc > 1) fprintf(stderr, "%s: %lu turns, status %x\n", circles[i].name, circles[i].turns, status[i]);
    }
    printf("wakeups %s\n", wrong ? "FAIL" : "ok");
    return wrong;
}
