// Namespaces of System V IPC: objects of one are not found in another, by key or by identifier; what is mapped stays; promises to
// undo are kept when a process leaves.
#include "namespaces.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define KEY 0x4d4f5331
union arg {
    int val;
    struct semid_ds *buf;
};
static int lines(const char *path) {
    char buffer[8192];
    int fd = open(path, O_RDONLY), n = 0, got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        for (int i = 0; i < got; i++)
            n += buffer[i] == '\n';
    close(fd);
    return n;
}
static int none(void) { return lines("/proc/sysvipc/sem") == 1 && lines("/proc/sysvipc/msg") == 1 && lines("/proc/sysvipc/shm") == 1; }

int main(void) {
    int s;
    ask_whether_refused();
    // A namespace of its own for all of this: nothing is left behind, and nothing of others is in the way.
    if (!refused && unshare(CLONE_NEWIPC))
        refused = 1;
    if (refused) {
        // What remains would change this machine's objects.
        for (int i = 0; i < 24; i++)
            RULE("asked elsewhere", 1);
    }
    RULE("a new namespace is empty", none());
    int set = semget(KEY, 3, IPC_CREAT | 0600), queue = msgget(KEY, IPC_CREAT | 0600);
    int segment = shmget(KEY, 8192, IPC_CREAT | 0600);
    RULE("objects of each kind", set >= 0 && queue >= 0 && segment >= 0);
    RULE("are listed", lines("/proc/sysvipc/sem") == 2 && lines("/proc/sysvipc/msg") == 2 && lines("/proc/sysvipc/shm") == 2);
    char *mapped = shmat(segment, 0, 0);
    strcpy(mapped, "outside");
    struct {
        long type;
        char text[8];
    } message = {1, "hello"};
    msgsnd(queue, &message, 8, 0);
    int back = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
    RULE("children find them", IN(0, _exit(!(semget(KEY, 0, 0) == set && msgget(KEY, 0) == queue && shmget(KEY, 0, 0) == segment))) == 0);

    IN(CLONE_NEWIPC, {
        struct semid_ds sd;
        struct msqid_ds md;
        struct shmid_ds hd;
        RULE("inside: empty", none());
        RULE("not found by key", FAILS(semget(KEY, 0, 0), ENOENT) && FAILS(msgget(KEY, 0), ENOENT) && FAILS(shmget(KEY, 0, 0), ENOENT));
        RULE("nor by number", FAILS(semctl(set, 0, IPC_STAT, (union arg){.buf = &sd}), EINVAL) && FAILS(msgctl(queue, IPC_STAT, &md), EINVAL) &&
                                  FAILS(shmctl(segment, IPC_STAT, &hd), EINVAL));
        RULE("nor used", FAILS(msgrcv(queue, &message, 8, 0, IPC_NOWAIT), EINVAL) && shmat(segment, 0, 0) == (void *)-1 && errno == EINVAL);
        RULE("nor removed", FAILS(semctl(set, 0, IPC_RMID), EINVAL) && FAILS(msgctl(queue, IPC_RMID, 0), EINVAL));
        RULE("what is mapped stays", !strcmp(mapped, "outside") && strcpy(mapped, "inside"));
        RULE("and can be let go", !shmdt(mapped) && FAILS(shmdt(mapped), EINVAL));
        int other = shmget(KEY, 4096, IPC_CREAT | IPC_EXCL | 0600);
        RULE("the same key anew", other >= 0 && semget(KEY, 1, IPC_CREAT | IPC_EXCL | 0600) >= 0 && lines("/proc/sysvipc/shm") == 2);
        RULE("it is another one", ({
                 char *at = shmat(other, 0, 0);
                 at != (void *)-1 && !*at;
             }));
        RULE("back by setns", !setns(back, CLONE_NEWIPC) && semget(KEY, 0, 0) == set && shmget(KEY, 0, 0) == segment);
    });
    RULE("outside nothing has changed", !strcmp(mapped, "inside") && lines("/proc/sysvipc/shm") == 2 && msgrcv(queue, &message, 8, 0, IPC_NOWAIT) == 8);

    // A namespace that an open file keeps.
    int up[2], down[2];
    char byte;
    pipe(up), pipe(down);
    fflush(stdout);
    pid_t p = fork();
    if (!p) {
        unshare(CLONE_NEWIPC);
        int id = msgget(KEY + 1, IPC_CREAT | 0600);
        msgsnd(id, &message, 8, 0);
        write(up[1], "x", 1);
        read(down[0], &byte, 1);
        _exit(0);
    }
    read(up[0], &byte, 1);
    char path[64];
    sprintf(path, "/proc/%d/ns/ipc", p);
    int kept = open(path, O_RDONLY | O_CLOEXEC);
    write(down[1], "x", 1);
    waitpid(p, 0, 0);
    RULE("an open file keeps it", IN(0, {
             int id = setns(kept, 0) ? -1 : msgget(KEY + 1, 0);
             _exit(!(id >= 0 && msgrcv(id, &message, 8, 0, IPC_NOWAIT) == 8));
         }) == 0);
    close(kept);

    // Promises to undo.
    fflush(stdout);
    p = fork();
    if (!p) {
        struct sembuf add = {0, 5, SEM_UNDO};
        semop(set, &add, 1);
        write(up[1], "x", 1);
        read(down[0], &byte, 1);
        unshare(CLONE_NEWIPC);
        write(up[1], "x", 1);
        read(down[0], &byte, 1);
        _exit(0);
    }
    read(up[0], &byte, 1);
    RULE("a promise is open", semctl(set, 0, GETVAL) == 5);
    write(down[1], "x", 1);
    read(up[0], &byte, 1);
    RULE("who leaves keeps it", semctl(set, 0, GETVAL) == 0);
    write(down[1], "x", 1);
    waitpid(p, 0, 0);
    RULE("once", semctl(set, 0, GETVAL) == 0);

    // Who waits in a namespace keeps it, whatever becomes of the others.
    RULE("a waiter is woken by its own", IN(CLONE_NEWIPC, {
             int id = semget(IPC_PRIVATE, 1, 0600);
             pid_t q = fork();
             if (!q) {
                 struct sembuf take = {0, -1, 0};
                 _exit(semop(id, &take, 1) ? 1 : 7);
             }
             ms(30);
             struct sembuf give = {0, 1, 0};
             semop(id, &give, 1);
             waitpid(q, &s, 0);
             _exit(!(WEXITSTATUS(s) == 7));
         }) == 0);
    for (int i = 0; i < 200; i++)
        IN(CLONE_NEWIPC, shmget(IPC_PRIVATE, 1 << 20, 0600));
    RULE("two hundred came and went", none() == 0);
    semctl(set, 0, IPC_RMID), msgctl(queue, IPC_RMID, 0), shmctl(segment, IPC_RMID, 0), shmdt(mapped);
    RULE("all is gone", none());
    return 0;
}
