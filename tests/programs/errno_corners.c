// Which errno wins in corners that other people's tests look into.
#include "check.h"

int main(void) {
    long page = sysconf(_SC_PAGESIZE);
    struct timespec t = {0, 1};
    SHOW(clock_getres(-1, &t));
    SHOW(clock_gettime(-5, &t));
    SHOW(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL));
    SHOW(syscall(SYS_clock_nanosleep, 77, 0, &t, NULL));
    SHOW((long)mmap(NULL, 0, PROT_READ, MAP_SHARED, 99, 0));
    SHOW((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, 99, 0));
    SHOW((long)mmap(NULL, page, PROT_READ, MAP_SHARED, 99, 1));
    int file = open("/tmp/corner", O_RDWR | O_CREAT, 0600);
    ftruncate(file, page);
    SHOW((long)mmap(NULL, page, PROT_READ, 0, file, 0));
    SHOW((long)mmap(NULL, page, PROT_READ, MAP_SHARED_VALIDATE | (1 << 22), file, 0));
    SHOW((long)mmap(NULL, page, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0));
    TRY(mmap(NULL, page, PROT_READ, MAP_SHARED_VALIDATE | MAP_POPULATE, file, 0) == MAP_FAILED ? -1 : 0);
    TRY(mmap(NULL, page, PROT_READ, MAP_SHARED | (1 << 22), file, 0) == MAP_FAILED ? -1 : 0);
    unlink("/tmp/corner");
    return 0;
}
