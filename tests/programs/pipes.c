#include "check.h"
int main(void) {
    int f[2];
    char b[70000];
    SHOW(pipe(f));
    SHOW(write(f[1], "hello", 5));
    SHOW(read(f[0], b, 2));
    SHOW(read(f[0], b, 100));
    SAY("%.3s\n", b);
    SHOW(fcntl(f[0], F_GETFL) & O_ACCMODE);
    SHOW(fcntl(f[1], F_GETFL) & O_ACCMODE);
    SHOW(fcntl(f[0], F_SETFL, O_NONBLOCK));
    SHOW(read(f[0], b, 1));
    SHOW(write(f[0], b, 1));
    SHOW(read(f[1], b, 1));
    SHOW(lseek(f[0], 0, SEEK_SET));
    SHOW(fcntl(f[1], F_GETPIPE_SZ));
    fcntl(f[1], F_SETFL, O_NONBLOCK);
    long t = 0, r;
    memset(b, 'x', sizeof b);
    while ((r = write(f[1], b, 4096)) > 0)
        t += r;
    SAY("filled %ld %s\n", t, strerrorname_np(errno));
    SHOW(read(f[0], b, 4096));
    SHOW(write(f[1], b, 4096));
    SHOW(write(f[1], b, 1));
    struct pollfd p[2] = {{f[0], POLLIN, 0}, {f[1], POLLOUT, 0}};
    SHOW(poll(p, 2, 0));
    SAY("%x %x\n", p[0].revents, p[1].revents);
    while (read(f[0], b, sizeof b) > 0)
        ;
    SHOW(poll(p, 2, 0));
    SAY("%x %x\n", p[0].revents, p[1].revents);
    close(f[1]);
    SHOW(read(f[0], b, 1));
    p[1].fd = -1;
    SHOW(poll(p, 2, 0));
    SAY("%x\n", p[0].revents);
    close(f[0]);
    pipe(f);
    close(f[0]);
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(f[1], "x", 1));
    p[0].fd = f[1];
    p[0].events = POLLOUT;
    SHOW(poll(p, 1, 0));
    SAY("%x\n", p[0].revents);
    close(f[1]);
    SHOW(pipe2(f, O_CLOEXEC | O_NONBLOCK));
    SHOW(fcntl(f[0], F_GETFD));
    SHOW(fcntl(f[0], F_GETFL) & O_NONBLOCK);
    SHOW(pipe2(f, 0x1234));
    SHOW(pipe((int *)8));
    close(f[0]);
    close(f[1]);
    pipe(f);
    pid_t c = fork();
    if (!c) {
        close(f[0]);
        for (int i = 0; i < 2000; i++) {
            memset(b, 'a' + i % 26, 100);
            write(f[1], b, 100);
        }
        _exit(0);
    }
    close(f[1]);
    long sum = 0, n = 0;
    while ((r = read(f[0], b, 777)) > 0) {
        n += r;
        for (int i = 0; i < r; i++)
            sum = (sum * 31 + b[i]) & 0xffffff;
    }
    SAY("%ld %lx\n", n, sum);
    reap("writer", c);
    struct iovec v[3] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    pipe(f);
    SHOW(writev(f[1], v, 3));
    char x[3], y[9];
    struct iovec w[2] = {{x, 3}, {y, 9}};
    SHOW(readv(f[0], w, 2));
    SAY("%.3s %.2s\n", x, y);
    SHOW(writev(f[1], v, -1));
    SHOW(writev(f[1], v, 2000));
    int q;
    write(f[1], "1234", 4);
#include <sys/ioctl.h>
    SHOW(ioctl(f[0], FIONREAD, &q));
    SAY("%d\n", q);
    struct stat st;
    fstat(f[0], &st);
    SAY("fifo %d\n", S_ISFIFO(st.st_mode));
    // A buffer that cannot be written costs no bytes: not read-only, not half there, not for a read that had to wait.
    char *two = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(two + 4096, 4096, PROT_READ);
    SHOW(read(f[0], two + 4096, 4));
    SHOW(read(f[0], two + 4094, 4));
    SHOW(read(f[0], (char *)8, 4));
    SHOW(write(f[1], "56", 2));
    SHOW(read(f[0], b, 3));
    SAY("%.3s\n", b);
    SHOW(read(f[0], two + 4096, 4));
    SHOW(read(f[0], b, 9));
    SAY("%.3s\n", b);
    c = fork();
    if (!c) {
        SHOW(read(f[0], two + 4096, 4));
        SHOW(read(f[0], b, 4));
        SAY("%.2s\n", b);
        _exit(0);
    }
    usleep(50000);
    write(f[1], "zz", 2);
    reap("reader", c);
}
