// inotify: which events each operation gives, to whom, in which order; refusals; reading and waiting.
#include "check.h"
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int in;
static char buffer[65536];

static void print_mask(uint32_t mask) {
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{IN_ACCESS, "ACCESS"},           {IN_MODIFY, "MODIFY"},
                 {IN_ATTRIB, "ATTRIB"},           {IN_CLOSE_WRITE, "CLOSE_WRITE"},
                 {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {IN_OPEN, "OPEN"},
                 {IN_MOVED_FROM, "MOVED_FROM"},   {IN_MOVED_TO, "MOVED_TO"},
                 {IN_CREATE, "CREATE"},           {IN_DELETE, "DELETE"},
                 {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"},
                 {IN_UNMOUNT, "UNMOUNT"},         {IN_Q_OVERFLOW, "Q_OVERFLOW"},
                 {IN_IGNORED, "IGNORED"},         {IN_ISDIR, "ISDIR"}};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (mask & names[i].bit)
            SAY(" %s", names[i].name);
}
// What has happened since the last time.
static void events(const char *what) {
    static uint32_t cookie;
    SAY("%s:", what);
    ssize_t n;
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        for (char *p = buffer; p < buffer + n;) {
            struct inotify_event *e = (void *)p;
            SAY(" [%d", e->wd);
            print_mask(e->mask);
            if (e->len)
                SAY(" %s (%u)", e->name, e->len);
            if (e->mask & IN_MOVED_FROM)
                cookie = e->cookie;
            if (e->cookie)
                SAY(e->cookie == cookie ? " same cookie" : " cookie");
            SAY("]");
            p += sizeof *e + e->len;
        }
    SAY("\n");
}
static void make(const char *name, const char *text) {
    int f = open(name, O_WRONLY | O_CREAT, 0644);
    if (*text)
        write(f, text, strlen(text));
    close(f);
}
static void *reader(void *unused) {
    ssize_t n = read(in, buffer, sizeof buffer);
    struct inotify_event *e = (void *)buffer;
    SAY("woken with %zd bytes:", n);
    print_mask(e->mask);
    SAY(" %s\n", e->len ? e->name : "");
    return 0;
}

int main(void) {
    mkdir("d", 0755);
    SHOW(inotify_init1(1));
    in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    SAY("cloexec %d\n", fcntl(in, F_GETFD));
    SHOW(read(in, buffer, sizeof buffer));
    SHOW(write(in, buffer, 1));
    SHOW(inotify_add_watch(in, "absent", IN_CREATE));
    SHOW(inotify_add_watch(in, "d", 0));
    SHOW(inotify_add_watch(-1, "d", IN_CREATE));
    SHOW(inotify_add_watch(0, "d", IN_CREATE));
    SHOW(inotify_add_watch(in, (char *)8, IN_CREATE));
    SHOW(inotify_rm_watch(in, 1));
    SHOW(inotify_rm_watch(0, 1));
    SHOW(inotify_add_watch(in, "d", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(in, "d", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(in, "d", IN_ALL_EVENTS | IN_MASK_CREATE));
    SHOW(inotify_add_watch(in, "d", IN_ALL_EVENTS | IN_MASK_CREATE | IN_MASK_ADD));

    make("d/a", "");
    events("made empty");
    make("d/b", "text");
    events("made");
    int f = open("d/b", O_RDWR);
    read(f, buffer, 2);
    read(f, buffer, 2);
    read(f, buffer, 2);
    write(f, "x", 1);
    pwrite(f, "x", 1, 0);
    ftruncate(f, 1);
    fchmod(f, 0600);
    fchown(f, 0, 0);
    events("worked with");
    lseek(f, 0, SEEK_SET);
    fsync(f);
    fstat(f, &(struct stat){0});
    events("nothing of note");
    futimens(f, 0);
    close(dup(f));
    close(f);
    events("closed");
    close(open("d/b", O_RDONLY));
    events("read-only");
    close(open("d/b", O_PATH));
    events("only a path");
    truncate("d/b", 3);
    chmod("d/b", 0644);
    utimensat(AT_FDCWD, "d/b", (struct timespec[]){{1, 0}, {0, UTIME_OMIT}}, 0);
    utimensat(AT_FDCWD, "d/b", (struct timespec[]){{0, UTIME_OMIT}, {1, 0}}, 0);
    events("by path");
    mkdir("d/sub", 0755);
    symlink("b", "d/link");
    mkfifo("d/fifo", 0600);
    link("d/b", "d/again");
    events("other kinds");
    rename("d/a", "d/renamed");
    events("renamed");
    rename("d/renamed", "away");
    events("moved out");
    rename("away", "d/sub/c");
    events("moved below");
    rename("d/sub", "d/sub2");
    events("directory renamed");
    make("d/victim", "");
    make("d/new", "");
    events("two more");
    rename("d/new", "d/victim");
    events("replaced");
    syscall(SYS_renameat2, AT_FDCWD, "d/victim", AT_FDCWD, "d/b", 2 /* RENAME_EXCHANGE */);
    events("exchanged");
    unlink("d/again");
    unlink("d/link");
    unlink("d/fifo");
    events("unlinked");
    unlink("d/sub2/c");
    rmdir("d/sub2");
    events("directory removed");
    f = open("d", O_RDONLY | O_DIRECTORY);
    syscall(SYS_getdents64, f, buffer, sizeof buffer);
    close(f);
    events("listed");
    mkdir("d/mode", 0755);
    chmod("d/mode", 0700);
    close(open("d/mode", O_RDONLY));
    rmdir("d/mode");
    events("a directory's attributes");
    SHOW(inotify_rm_watch(in, 1));
    events("removed");
    make("d/unseen", "");
    events("nothing");

    SAY("the node itself\n");
    SHOW(inotify_add_watch(in, "d/b", IN_ALL_EVENTS));
    f = open("d/b", O_RDWR);
    write(f, "x", 1);
    link("d/b", "d/second");
    rename("d/b", "d/b2");
    unlink("d/second");
    events("one name less");
    unlink("d/b2");
    events("no name");
    write(f, "y", 1);
    close(f);
    events("gone");
    SHOW(inotify_rm_watch(in, 2));
    mkdir("d/e", 0755);
    SHOW(inotify_add_watch(in, "d/e", IN_ALL_EVENTS));
    SHOW(inotify_add_watch(in, "d", IN_ALL_EVENTS));
    make("d/e/x", "");
    events("in the inner");
    rename("d/e", "d/e2");
    unlink("d/e2/x");
    rmdir("d/e2");
    events("inner removed");
    make("d/y", "");
    events("made");
    SHOW(inotify_add_watch(in, "d/y", IN_OPEN | IN_CLOSE | IN_ATTRIB | IN_DELETE_SELF));
    close(open("d/y", O_RDONLY));
    events("both");
    f = open("d/y", O_RDONLY);
    unlink("d/y");
    events("both, unlinked");
    close(f);
    events("both, gone");

    SAY("options\n");
    make("d/z", "");
    inotify_add_watch(in, "d", IN_OPEN | IN_EXCL_UNLINK);
    events("made");
    f = open("d/z", O_WRONLY);
    inotify_add_watch(in, "d", IN_MODIFY | IN_MASK_ADD | IN_EXCL_UNLINK);
    write(f, "x", 1);
    events("added");
    unlink("d/z");
    write(f, "x", 1);
    close(f);
    events("unlinked ones are left out");
    SHOW(inotify_add_watch(in, "d", IN_CREATE | IN_ONESHOT));
    make("d/o1", "");
    make("d/o2", "");
    events("once");
    SHOW(inotify_add_watch(in, "d/o1", IN_OPEN | IN_ONLYDIR));
    symlink("o1", "d/s");
    int follow = inotify_add_watch(in, "d/s", IN_ALL_EVENTS);
    int not = inotify_add_watch(in, "d/s", IN_ALL_EVENTS | IN_DONT_FOLLOW);
    SAY("two watches: %d\n", follow != not);
    close(open("d/s", O_RDONLY));
    events("followed");
    unlink("d/s");
    events("the link itself");
    inotify_rm_watch(in, follow);
    events("removed");

    SAY("reading\n");
    inotify_add_watch(in, "d", IN_CREATE);
    make("d/1234567890123456", "");
    make("d/123456789012345", "");
    make("d/p", "");
    int n;
    ioctl(in, FIONREAD, &n);
    SAY("%d bytes\n", n);
    SHOW(read(in, buffer, 16));
    SHOW(read(in, buffer, 48));
    SHOW(read(in, buffer, 63));
    struct pollfd p = {in, POLLIN | POLLOUT, 0};
    SHOW(poll(&p, 1, 0));
    SAY("revents %d\n", p.revents);
    SHOW(read(in, buffer, 100));
    SHOW(poll(&p, 1, 0));
    int e = epoll_create1(0);
    struct epoll_event want = {EPOLLIN, {.u32 = 7}}, got = {0};
    epoll_ctl(e, EPOLL_CTL_ADD, in, &want);
    SHOW(epoll_wait(e, &got, 1, 0));
    mkdir("d/q", 0755);
    SHOW(epoll_wait(e, &got, 1, 1000));
    events("epoll");
    fcntl(in, F_SETFL, 0);
    pthread_t t;
    pthread_create(&t, 0, reader, 0);
    ms(50);
    make("d/wakes", "");
    pthread_join(t, 0);
    fcntl(in, F_SETFL, O_NONBLOCK);
    fflush(stdout);
    CHILD("child", make("d/by-child", ""); _exit(0));
    events("of a child");
    int second = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(second, "d", IN_DELETE);
    unlink("d/p");
    SAY("the second got %zd, the first %zd\n", read(second, buffer, 100), read(in, buffer, 100));
    close(second);
    unlink("d/wakes");
    events("not asked for");
    close(in);
    return 0;
}
