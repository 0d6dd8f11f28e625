// Broken pipes, long arguments, orphans, waitid, limits, identities and awkward renames, each in a child of its own.
#include "check.h"
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
static volatile int n;
static void h(int s) { n++; }
int main() { // pipelines of many processes, SIGPIPE, big args, deep fork chains, orphan reaping, waitid variants
    signal(SIGPIPE, SIG_DFL);
    CHILD("sigpipe", int p[2]; pipe(p); close(p[0]); write(p[1], "x", 1));
    CHILD("epipe", signal(SIGPIPE, SIG_IGN); int p[2]; pipe(p); close(p[0]); SHOW(write(p[1], "x", 1)));
    char *big = malloc(120000);
    memset(big, 'a', 119999);
    big[119999] = 0;
    CHILD("bigarg", char *av[] = {"/bin/sh", "-c", "echo ${#0}", big, 0}; execv("/bin/sh", av);
          SAY("fail %s\n", strerrorname_np(errno)));
    big = realloc(big, 140000);
    memset(big, 'a', 139999);
    big[139999] = 0;
    CHILD("toobig", char *av[] = {"/bin/sh", "-c", "echo ${#0}", big, 0}; SHOW(execv("/bin/sh", av)));
    CHILD("manyargs", char **av = malloc(30003 * 8); av[0] = "/bin/sh"; av[1] = "-c"; av[2] = "echo $#";
          for (int i = 3; i < 30000; i++) av[i] = "argargarg"; av[30000] = 0; SHOW(execv("/bin/sh", av)));
    for (int i = 0; i < 50; i++) {
        if (!fork()) {
            if (!fork()) {
                ms(10);
                _exit(0);
            }
            _exit(i);
        }
    }
    int s, sum = 0;
    for (int i = 0; i < 50; i++) {
        wait(&s);
        sum += WEXITSTATUS(s);
    }
    SAY("sum %d\n", sum);
    SHOW(wait(&s));
    CHILD(
        "subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1); if (!fork()) {
            if (!fork()) {
                ms(50);
                SAY("adopted by the right one %d\n", getppid() != 1);
                _exit(7);
            }
            _exit(3);
        } int a = 0;
        while (wait(&s) > 0) a += WEXITSTATUS(s); SAY("a %d\n", a));
    siginfo_t si;
    pid_t p = fork();
    if (!p) {
        raise(SIGSTOP);
        ms(200);
        _exit(4);
    }
    SHOW(waitid(P_PID, p, &si, WSTOPPED));
    SAY("%d %d\n", si.si_code, si.si_status);
    kill(p, SIGCONT);
    SHOW(waitid(P_PID, p, &si, WCONTINUED));
    SAY("%d %d\n", si.si_code, si.si_status);
    SHOW(waitid(P_ALL, 0, &si, WEXITED | WNOWAIT));
    // A zombie will never be continued or stopped.
    SHOW(waitid(P_PID, p, &si, WCONTINUED));
    SHOW(waitid(P_ALL, 0, &si, WSTOPPED));
    SAY("%d %d %d\n", si.si_code, si.si_status, si.si_pid == p);
    SHOW(waitid(P_PGID, 0, &si, WEXITED));
    SHOW(waitid(P_PGID, 0, &si, WEXITED));
    SHOW(waitid(P_ALL, 0, &si, 0));
    struct rusage ru;
    p = fork();
    if (!p) {
        volatile long x = 0;
        while (clock() < 30000)
            x++;
        _exit(0);
    }
    wait4(p, &s, 0, &ru);
    SAY("cpu charged %d\n", ru.ru_utime.tv_usec + ru.ru_utime.tv_sec * 1000000 + ru.ru_stime.tv_usec >= 20000);
    SAY("maxrss>0 %d\n", ru.ru_maxrss > 0);
    struct itimerval it = {{0, 2000}, {0, 2000}};
    signal(SIGALRM, h);
    setitimer(ITIMER_REAL, &it, 0);
    long t0 = now_ms();
    char buf[65536];
    int pp[2];
    pipe(pp);
    p = fork();
    if (!p) {
        setitimer(ITIMER_REAL, &(struct itimerval){0}, 0);
        close(pp[0]);
        long tot = 0;
        for (int i = 0; i < 200; i++) {
            char *q = buf;
            int l = sizeof buf;
            while (l) {
                int w = write(pp[1], q, l);
                if (w < 0)
                    continue;
                q += w;
                l -= w;
                tot += w;
            }
        }
        _exit(tot == 200L * 65536 ? 0 : 1);
    }
    close(pp[1]);
    long tot = 0;
    for (;;) {
        int r = read(pp[0], buf, sizeof buf);
        if (r < 0) {
            if (errno == EINTR) {
                SAY("EINTR?\n");
            }
            continue;
        }
        if (!r)
            break;
        tot += r;
    }
    reap("writer", p);
    SAY("tot %ld ticks %d\n", tot, n > 0);
    setitimer(ITIMER_REAL, &(struct itimerval){0}, 0);
    // fork bomb limited, exec in loop
    for (int i = 0; i < 30; i++) {
        p = vfork();
        if (!p) {
            execl("/bin/true", "true", (char *)0);
            _exit(1);
        }
        waitpid(p, &s, 0);
        if (s)
            SAY("bad %d\n", s);
    }
    SAY("vforks ok\n");

    CHILD(
        "stack overflow", struct rlimit r = {1 << 20, 1 << 20}; setrlimit(RLIMIT_STACK, &r); int f(int x) {
            volatile char a[4096];
            a[0] = x;
            return f(x + 1) + a[0];
        } f(0));
    CHILD("as limit", struct rlimit r = {64 << 20, 64 << 20}; setrlimit(RLIMIT_AS, &r);
          SAY("%d\n", mmap(0, 128 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM));
    CHILD("nofile", struct rlimit r = {10, 10}; setrlimit(RLIMIT_NOFILE, &r); int c = 0; while (dup(0) >= 0) c++;
          SAY("%d %s\n", c + 3 <= 10, strerrorname_np(errno)));
    CHILD("exec closes", int f = open("/dev/null", O_RDONLY | O_CLOEXEC); char b[50];
          sprintf(b, "[ -e /proc/self/fd/%d ] && echo open || echo closed", f);
          execl("/bin/sh", "sh", "-c", b, (char *)0));
    CHILD("chroot", mkdir("cr", 0755); SHOW(chroot("cr")); SHOW(chdir("/")); SHOW(access("/bin", 0)); char b[100];
          SAY("%s\n", getcwd(b, 100)));
    CHILD("umask", umask(077); close(open("um", O_CREAT | O_RDWR, 0666)); struct stat st; stat("um", &st);
          SAY("%o\n", st.st_mode));
    CHILD("setuid", SHOW(setgid(5)); SHOW(setuid(1000)); SHOW(setuid(0));
          SHOW(open("/root/x", O_CREAT | O_RDWR, 0600) >= 0); SHOW(kill(1, 0)); SHOW(chown("um", 0, 0)));
    CHILD("O_TMPFILE", SHOW(open("/tmp", O_TMPFILE | O_RDWR, 0600) >= 0));
    CHILD("big sparse", int f = open("sp", O_RDWR | O_CREAT, 0600); SHOW(pwrite(f, "x", 1, 1L << 35) == 1);
          struct stat st; fstat(f, &st); SAY("%ld %d\n", (long)st.st_size, st.st_blocks < 100));
    CHILD("rename", mkdir("a", 0755); mkdir("a/b", 0755); SHOW(rename("a", "a/b/c")); SHOW(rename("a/b", "c"));
          SHOW(rmdir("a")); SHOW(rename("c", "nonexist/x")); SHOW(symlink("loop", "loop"));
          SHOW(open("loop", O_RDONLY)); SHOW(mkdir("c/../d", 0755)); SHOW(unlink("c")); SHOW(link("c", "e")));
}
