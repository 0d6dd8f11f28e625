// Numbers of processes at every place where a program in a namespace of numbers meets one: inner numbers inside, 0 for those who
// cannot be seen. What signals from outside do to the namespace's init, and to those who come too late.
#include "namespaces.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>

static int rights(int fd, int pid) {
    // Sends a byte and claims to be `pid`; 0: as it is.
    struct ucred who = {pid, getuid(), getgid()};
    char control[CMSG_SPACE(sizeof who)] = {0}, byte = 'x';
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (pid) {
        m.msg_control = control, m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_CREDENTIALS, c->cmsg_len = CMSG_LEN(sizeof who);
        memcpy(CMSG_DATA(c), &who, sizeof who);
    }
    return sendmsg(fd, &m, 0);
}
static int sender(int fd) {
    struct ucred who = {-1, 0, 0};
    char control[CMSG_SPACE(sizeof who)] = {0}, byte;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(fd, &m, 0) != 1 || !CMSG_FIRSTHDR(&m))
        return -2;
    memcpy(&who, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof who);
    return who.pid;
}
static int peer(int fd) {
    struct ucred who = {-1, 0, 0};
    socklen_t n = sizeof who;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
    return who.pid;
}
static int holder(int fd) {
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_GETLK, &l) ? -2 : l.l_type == F_UNLCK ? -3 : l.l_pid;
}

int main(void) {
    int s, pair[2], up[2], on = 1;
    char byte;
    ask_whether_refused();
    pipe(up);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    int file = open("lock", O_RDWR | O_CREAT, 0600), outer = getpid();
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    fcntl(file, F_SETLK, &whole);
    int set = semget(IPC_PRIVATE, 1, 0600), queue = msgget(IPC_PRIVATE, 0600), segment = shmget(IPC_PRIVATE, 4096, 0600);
    semctl(set, 0, SETVAL, 1);
    struct {
        long type;
        char text[8];
    } message = {1, "hello"};
    msgsnd(queue, &message, 8, 0);
    rights(pair[0], 0), rights(pair[0], outer);
    RULE("claims of nobody's number", FAILS(rights(pair[0], 0x3ffff0), ESRCH) || errno == EPERM);

    ANYWAY(CLONE_NEWPID, {
        struct msqid_ds md;
        struct shmid_ds hd;
        RULE("a sender outside has no number", refused || (sender(pair[1]) == 0 && sender(pair[1]) == 0));
        RULE("nor has a peer outside", refused || peer(pair[1]) == 0);
        RULE("nor has who holds a lock", refused || holder(file) == 0);
        RULE("nor has who changed a semaphore", refused || semctl(set, 0, GETPID) == 0);
        RULE("nor who sent a message", refused || (!msgctl(queue, IPC_STAT, &md) && md.msg_lspid == 0));
        RULE("nor who made a segment", refused || (!shmctl(segment, IPC_STAT, &hd) && hd.shm_cpid == 0));
        RULE("claims by the inner number", rights(pair[0], getpid()) == 1 && sender(pair[1]) == getpid());
        RULE("claims of somebody else", FAILS(rights(pair[0], 77), ESRCH) || refused);
        RULE("as it is", rights(pair[0], 0) == 1 && sender(pair[1]) == getpid());
        rights(pair[0], getpid());
        int own[2];
        socketpair(AF_UNIX, SOCK_STREAM, 0, own);
        RULE("peers inside", peer(own[0]) == getpid());
        semctl(set, 0, SETVAL, 2);
        RULE("semaphores inside", semctl(set, 0, GETPID) == getpid());
        RULE("input is told to the inner number", !fcntl(own[0], F_SETOWN, getpid()) && fcntl(own[0], F_GETOWN) == getpid());
        RULE("or to the group", !fcntl(own[0], F_SETOWN, -getpgrp()) || errno == ESRCH);
        RULE("nobody else", FAILS(fcntl(own[0], F_SETOWN, 77), ESRCH) || refused);
        struct f_owner_ex ex = {F_OWNER_PID, getpid()};
        RULE("F_SETOWN_EX", !fcntl(own[0], F_SETOWN_EX, &ex) && (ex.pid = 0, !fcntl(own[0], F_GETOWN_EX, &ex)) && ex.pid == getpid());
        int mine = open("inner", O_RDWR | O_CREAT, 0600);
        fcntl(mine, F_SETLK, &whole);
        RULE("locks inside", IN(0, _exit(holder(mine) != getppid())) == 0);
        RULE("priorities of input", syscall(SYS_ioprio_get, 1, getpid()) >= 0 && (FAILS(syscall(SYS_ioprio_get, 1, 77), ESRCH) || refused));
        clockid_t clock;
        RULE("clocks", clock_getcpuclockid(getpid(), &clock) == 0);
        write(up[1], "x", 1);
    });
    read(up[0], &byte, 1);
    int inner = sender(pair[1]);
    RULE("outside the inner one has its outer number", inner > 1 && inner != outer);
    unlink("lock"), unlink("inner");
    semctl(set, 0, IPC_RMID), msgctl(queue, IPC_RMID, 0), shmctl(segment, IPC_RMID, 0);

    // Signals to an init from outside and from inside.
    fflush(stdout);
    pid_t p = refused ? fork() : syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (!p) {
        if (!refused)
            kill(1, SIGSTOP), kill(1, SIGTSTP);
        write(up[1], "x", 1);
        for (;;)
            pause();
    }
    read(up[0], &byte, 1);
    RULE("an init does not stop itself", waitpid(p, &s, WNOHANG | WUNTRACED) == 0);
    RULE("it is deaf to what others send", refused || (!kill(p, SIGTERM) && !kill(p, SIGINT) && !kill(p, SIGTSTP) && (ms(20), waitpid(p, &s, WNOHANG | WUNTRACED) == 0)));
    RULE("from outside it can be stopped", !kill(p, SIGSTOP) && waitpid(p, &s, WUNTRACED) == p && WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP);
    RULE("and continued", !kill(p, SIGCONT) && waitpid(p, &s, WCONTINUED) == p && WIFCONTINUED(s));
    int pidfd = syscall(SYS_pidfd_open, p, 0);
    char path[64];
    sprintf(path, "/proc/%d/ns/pid", p);
    int kept = open(path, O_RDONLY | O_CLOEXEC);
    RULE("and killed", !kill(p, SIGKILL) && (ms(20), 1));
    RULE("a zombie has no namespaces to join", FAILS(setns(pidfd, CLONE_NEWPID), ESRCH) || refused);
    RULE("it is reaped", waitpid(p, &s, 0) == p && WTERMSIG(s) == SIGKILL);
    RULE("nor has one who is gone", FAILS(setns(pidfd, CLONE_NEWPID), ESRCH) || refused);
    RULE("who joins a dead one has no children", refused || IN(0, _exit(setns(kept, CLONE_NEWPID) ? 1 : fork() == -1 && errno == ENOMEM ? 7 : 2)) == 0x700);
    RULE("one inside a dead one neither", refused || IN(0, {
             setns(kept, CLONE_NEWPID);
             int r = unshare(CLONE_NEWPID);
             _exit(r ? 7 : fork() == -1 ? 7 : 2);
         }) == 0x700);

    // Thirty-two deep, and not one more.
    RULE("as deep as thirty-two", refused || IN(0, {
             int depth = 0;
             for (;;) {
                 pid_t q = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
                 if (q == 0) {
                     depth++;
                     continue;
                 }
                 if (q < 0)
                     _exit(errno == ENOSPC ? depth : 99);
                 waitpid(q, &s, 0);
                 _exit(WEXITSTATUS(s));
             }
         }) >> 8 > 20);
    // A bomb inside: its init's end ends it.
    RULE("the end of init ends a bomb", refused || ({
             int end[2];
             pipe(end);
             IN(CLONE_NEWPID, {
                 close(end[0]);
                 struct rlimit r = {200, 200};
                 if (!fork()) {
                     setrlimit(RLIMIT_NPROC, &r);
                     setresuid(4711, 4711, 4711);
                     for (;;)
                         fork();
                 }
                 ms(50);
                 _exit(0);
             });
             close(end[1]);
             read(end[0], &byte, 1) == 0;
         }));
    return 0;
}
