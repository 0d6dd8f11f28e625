// Namespaces by clone, unshare and setns: host name, IPC, mounts, process numbers. Says of each rule whether it holds; where
// a sandbox forbids namespaces altogether, it says so of all of them.
#include "namespaces.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static int same(const char *a, const char *b) {
    char x[64] = {0}, y[64] = {0};
    return readlink(a, x, 63) > 0 && readlink(b, y, 63) > 0 && !strcmp(x, y);
}
static int host_is(const char *name) {
    struct utsname u;
    return !uname(&u) && !strcmp(u.nodename, name);
}
static int text(const char *path, char *out, int size) {
    int fd = open(path, O_RDONLY), n = fd < 0 ? -1 : (int)read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[n < 0 ? 0 : n] = 0;
    return n;
}
// A line of /proc/self/status, its fields separated by blanks.
static int fields(const char *path, const char *name, int *out, int max) {
    char buffer[8192], *at;
    if (text(path, buffer, sizeof buffer) < 0 || !(at = strstr(buffer, name)))
        return 0;
    int n = 0;
    for (at += strlen(name); n < max && *at != '\n'; n++)
        out[n] = strtol(at, &at, 10);
    return n;
}
static int here(const char *path) { return access(path, F_OK) == 0; }
static volatile int from = -1, code;
static void note(int n, siginfo_t *i, void *c) { (void)n, (void)c, from = i->si_pid, code = i->si_code; }
static void catch(int n) {
    struct sigaction a = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(n, &a, 0);
}
static void *own_thread(void *a) { return (void *)(long)(syscall(SYS_gettid) == 2 && getpid() == 1); }

int main(void) {
    char buffer[4096];
    struct stat st;
    int s;
    ask_whether_refused();
    mkdir("/tmp/ns", 0755);

    // Files of namespaces.
    RULE("links have a name and a number", readlink("/proc/self/ns/uts", buffer, 64) > 6 && !strncmp(buffer, "uts:[4", 6));
    RULE("a child is in its parent's", IN(0, {
             char parent[64];
             sprintf(parent, "/proc/%d/ns/uts", getppid());
             _exit(same("/proc/self/ns/uts", parent) ? 0 : 1);
         }) == 0);
    RULE("stat finds the number", !stat("/proc/self/ns/uts", &st) && readlink("/proc/self/ns/uts", buffer, 64) > 0 &&
                                      strtoul(buffer + 5, 0, 10) == st.st_ino);
    int old_uts = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    int old_mnt = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    int old_pid = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    RULE("they can be opened, not read", old_uts >= 0 && FAILS(read(old_uts, buffer, 1), EINVAL));

    // Host names.
    ANYWAY(CLONE_NEWUTS, {
        RULE("a new host name space starts with the old names", 1);
        RULE("its name can be set", !sethostname("inside", 6) && host_is("inside"));
        RULE("/proc tells the reader's name", text("/proc/sys/kernel/hostname", buffer, 64) > 0 && !strcmp(buffer, "inside\n"));
        RULE("its children have it", IN(0, _exit(!host_is("inside"))) == 0);
        RULE("back by setns", !setns(old_uts, CLONE_NEWUTS) && !host_is("inside"));
    });
    RULE("outside nothing has changed", !host_is("inside"));
    ANYWAY(0, {
        RULE("unshare gives a name of its own", !unshare(CLONE_NEWUTS) && !sethostname("mine", 4) && host_is("mine"));
        RULE("and IPC", !unshare(CLONE_NEWIPC) && !same("/proc/self/ns/ipc", "/proc/1/ns/ipc"));
    });
    RULE("outside still nothing has changed", !host_is("mine"));

    // What is refused.
    RULE("setns wants a namespace", FAILS(setns(0, 0), EINVAL) && FAILS(setns(999, 0), EBADF));
    RULE("setns checks the kind", FAILS(setns(old_uts, CLONE_NEWIPC), EINVAL));
    RULE("unknown flags of unshare", FAILS(unshare(CLONE_PARENT), EINVAL));
    RULE("new mounts exclude shared places", FAILS(IN(CLONE_NEWNS | CLONE_FS, ), EINVAL));
    RULE("new numbers exclude threads", FAILS(syscall(SYS_clone, CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0), EINVAL));
    ANYWAY(0, {
        if (!setresuid(1000, 1000, 1000)) {
            RULE("without privilege: names", FAILS(unshare(CLONE_NEWUTS), EPERM));
            RULE("without privilege: numbers", FAILS(unshare(CLONE_NEWPID), EPERM));
            RULE("without privilege: mounts", FAILS(unshare(CLONE_NEWNS), EPERM));
            RULE("without privilege: clone", FAILS(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0), EPERM));
            RULE("without privilege: setns", FAILS(setns(old_uts, 0), EPERM));
        }
    });

    // Mounts.
    ANYWAY(CLONE_NEWNS, {
        RULE("mounts can be made private", !mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) || errno == EINVAL);
        RULE("a mount of one's own", !mount("tmpfs", "/tmp/ns", "tmpfs", 0, 0) && !mkdir("/tmp/ns/inside", 0700));
        RULE("read-only for oneself", !mount("none", "/tmp/ns", 0, MS_REMOUNT | MS_RDONLY, 0) && FAILS(mkdir("/tmp/ns/x", 0700), EROFS));
        RULE("children see it", IN(0, _exit(!here("/tmp/ns/inside"))) == 0);
        RULE("back by setns", !setns(old_mnt, CLONE_NEWNS));
    });
    RULE("nobody else sees it", !here("/tmp/ns/inside") && !mkdir("/tmp/ns/outside", 0700) && !rmdir("/tmp/ns/outside"));
    ANYWAY(0, {
        chdir("/tmp/ns");
        RULE("unshare keeps the working directory", !unshare(CLONE_NEWNS) && getcwd(buffer, 64) && !strcmp(buffer, "/tmp/ns"));
        RULE("a mount goes with unshare, too", !mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) || errno == EINVAL);
        RULE("and stays inside", !mount("tmpfs", "/tmp/ns", "tmpfs", 0, 0) && !mkdir("/tmp/ns/inside", 0700));
    });
    RULE("which it does", !here("/tmp/ns/inside"));

    // Numbers.
    int up[2];
    pipe(up);
    ANYWAY(CLONE_NEWPID, {
        RULE("the first is 1", getpid() == 1);
        RULE("its thread, too", syscall(SYS_gettid) == 1);
        RULE("its parent cannot be seen", getppid() == 0);
        RULE("nor its group and session", getpgrp() == 0 && getsid(0) == 0);
        RULE("children count on", IN(0, _exit(getpid() == 2 && getppid() == 1 ? 0 : 1)) == 0);
        pid_t p = fork();
        if (!p)
            _exit(7);
        RULE("fork tells the number inside", refused || p == 3);
        RULE("so does wait", waitpid(p, &s, 0) == p && WEXITSTATUS(s) == 7);
        siginfo_t i;
        p = fork();
        if (!p)
            _exit(0);
        RULE("and waitid", !waitid(P_PID, p, &i, WEXITED) && i.si_pid == p);
        catch (SIGCHLD);
        p = fork();
        if (!p)
            _exit(0);
        waitpid(p, 0, 0);
        RULE("and SIGCHLD", from == p);
        signal(SIGCHLD, SIG_DFL);
        RULE("setsid", setsid() == 1 && getpgrp() == 1 && getsid(0) == 1);
        RULE("groups", IN(0, _exit(setpgid(0, 0) || getpgrp() != getpid() || getpgid(getppid()) != 1)) == 0);
        RULE("nobody outside can be named", FAILS(kill(getpid() + 1000, 0), ESRCH) && FAILS(getpgid(4000), ESRCH));
        catch (SIGUSR1);
        RULE("kill by number", !kill(1, SIGUSR1) && from == 1 && code == SI_USER);
        from = -1;
        RULE("tgkill", !syscall(SYS_tgkill, 1, 1, SIGUSR1) && from == 1);
        RULE("init does not die of its own signals", !kill(1, SIGKILL) && !kill(1, SIGTERM) && !raise(SIGINT));
        p = fork();
        if (!p)
            pause();
        RULE("kill all spares init", refused || (!kill(-1, SIGKILL) && waitpid(p, &s, 0) == p && WTERMSIG(s) == SIGKILL));
        if (refused)
            kill(p, SIGKILL), waitpid(p, 0, 0);
        pthread_t t;
        void *r;
        // A thread takes a number like a process.
        RULE("kcmp by number", syscall(SYS_kcmp, 1, 1, 0, 0, 0) == 0 || errno == ENOSYS || errno == EPERM);
        RULE("priorities by number", !setpriority(PRIO_PROCESS, 1, 3) && getpriority(PRIO_PROCESS, 1) == 3);
        RULE("scheduler by number", sched_getscheduler(1) == 0 && FAILS(sched_getscheduler(99), ESRCH));
        int fd = syscall(SYS_pidfd_open, 1, 0);
        RULE("pidfd by number", fd >= 0);
        // Orphans go to init.
        p = fork();
        if (!p) {
            pid_t q = fork();
            if (!q) {
                while (getppid() == 6000)
                    ;
                ms(30);
                _exit(getppid() == 1 ? 5 : 6);
            }
            _exit(0);
        }
        waitpid(p, 0, 0);
        RULE("orphans are init's", refused || (waitpid(-1, &s, 0) > p && WEXITSTATUS(s) == 5));
        write(up[1], "x", 1);
    });
    RULE("it lived to its end", read(up[0], buffer, 1) == 1);
    ANYWAY(CLONE_NEWPID, {
        pthread_t t;
        void *r = 0;
        pthread_create(&t, 0, own_thread, 0);
        pthread_join(t, &r);
        RULE("threads have numbers inside", r != 0);
    });
    RULE("init's death kills the others", refused || ({
             int p[2];
             pipe(p);
             IN(CLONE_NEWPID, {
                 for (int i = 0; i < 3; i++)
                     if (!fork()) {
                         if (i == 1)
                             setsid();
                         signal(SIGTERM, SIG_IGN);
                         fork();
                         pause();
                     }
                 ms(20);
                 close(p[0]);
                 _exit(0);
             });
             close(p[1]);
             // Nobody holds the other end any more.
             read(p[0], buffer, 1) == 0;
         }));
    fflush(stdout);
    pid_t p = refused ? fork() : syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (!p) {
        for (;;)
            pause();
    }
    RULE("from outside init can be killed", !kill(p, SIGTERM) && (ms(20), 1) && (refused || waitpid(p, &s, WNOHANG) == 0) && !kill(p, SIGKILL) &&
                                                waitpid(p, &s, 0) == p && WTERMSIG(s) == SIGKILL);
    if (refused)
        kill(p, SIGKILL), waitpid(p, 0, 0);

    ANYWAY(0, {
        RULE("unshare leaves the caller its number", !unshare(CLONE_NEWPID) && getpid() > 1);
        RULE("twice is refused", FAILS(unshare(CLONE_NEWPID), EINVAL));
        RULE("threads are refused then", refused || FAILS(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, buffer + 4000, 0, 0, 0), EINVAL));
        pid_t first = fork();
        if (!first) {
            RULE("its first child is 1", getpid() == 1 && getppid() == 0);
            pause();
        }
        ms(100);
        RULE("its second child is 2", IN(0, _exit(getpid() == 2 ? 0 : 1)) == 0);
        kill(first, SIGKILL);
        waitpid(first, 0, 0);
        RULE("after the first has ended there is no more", refused || FAILS(fork(), ENOMEM));
        RULE("setns leads children back", !setns(old_pid, CLONE_NEWPID) && IN(0, _exit(getpid() > 2 ? 0 : 1)) == 0);
    });

    // /proc inside.
    ANYWAY(CLONE_NEWPID | CLONE_NEWNS, {
        int n[8];
        mount("none", "/", 0, MS_REC | MS_PRIVATE, 0);
        RULE("/proc of the outside shows outer numbers", readlink("/proc/self", buffer, 20) > 0 && fields("/proc/self/status", "NSpid:", n, 8) >= 2);
        RULE("a /proc for the inside", !mount("proc", "/tmp/ns", "proc", 0, 0));
        memset(buffer, 0, 20);
        RULE("self is 1", readlink("/tmp/ns/self", buffer, 20) == 1 && buffer[0] == '1');
        RULE("status tells inner numbers", fields("/tmp/ns/self/status", "Pid:", n, 1) == 1 && n[0] == 1 &&
                                               fields("/tmp/ns/self/status", "PPid:", n, 1) == 1 && n[0] == 0);
        RULE("nobody else is there", here("/tmp/ns/1") && !here("/tmp/ns/2"));
        pid_t p = fork();
        if (!p)
            pause();
        RULE("a child comes as 2", here("/tmp/ns/2/stat") && text("/tmp/ns/2/stat", buffer, 100) > 0 && atoi(buffer) == 2);
        kill(p, SIGKILL), waitpid(p, 0, 0);
        RULE("and goes", !here("/tmp/ns/2"));
        fflush(stdout);
        ANYWAY(CLONE_NEWPID, {
            RULE("a namespace inside: 1 again", getpid() == 1);
            RULE("with three numbers", fields("/proc/self/status", "NSpid:", n, 8) >= 3 && n[0] > 1);
            RULE("seen from between with two", fields("/tmp/ns/self/status", "NSpid:", n, 8) == 2 && n[0] == 3 && n[1] == 1);
        });
    });
    // By a pidfd.
    ANYWAY(0, {
        int p[2];
        pipe(p);
        pid_t c = refused ? fork() : syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
        if (!c) {
            sethostname("other", 5);
            write(p[1], "x", 1);
            pause();
        }
        read(p[0], buffer, 1);
        int fd = syscall(SYS_pidfd_open, c, 0);
        RULE("setns by pidfd", !setns(fd, CLONE_NEWUTS) && host_is("other"));
        RULE("setns by pidfd wants kinds", FAILS(setns(fd, 0), EINVAL));
        kill(c, SIGKILL);
    });
    rmdir("/tmp/ns");
    return 0;
}
