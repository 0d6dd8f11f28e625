// flags: -static-pie
#include "check.h"
static int data = 5, *pointer = &data;
static const char *const table[] = {"relocated", "twice"};
static __thread long t = 9;
static void *th(void *a) { return (void *)t; }
int main(int c, char **v) {
    SAY("%d %s %s %ld\n", *pointer, table[0], table[1], t);
    pthread_t x;
    void *r;
    pthread_create(&x, 0, th, 0);
    pthread_join(x, &r);
    SAY("%ld\n", (long)r);
    char b[256];
    ssize_t n = readlink("/proc/self/exe", b, 256);
    SAY("exe %d\n", n > 0 && !strcmp(strrchr(v[0], '/'), (b[n] = 0, strrchr(b, 47))));
    return 21;
}
