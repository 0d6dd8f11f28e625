// Who waits for room at a socket goes on as soon as there is some, and is refused when the socket goes.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_un name(const char *text, socklen_t *length) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (text) strcpy(at.sun_path + 1, text);
    *length = offsetof(struct sockaddr_un, sun_path) + 1 + (text ? strlen(text) : 0);
    return at;
}

static int bound(int kind, const char *text) {
    socklen_t length;
    struct sockaddr_un at = name(text, &length);
    int fd = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&at, length)) printf("bind %s: %s\n", text, strerror(errno));
    return fd;
}

static const char *connected(int fd, const char *text) {
    socklen_t length;
    struct sockaddr_un at = name(text, &length);
    return connect(fd, (struct sockaddr *)&at, length) ? strerror(errno) : "ok";
}

static const char *sent(int fd, const char *text, const char *bytes, size_t count, int flags) {
    socklen_t length;
    struct sockaddr_un at = name(text, &length);
    ssize_t n = sendto(fd, bytes, count, flags, text ? (struct sockaddr *)&at : 0, text ? length : 0);
    return n < 0 ? strerror(errno) : "ok";
}

// A child that waits for what the parent does after a while; what came of it.
#define LATER(what, then)                                                                                                \
    do {                                                                                                                 \
        fflush(stdout);                                                                                                  \
        pid_t pid = fork();                                                                                              \
        if (!pid) {                                                                                                      \
            if (listener >= 0) close(listener);                                                                          \
            alarm(20);                                                                                                   \
            printf("%s: %s\n", #what, what);                                                                             \
            fflush(stdout);                                                                                              \
            _exit(0);                                                                                                    \
        }                                                                                                                \
        usleep(50000);                                                                                                   \
        printf("still waits: %d\n", !waitpid(pid, 0, WNOHANG));                                                          \
        fflush(stdout);                                                                                                  \
        then;                                                                                                            \
        int status;                                                                                                      \
        waitpid(pid, &status, 0);                                                                                        \
        printf("ended: %x\n", status);                                                                                   \
    } while (0)

int main(void) {
    static char bytes[100000];
    char buffer[16];
    int listener = bound(SOCK_STREAM, "waits-listener");
    listen(listener, 0);
    int first = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
    printf("first: %s\n", connected(first, "waits-listener"));
    LATER(connected(fd, "waits-listener"), close(accept(listener, 0, 0)));
    LATER(connected(first = socket(AF_UNIX, SOCK_STREAM, 0), "waits-listener"), close(listener));
    listener = -1;

    int mailbox = bound(SOCK_DGRAM, "waits-mailbox"), sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    while (!strcmp(sent(sender, "waits-mailbox", "x", 1, MSG_DONTWAIT), "ok")) {
    }
    LATER(sent(sender, "waits-mailbox", "x", 1, 0), recv(mailbox, buffer, sizeof buffer, 0));
    struct pollfd poll_for = {sender, POLLOUT, 0};
    printf("without a peer: %d\n", poll(&poll_for, 1, 0));
    printf("connect: %s\n", connected(sender, "waits-mailbox"));
    printf("full: %d\n", poll(&poll_for, 1, 0));
    recv(mailbox, buffer, sizeof buffer, 0);
    int ready = poll(&poll_for, 1, 0);
    printf("one has gone: %d %x\n", ready, poll_for.revents);
    printf("sent: %s\n", sent(sender, 0, "x", 1, MSG_DONTWAIT));
    listener = mailbox;
    LATER(sent(sender, "waits-mailbox", "x", 1, 0), close(mailbox));
    listener = -1;

    // What does not fit behind the others fits when they have gone one by one.
    int pair[2];
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    while (!strcmp(sent(pair[0], 0, bytes, 30000, MSG_DONTWAIT), "ok")) {
    }
    LATER(sent(pair[0], 0, bytes, 100000, 0), while (recv(pair[1], buffer, sizeof buffer, MSG_DONTWAIT) > 0) usleep(1000));
    return 0;
}
