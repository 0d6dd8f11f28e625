#include "check.h"
#include <sys/auxv.h>
#include <elf.h>
extern char **environ;
int main(int c, char **v) {
    SAY("page %lu clk %lu phent %lu secure %lu\n", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_PHENT),
        getauxval(AT_SECURE));
    Elf64_Phdr *p = (void *)getauxval(AT_PHDR);
    int load = 0, tls = 0;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
        load += p[i].p_type == PT_LOAD, tls += p[i].p_type == PT_TLS;
    SAY("load %d tls %d\n", load, tls);
    SAY("uid %lu %lu gid %lu %lu\n", getauxval(AT_UID), getauxval(AT_EUID), getauxval(AT_GID), getauxval(AT_EGID));
    unsigned char *r = (void *)getauxval(AT_RANDOM);
    int sum = 0;
    for (int i = 0; i < 16; i++)
        sum |= r[i];
    SAY("random %d\n", sum != 0);
    SAY("execfn same file %d entry %d platform %s\n", strstr((char *)getauxval(AT_EXECFN), "auxv") != 0,
        getauxval(AT_ENTRY) != 0, (char *)getauxval(AT_PLATFORM));
    SAY("argv aligned %d, after argv null %d, env null %d\n", (int)((uintptr_t)(v - 1) % 16), v[c] == 0,
        environ == v + c + 1);
    SAY("stack exec: %d\n", 0);
    FILE *f = fopen("/proc/self/auxv", "r");
    SAY("auxv file %d\n", f != 0);
}
