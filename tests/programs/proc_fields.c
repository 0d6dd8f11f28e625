// What /proc says of a process, field by field, where it does not differ from machine to machine; of zombies and threads, too.
#include "check.h"
#include <dirent.h>
#include <sys/prctl.h>

static char text[65536];
static ssize_t slurp(const char *path) {
    int f = open(path, O_RDONLY);
    if (f < 0)
        return -1;
    ssize_t n = read(f, text, sizeof text - 1);
    int e = errno;
    close(f);
    errno = e;
    text[n > 0 ? n : 0] = 0;
    return n;
}
// The line of that name in PID/status, as it is.
static void line(int pid, const char *name) {
    char path[64];
    sprintf(path, "/proc/%d/status", pid);
    slurp(path);
    char *p = text;
    for (; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : 0)
        if (!strncmp(p, name, strlen(name)) && p[strlen(name)] == ':') {
            SAY("%.*s\n", (int)strcspn(p, "\n"), p);
            return;
        }
    SAY("no %s\n", name);
}
static void lines(int pid, int zombie) {
    static const char *names[] = {"Name",   "Umask",  "State",  "TracerPid", "Uid",    "Gid",        "Threads", "SigPnd",
                                  "ShdPnd", "SigBlk", "SigIgn", "SigCgt",    "Seccomp", "VmLck", "NoNewPrivs"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        // What belongs to the threads is gone with them here.
        if (!zombie || (strcmp(names[i], "Umask") && strcmp(names[i], "SigBlk") && strcmp(names[i], "NoNewPrivs")))
            line(pid, names[i]);
}
// Fields of PID/stat behind the name: 3 is the state.
static long field(int pid, int which) {
    char path[64];
    sprintf(path, "/proc/%d/stat", pid);
    slurp(path);
    char *p = strrchr(text, ')') + 2;
    for (int i = 3; i < which; i++)
        p = strchr(p, ' ') + 1;
    return which == 3 ? *p : atol(p);
}
static void stat_of(int pid) {
    SAY("state %c parent %d group %d session %d threads %ld nice %ld exit signal %ld policy %ld\n", (char)field(pid, 3),
        field(pid, 4) == (pid == getpid() ? getppid() : getpid()), field(pid, 5) == getpgid(pid),
        field(pid, 6) == getsid(pid), field(pid, 20), field(pid, 19), field(pid, 38), field(pid, 41));
    int n = 0;
    char path[64];
    sprintf(path, "/proc/%d/stat", pid);
    slurp(path);
    for (char *p = strrchr(text, ')'); *p; p++)
        n += *p == ' ';
    SAY("%d fields, name %.*s\n", n + 2, (int)(strrchr(text, ')') - strchr(text, '(') + 1), strchr(text, '('));
}
static void of(int pid, const char *file) {
    char path[64];
    sprintf(path, "/proc/%d/%s", pid, file);
    errno = 0;
    ssize_t n = slurp(path);
    if (n < 0)
        SAY("%s: %s\n", file, strerrorname_np(errno));
    else {
        for (int i = 0; i < n; i++)
            if (!text[i])
                text[i] = '|';
        SAY("%s: %s%s", file, text, n && text[n - 1] == '\n' ? "" : "\n");
    }
}
static void where(int pid, const char *file) {
    char path[64], to[300];
    sprintf(path, "/proc/%d/%s", pid, file);
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n < 0)
        SAY("%s: %s\n", file, strerrorname_np(errno));
    else
        SAY("%s: %.*s\n", file, (int)n, to);
}
static void put(const char *path, const char *what) {
    int f = open(path, O_WRONLY | O_TRUNC);
    errno = 0;
    ssize_t n = write(f, what, strlen(what));
    SAY("%s <- \"%s\": %zd %s\n", strrchr(path, '/') + 1, what, n, n < 0 ? strerrorname_np(errno) : "");
    close(f);
}
static void caught(int s) {}
static int begun[2], over[2];
static void *thread(void *unused) {
    prctl(PR_SET_NAME, "the thread");
    give(begun);
    take(over);
    return 0;
}
int main(int argc, char **argv) {
    umask(027);
    signal(SIGUSR1, caught);
    signal(SIGUSR2, SIG_IGN);
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGHUP);
    sigprocmask(SIG_BLOCK, &s, 0);
    raise(SIGHUP);
    kill(getpid(), SIGHUP);
    lines(getpid(), 0);
    stat_of(getpid());
    prctl(PR_SET_NAME, "a) (b\nc\\d");
    line(getpid(), "Name");
    stat_of(getpid());
    of(getpid(), "comm");
    put("/proc/self/comm", "longer than fifteen bytes");
    of(getpid(), "comm");
    put("/proc/self/comm", "");
    put("/proc/self/comm", "x\ny");
    of(getpid(), "comm");
    where(getpid(), "root");

    SAY("a thread\n");
    pipe(begun), pipe(over);
    pthread_t t;
    pthread_create(&t, 0, thread, 0);
    take(begun);
    stat_of(getpid());
    line(getpid(), "Threads");
    of(getpid(), "comm");
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        if (atoi(e->d_name) > 0 && atoi(e->d_name) != getpid()) {
            char path[300];
            sprintf(path, "/proc/self/task/%s/comm", e->d_name);
            slurp(path);
            SAY("its name: %s", text);
            n++;
        }
    SAY("%d others\n", n);
    closedir(d);
    give(over);
    pthread_join(t, 0);

    SAY("a child\n");
    fflush(stdout);
    pid_t p = fork();
    if (!p) {
        setsid();
        setpriority(PRIO_PROCESS, 0, 5);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        memset(argv[0], 'X', strlen(argv[0]));
        give(begun);
        take(over);
        _exit(3);
    }
    take(begun);
    await(p, "S");
    lines(p, 0);
    stat_of(p);
    of(p, "cmdline");
    kill(p, SIGSTOP);
    await(p, "T");
    line(p, "State");
    line(p, "ShdPnd");
    kill(p, SIGCONT);
    give(over);
    SAY("a zombie\n");
    await(p, "Z");
    lines(p, 1);
    SAY("state %c exit signal %ld threads %ld\n", (char)field(p, 3), field(p, 38), field(p, 20));
    SAY("status %ld\n", field(p, 52));
    of(p, "cmdline");
    of(p, "comm");
    of(p, "maps");
    of(p, "statm");
    where(p, "exe");
    where(p, "cwd");
    line(p, "VmSize");
    reap("child", p);
    of(p, "comm");

    SAY("settings\n");
    of(getpid(), "oom_score_adj");
    put("/proc/self/oom_score_adj", "500");
    put("/proc/self/oom_score_adj", "1001");
    put("/proc/self/oom_score_adj", "text");
    of(getpid(), "oom_score_adj");
    struct rlimit r = {77, 99};
    setrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = 4096, r.rlim_max = RLIM_INFINITY;
    slurp("/proc/self/limits");
    char *l = strstr(text, "Max open files");
    SAY("%.*s\n%.*s\n", (int)strcspn(text, "\n"), text, l ? (int)strcspn(l, "\n") : 0, l ? l : "");
    slurp("/proc/self/io");
    for (char *q = text; *q; q = strchr(q, '\n') + 1)
        SAY("%.*s\n", (int)strcspn(q, ":"), q);
    of(getpid(), "wchan");
    of(getpid(), "nothing");
    return 0;
}
