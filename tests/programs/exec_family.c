#include "check.h"
int main(int c, char **v, char **e) {
    if (c > 1 && !strcmp(v[1], "show")) {
        SAY("argc %d", c);
        for (int i = 0; i < c; i++)
            SAY(" [%s]", strstr(v[i], "exec_family") ? "self" : v[i]);
        for (char **p = e; *p; p++)
            SAY(" {%s}", *p);
        SAY("\n");
        SAY("fd 7 %s, fd 8 %s\n", fcntl(7, F_GETFD) == -1 ? "closed" : "open",
            fcntl(8, F_GETFD) == -1 ? "closed" : "open");
        struct sigaction a;
        sigaction(SIGUSR1, 0, &a);
        SAY("usr1 %s", a.sa_handler == SIG_DFL ? "default" : "kept");
        sigaction(SIGUSR2, 0, &a);
        SAY(" usr2 %s", a.sa_handler == SIG_IGN ? "ignored" : "other");
        sigset_t m;
        sigprocmask(0, 0, &m);
        SAY(" hup blocked %d", sigismember(&m, SIGHUP));
        sigpending(&m);
        SAY(" pending %d alarm %d\n", sigismember(&m, SIGHUP), alarm(0) > 0);
        return 0;
    }
    if (c == 0 || !v[0][0]) { // without this the last case would start itself for ever
        SAY("argc %d, empty name\n", c);
        return 0;
    }
    char *self = "/proc/self/exe", *av[] = {"name", "show", "", "two words", 0}, *ev[] = {"A=1", "EMPTY=", 0};
    dup2(1, 7);
    dup2(1, 8);
    fcntl(7, F_SETFD, FD_CLOEXEC);
    CHILD("exec", signal(SIGUSR1, exit); signal(SIGUSR2, SIG_IGN); sigset_t m; sigemptyset(&m); sigaddset(&m, SIGHUP);
          sigprocmask(SIG_BLOCK, &m, 0); raise(SIGHUP); alarm(100); execve(self, av, ev));
    SHOW(execve("/nonexistent", av, ev));
    SHOW(execve("/", av, ev));
    SHOW(execve("/etc/passwd", av, ev));
    SHOW(execve("", av, ev));
    SHOW(execve((char *)8, av, ev));
    SHOW(execve("/etc/passwd/x", av, ev));
    CHILD("bad argv", SHOW(execve(self, (char **)8, ev)));
    CHILD("bad env", SHOW(execve(self, av, (char **)8)));
    CHILD("bad arg", char *b[] = {"x", (char *)8, 0}; SHOW(execve(self, b, ev)));
    int f = open("bad", O_CREAT | O_WRONLY, 0755);
    write(f, "\177ELF\2\1\1", 7);
    close(f);
    SHOW(execve("bad", av, ev));
    f = open("empty", O_CREAT | O_WRONLY, 0755);
    close(f);
    SHOW(execve("empty", av, ev));
    char *big = malloc(200000);
    memset(big, 'x', 199999);
    big[199999] = 0;
    char *bv[] = {"x", big, 0};
    CHILD("128 KiB string", SHOW(execve(self, bv, ev)));
    CHILD("100 KiB string", big[100000] = 0; char *ok[] = {"sh", "-c", "echo ${#X}", 0}; char env[100010];
          snprintf(env, sizeof env, "X=%s", big); char *oe[] = {env, 0}; execve("/bin/busybox", ok, oe));
    char **many = calloc(300001, 8);
    for (int i = 0; i < 300000; i++)
        many[i] = "0123456789";
    CHILD("too many", SHOW(execve(self, many, ev)));
    CHILD("fexecve", int x = open(self, O_RDONLY | O_CLOEXEC); fexecve(x, av, ev));
    CHILD("writable", char b[4096]; int i = open(self, O_RDONLY), o = open("copy", O_CREAT | O_RDWR, 0755); ssize_t n;
          while ((n = read(i, b, sizeof b)) > 0) write(o, b, n); SHOW(execve("copy", av, ev)));
    CHILD("after close", execve("copy", av, ev));
    CHILD(
        "vfork", int s; pid_t p = vfork(); if (!p) {
            execve(self, av, ev);
            _exit(1);
        } waitpid(p, &s, 0);
        status("inner", s));
    CHILD("empty argv", char *none[] = {0}; execve("/proc/self/exe", none, ev));
}
