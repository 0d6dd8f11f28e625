#include "check.h"
static volatile char sink;
static void touch(void *p) { sink = *(volatile char *)p; }
int main(void) {
    char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SAY("zero %d\n", p[0] | p[99999]);
    memset(p, 7, 1 << 20);
    SHOW(mprotect(p, 4096, PROT_READ));
    CHILD("write to read-only", p[0] = 1);
    CHILD("read ok", touch(p));
    SHOW(mprotect(p, 4096, PROT_NONE));
    CHILD("read none", touch(p));
    SHOW(mprotect(p, 4096, PROT_READ | PROT_WRITE));
    SAY("kept %d\n", p[0]);
    SHOW(mprotect(p + 1, 4096, PROT_READ));
    SHOW(mprotect((void *)0x10000, 4096, PROT_READ));
    SHOW(munmap(p + 8192, 4096));
    CHILD("hole", touch(p + 8192));
    CHILD("beside", touch(p + 4096); touch(p + 12288));
    SHOW(munmap(p + 1, 1));
    SHOW(munmap(p, 0));
    SHOW(munmap(p, 1 << 20));
    SHOW(munmap(p, 1 << 20));
    CHILD("gone", touch(p));
    CHILD("nx", char *x = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); *x = 0xc3; ((void (*)(void))x)());
    CHILD("x", char *x = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); *x = 0xc3; ((void (*)(void))x)());
    SHOW(mmap(0, 0, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    SHOW(mmap(0, 4096, 3, MAP_ANONYMOUS, -1, 0));
    SHOW(mmap(0, 4096, 3, MAP_PRIVATE, -1, 0));
    SHOW(mmap((void *)1, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    SHOW(mmap(0, 1ul << 60, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char *s = mmap(0, 8192, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHILD("shared", s[0] = 42);
    SAY("shared %d\n", s[0]);
    char *q = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    q[0] = 1;
    CHILD("private", q[0] = 42);
    SAY("private %d\n", q[0]);
    int f = open("f", O_RDWR | O_CREAT, 0644);
    for (int i = 0; i < 5000; i++)
        write(f, "x", 1);
    char *m = mmap(0, 8192, 3, MAP_PRIVATE, f, 0);
    SAY("file %c %d\n", m[4999], m[5000]);
    m[0] = 'y';
    char c;
    pread(f, &c, 1, 0);
    SAY("private file %c\n", c);
    CHILD("beyond", touch(m + 8191));
    char *n = mmap(0, 16384, 3, MAP_PRIVATE, f, 0);
    CHILD("bus", touch(n + 12288));
    m = mmap(0, 8192, 3, MAP_SHARED, f, 0);
    if (m != MAP_FAILED) {
        m[0] = 'z';
        msync(m, 8192, MS_SYNC);
        pread(f, &c, 1, 0);
    }
    SAY("shared file %c\n", c);
    SHOW(mmap(0, 4096, 3, MAP_SHARED, open("f", O_RDONLY), 0));
    SHOW(mmap(0, 4096, 1, MAP_PRIVATE, f, 1));
    char *a = mmap(0, 4096 * 4, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    a[0] = 5;
    char *b = mremap(a, 4096 * 4, 4096 * 64, MREMAP_MAYMOVE);
    SAY("mremap %d %d\n", b[0], b[4096 * 63]);
    SHOW(mremap(b, 4096 * 64, 4096, 0) == b);
    CHILD("shrunk", touch(b + 8192));
    SHOW(mremap(b + 1, 4096, 8192, 0));
    SHOW(madvise(b, 4096, MADV_DONTNEED));
    SAY("dropped %d\n", b[0]);
    char *brk0 = sbrk(0);
    SHOW(sbrk(100000) == brk0);
    brk0[99999] = 1;
    SAY("brk %d\n", brk0[5]);
    SHOW(brk(brk0));
    CHILD("below brk", touch((char *)(((uintptr_t)brk0 + 4095) & -4096ul) + 4096 * 40));
    SHOW(syscall(SYS_brk, 0) == (long)brk0);
    SHOW(mmap((void *)0x700000000000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) ==
         (void *)0x700000000000);
    SHOW(mmap((void *)0x700000000000, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    unsigned char vec[2];
    SHOW(mincore((void *)0x700000000000, 4096, vec));
    CHILD("null", touch(0));
    CHILD("write text", *(volatile char *)main = 1);
}
