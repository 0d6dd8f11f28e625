// Shared by the programs about namespaces: each rule says whether it holds; where a sandbox forbids namespaces altogether, all
// of them are said to hold.
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

static int refused;
#define RULE(text, holds)                                                                                              \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        int ok_ = refused || (holds);                                                                                  \
        SAY("%s: %s", text, ok_ ? "yes\n" : "NO ");                                                                   \
        if (!ok_)                                                                                                      \
            SAY("(line %d, %s)\n", __LINE__, strerrorname_np(errno));                                                  \
    } while (0)
#define FAILS(call, error) ((call) == -1 && errno == (error))

// Runs code in a new process with these namespaces; its exit status.
#define IN(flags, ...)                                                                                                 \
    ({                                                                                                                 \
        int s_ = -1;                                                                                                   \
        fflush(stdout);                                                                                                \
        pid_t p_ = syscall(SYS_clone, (flags) | SIGCHLD, 0, 0, 0, 0);                                                  \
        if (p_ == 0) {                                                                                                 \
            __VA_ARGS__;                                                                                               \
            fflush(stdout);                                                                                            \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        if (p_ > 0)                                                                                                    \
            waitpid(p_, &s_, 0);                                                                                       \
        s_;                                                                                                            \
    })
#define ANYWAY(flags, ...) (refused ? IN(0, __VA_ARGS__) : IN(flags, __VA_ARGS__))


static inline void ask_whether_refused(void) {
    int s = IN(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNS, mount("none", "/", 0, MS_REC | MS_PRIVATE, 0) && (_exit(9), 0));
    refused = s != 0 && s != 0x900;
}
