// Controlling terminals, foreground and background, hang-up: on pseudo-terminals of its own.
#include "check.h"
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <termios.h>
static int master;
static char name[64];
static volatile int hups, conts, ttous, ttins, winches;
static void count(int s) {
    hups += s == SIGHUP, conts += s == SIGCONT, ttous += s == SIGTTOU, ttins += s == SIGTTIN, winches += s == SIGWINCH;
}
// In an instance mounted here: /dev/pts is not everywhere.
static void new_pty(void) {
    int n, zero = 0;
    if (mkdir("pts", 0755) == 0 && mount("devpts", "pts", "devpts", 0, "newinstance,ptmxmode=0666"))
        SAY("no devpts: %s\n", strerrorname_np(errno));
    master = open("pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    ioctl(master, TIOCSPTLCK, &zero);
    ioctl(master, TIOCGPTN, &n);
    snprintf(name, sizeof name, "pts/%d", n);
}
static void echo_off(int t) {
    struct termios m;
    tcgetattr(t, &m);
    m.c_lflag &= ~ECHO;
    m.c_oflag &= ~OPOST;
    tcsetattr(t, TCSANOW, &m);
}
static void stops(const char *what, pid_t p) {
    int s;
    waitpid(p, &s, WUNTRACED);
    status(what, s);
}
static pid_t background(int t, void (*f)(int)) {
    pid_t p = fork();
    if (!p) {
        close(master);
        setpgid(0, 0);
        f(t);
        _exit(0);
    }
    setpgid(p, p);
    return p;
}
static char buf[256];
static void reads(int t) { SHOW(read(t, buf, 10)); }
static void reads_ignoring(int t) { signal(SIGTTIN, SIG_IGN), reads(t); }
static void reads_blocking(int t) {
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, SIGTTIN);
    sigprocmask(SIG_BLOCK, &m, 0);
    reads(t);
}
static void writes(int t) { SHOW(write(t, "w", 1)); }
static void writes_ignoring(int t) { signal(SIGTTOU, SIG_IGN), writes(t); }
static void sets(int t) {
    struct termios m;
    SHOW(tcgetattr(t, &m));
    SHOW(tcsetattr(t, TCSANOW, &m));
}
static void sets_blocking(int t) {
    sigset_t m;
    sigemptyset(&m);
    sigaddset(&m, SIGTTOU);
    sigprocmask(SIG_BLOCK, &m, 0);
    sets(t);
}
static void takes_foreground(int t) { SHOW(tcsetpgrp(t, getpgrp())); }
static void handles(int t) {
    struct sigaction a = {.sa_handler = count};
    sigaction(SIGTTIN, &a, 0);
    SHOW(read(t, buf, 10));
    SAY("handled %d\n", ttins);
    a.sa_flags = SA_RESTART | SA_RESETHAND;
    sigaction(SIGTTIN, &a, 0);
    SHOW(read(t, buf, 10)); // once more, stopped now
}
static void waits_(int t) {
    (void)t;
    for (;;)
        pause();
}
static void session(void) {
    int t, x, n_;
    SHOW(setsid() == getpid());
    SHOW(open("/dev/tty", O_RDWR));
    t = open(name, O_RDWR | O_NOCTTY);
    SHOW(ioctl(t, TIOCGPGRP, &x));
    SHOW(ioctl(t, TIOCGSID, &x));
    SHOW(tcsetpgrp(t, getpgrp()));
    SHOW(ioctl(t, TIOCNOTTY));
    SHOW(ioctl(t, TIOCSCTTY, 0));
    SHOW(ioctl(t, TIOCSCTTY, 0)); // again, fine
    SAY("foreground %d session %d\n", tcgetpgrp(t) == getpgrp(), tcgetsid(t) == getsid(0));
    int tty = open("/dev/tty", O_RDWR);
    SAY("/dev/tty opens %d, isatty %d, same %d\n", tty >= 0, isatty(tty), tcgetpgrp(tty) == getpgrp());
    close(tty);
    echo_off(t);
    SHOW(ioctl(t, TIOCSPGRP, &(int){-1}));
    SHOW(ioctl(t, TIOCSPGRP, &(int){999999}));
    SHOW(ioctl(t, TIOCSPGRP, &(int){1}));
    SHOW(ioctl(t, TIOCSPGRP, 8));
    SHOW(ioctl(0, TIOCSPGRP, &(int){getpgrp()}));
    // a second terminal cannot be had
    int m1 = master;
    char n1[64];
    strcpy(n1, name);
    new_pty();
    int t2 = open(name, O_RDWR | O_NOCTTY);
    SHOW(ioctl(t2, TIOCSCTTY, 0));
    SHOW(ioctl(t2, TIOCGPGRP, &x));
    SHOW(ioctl(t2, TIOCGSID, &x));
    SHOW(ioctl(master, TIOCGPGRP, &x));
    close(t2), close(master);
    master = m1;
    strcpy(name, n1);
    SHOW(ioctl(master, TIOCGPGRP, &x));
    SAY("the master shows the foreground %d\n", x == getpgrp());
    // another session cannot take it, but by force as root
    CHILD("thief", setsid(); SHOW(ioctl(t, TIOCSCTTY, 0)); int y; SHOW(ioctl(t, TIOCGPGRP, &y)));
    CHILD("not a leader", SHOW(ioctl(t, TIOCSCTTY, 0)); SHOW(ioctl(t, TIOCNOTTY)); SHOW(open("/dev/tty", O_RDWR)));
    // 15, 18: background access
    struct termios m;
    pid_t p;
    p = background(t, reads), stops("read", p);
    kill(p, SIGCONT), stops("again", p);
    write(master, "line\n", 5);
    tcsetpgrp(t, p), kill(p, SIGCONT), reap("read in the foreground", p);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(t, getpgrp());
    signal(SIGTTOU, SIG_DFL);
    p = background(t, reads_ignoring), reap("read, SIGTTIN ignored", p);
    p = background(t, reads_blocking), reap("read, SIGTTIN blocked", p);
    p = background(t, writes), reap("write", p);
    tcgetattr(t, &m), m.c_lflag |= TOSTOP, tcsetattr(t, TCSANOW, &m);
    p = background(t, writes), stops("write with TOSTOP", p);
    kill(p, SIGKILL), reap("write", p);
    p = background(t, writes_ignoring), reap("write with TOSTOP, ignored", p);
    p = background(t, sets), stops("tcsetattr", p);
    kill(p, SIGKILL), reap("tcsetattr", p);
    p = background(t, sets_blocking), reap("tcsetattr, blocked", p);
    p = background(t, takes_foreground), stops("tcsetpgrp", p);
    kill(p, SIGKILL), reap("tcsetpgrp", p);
    p = background(t, handles), stops("handler, then stop", p);
    kill(p, SIGKILL), reap("handler", p);
    // keys
    struct sigaction a = {.sa_handler = count};
    p = background(t, waits_);
    tcsetpgrp(t, p);
    write(master, "\3", 1), reap("^C", p);
    p = background(t, waits_), tcsetpgrp(t, p);
    p = p;
    signal(SIGTTOU, SIG_IGN), tcsetpgrp(t, p);
    write(master, "\34", 1), reap("^\\", p);
    p = background(t, waits_), tcsetpgrp(t, p);
    write(master, "\32", 1), stops("^Z", p);
    kill(p, SIGKILL), reap("^Z", p);
    tcsetpgrp(t, getpgrp());
    // size
    sigaction(SIGWINCH, &a, 0);
    struct winsize w = {30, 90, 0, 0}, o;
    SHOW(ioctl(master, TIOCSWINSZ, &w));
    SHOW(ioctl(t, TIOCGWINSZ, &o));
    SAY("%d x %d, told %d\n", o.ws_row, o.ws_col, winches);
    SHOW(ioctl(t, TIOCSWINSZ, &w));
    SAY("unchanged: told %d\n", winches);
    // an orphaned background group: no stop, EIO (15)
    int up[2], down[2];
    pipe(up), pipe(down);
    pid_t q = fork();
    if (!q) {
        p = fork();
        if (!p) {
            setpgid(0, 0);
            pid_t mother = getppid();
            give(up); // the parent leaves, this group is orphaned
            while (getppid() == mother)
                ms(1);
            take(down);
            SHOW(read(t, buf, 1));
            SHOW(write(t, "x", 1));
            raise(SIGTSTP);
            SAY("not stopped\n");
            give(up);
            _exit(0);
        }
        take(up);
        _exit(0);
    }
    reap("parent of the orphan", q);
    give(down);
    take(up);
    // hang-up: closing the master
    sigaction(SIGHUP, &a, 0), sigaction(SIGCONT, &a, 0);
    int poke[2];
    pipe(poke);
    CHILD("TIOCNOTTY by a member", sigaction(SIGHUP, &a, 0); SHOW(ioctl(t, TIOCNOTTY)); SHOW(open("/dev/tty", O_RDWR));
          SAY("hups %d\n", hups));
    // The leader is told.
    p = background(t, waits_);
    signal(SIGTTOU, SIG_IGN), tcsetpgrp(t, p);
    SHOW(close(master));
    while (!hups || !conts)
        ms(1);
    ms(20);
    SAY("hups %d conts %d\n", hups, conts);
    SHOW(waitpid(p, &n_, WNOHANG));
    kill(p, SIGKILL), reap("foreground", p);
    SHOW(read(t, buf, 1));
    SHOW(write(t, "x", 1));
    SHOW(tcgetattr(t, &m));
    struct pollfd pf = {t, POLLIN, 0};
    SHOW(poll(&pf, 1, 0));
    SAY("%x\n", pf.revents);
    SHOW(open("/dev/tty", O_RDWR));
    SHOW(open(name, O_RDWR));
    SHOW(tcgetpgrp(t));
}
static void leader_leaves(void) {
    // 16: members of the foreground group get SIGHUP, the terminal is free for another session
    int out[2], ready[2], go[2];
    pipe(out), pipe(ready), pipe(go);
    new_pty();
    pid_t p = fork();
    if (!p) {
        setsid();
        int t = open(name, O_RDWR); // without O_NOCTTY: becomes controlling
        SAY("controlling by open %d\n", tcgetpgrp(t) == getpgrp());
        pid_t fg = fork();
        if (!fg) {
            setpgid(0, 0);
            struct sigaction a = {.sa_handler = count};
            sigaction(SIGHUP, &a, 0), sigaction(SIGCONT, &a, 0);
            sigset_t m, o;
            sigemptyset(&m), sigaddset(&m, SIGHUP), sigaddset(&m, SIGCONT);
            sigprocmask(SIG_BLOCK, &m, &o);
            give(ready);
            while (!hups)
                sigsuspend(&o);
            sigprocmask(SIG_SETMASK, &o, 0);
            take(go);
            SAY("foreground: hup %d cont %d\n", hups, conts);
            SHOW(open("/dev/tty", O_RDWR));
            int x;
            SHOW(ioctl(t, TIOCGPGRP, &x));
            SHOW(getsid(0) == getpid());
            give(out);
            _exit(0);
        }
        setpgid(fg, fg);
        pid_t bg = fork();
        if (!bg) {
            setpgid(0, 0);
            signal(SIGHUP, SIG_DFL);
            give(ready);
            for (;;)
                pause(); // not told: not in the foreground, not stopped
        }
        take(ready), take(ready);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(t, fg);
        write(out[1], &bg, sizeof bg);
        _exit(0);
    }
    pid_t bg;
    read(out[0], &bg, sizeof bg);
    reap("leader", p);
    give(go);
    take(out);
    SAY("background lives %d\n", kill(bg, 0) == 0);
    kill(bg, SIGKILL);
    CHILD("the next session", setsid(); int t = open(name, O_RDWR | O_NOCTTY); SHOW(t >= 0); SHOW(ioctl(t, TIOCSCTTY, 0));
          SAY("taken %d\n", tcgetpgrp(t) == getpgrp()));
    close(master);
}
int main(void) {
    int n;
    // the pair itself
    new_pty();
    SHOW(master >= 0);
    int t = open(name, O_RDWR | O_NOCTTY);
    SHOW(t >= 0);
    SHOW(isatty(t) && isatty(master));
    echo_off(t);
    SHOW(write(master, "abc\n", 4));
    SHOW(read(t, buf, 100));
    SHOW(write(t, "xyz", 3));
    SHOW(read(master, buf, 100));
    SHOW(ioctl(master, TIOCSPTLCK, &(int){1}));
    SHOW(open(name, O_RDWR | O_NOCTTY));
    SHOW(ioctl(master, TIOCGPTLCK, &n));
    SAY("locked %d\n", n);
    ioctl(master, TIOCSPTLCK, &(int){0});
    int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    SHOW(peer >= 0);
    close(peer);
    fcntl(master, F_SETFL, O_NONBLOCK);
    SHOW(read(master, buf, 1));
    close(t);
    SHOW(read(master, buf, 1)); // EIO: nobody has the other end open
    struct pollfd pf = {master, POLLIN | POLLOUT, 0};
    SHOW(poll(&pf, 1, 0));
    SAY("hang-up shown %d\n", !!(pf.revents & POLLHUP));
    close(master);
    CHILD("session", new_pty(); session());
    leader_leaves();
}
