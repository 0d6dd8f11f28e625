// System V IPC: semaphores with undo and waiting, message queues by kind, shared memory and its life.
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
};

static int op(int id, int number, int change, int flags) {
    struct sembuf one = {number, change, flags};
    return semop(id, &one, 1);
}

static void semaphores(void) {
    int id = semget(0x5eaf, 3, IPC_CREAT | IPC_EXCL | 0600);
    SAY("made %d\n", id >= 0);
    SHOW(semget(0x5eaf, 4, 0600));
    SHOW(semget(0x5eaf, 3, IPC_CREAT | IPC_EXCL | 0600));
    SHOW(semget(0x5eaf, 3, 0600) == id);
    SHOW(semget(0x5eb0, 3, 0600));
    SHOW(semget(IPC_PRIVATE, 0, 0600));
    SHOW(semget(IPC_PRIVATE, -1, 0600));
    unsigned short values[3] = {1, 0, 5};
    SHOW(semctl(id, 0, SETALL, values));
    SHOW(semctl(id, 2, GETVAL));
    SHOW(semctl(id, 3, GETVAL));
    SHOW(semctl(id, 0, SETVAL, 40000));
    SHOW(op(id, 0, -1, IPC_NOWAIT));
    SHOW(op(id, 0, -1, IPC_NOWAIT));
    SHOW(op(id, 0, 0, IPC_NOWAIT));
    SHOW(op(id, 3, 1, 0));
    SHOW(op(id, 2, 32767, 0));
    struct sembuf both[2] = {{2, -1, 0}, {1, -1, IPC_NOWAIT}};
    SHOW(semop(id, both, 2));
    SHOW(semctl(id, 2, GETVAL));
    SHOW(semop(id, both, 0));
    SHOW(semop(id, both, 501));
    struct timespec soon = {0, 20000000};
    struct sembuf wait = {0, -1, 0};
    SHOW(semtimedop(id, &wait, 1, &soon));
    pid_t child = fork();
    if (!child) {
        op(id, 2, -3, SEM_UNDO);
        op(id, 1, 4, SEM_UNDO);
        op(id, 0, -2, 0);
        _exit(semctl(id, 0, GETVAL));
    }
    while (semctl(id, 0, GETNCNT) != 1)
        usleep(1000);
    SAY("within: %d %d, last by the child %d\n", semctl(id, 1, GETVAL), semctl(id, 2, GETVAL),
        semctl(id, 1, GETPID) == child);
    SHOW(op(id, 0, 1, 0));
    SHOW(op(id, 0, 1, 0));
    int s;
    waitpid(child, &s, 0);
    status("child", s);
    SAY("undone: %d %d\n", semctl(id, 1, GETVAL), semctl(id, 2, GETVAL));
    struct semid_ds info;
    SHOW(semctl(id, 0, IPC_STAT, &info));
    SAY("%lu semaphores, mode %o, operated %d\n", info.sem_nsems, info.sem_perm.mode, info.sem_otime != 0);
    child = fork();
    if (!child) {
        errno = 0;
        op(id, 0, -1, 0);
        _exit(errno == EIDRM);
    }
    while (semctl(id, 0, GETNCNT) != 1)
        usleep(1000);
    SHOW(semctl(id, 0, IPC_RMID));
    waitpid(child, &s, 0);
    status("waiter of a removed set", s);
    SHOW(op(id, 0, 1, 0));
}

static void nothing(int signal) {
    (void)signal;
}

static void messages(void) {
    struct {
        long kind;
        char text[9000];
    } m = {3, "three"};
    int id = msgget(IPC_PRIVATE, 0600);
    SHOW(msgsnd(id, &m, 5, 0));
    m.kind = 1;
    strcpy(m.text, "one");
    SHOW(msgsnd(id, &m, 3, 0));
    m.kind = 2;
    strcpy(m.text, "two");
    SHOW(msgsnd(id, &m, 3, 0));
    m.kind = 0;
    SHOW(msgsnd(id, &m, 3, 0));
    m.kind = 7;
    SHOW(msgsnd(id, &m, 8193, 0));
    SHOW(msgrcv(id, &m, 100, -2, 0));
    SAY("%ld %.3s\n", m.kind, m.text);
    SHOW(msgrcv(id, &m, 2, 3, 0));
    SHOW(msgrcv(id, &m, 2, 3, MSG_NOERROR));
    SAY("%ld %.2s\n", m.kind, m.text);
    SHOW(msgrcv(id, &m, 100, 2, MSG_EXCEPT | IPC_NOWAIT));
    SHOW(msgrcv(id, &m, 100, 0, 0));
    SHOW(msgrcv(id, &m, 100, 0, IPC_NOWAIT));
    m.kind = 1;
    SHOW(msgsnd(id, &m, 8192, 0));
    SHOW(msgsnd(id, &m, 8192, 0));
    SHOW(msgsnd(id, &m, 1, IPC_NOWAIT));
    struct msqid_ds info;
    SHOW(msgctl(id, IPC_STAT, &info));
    SAY("%lu messages of %lu bytes of %lu\n", info.msg_qnum, info.__msg_cbytes, info.msg_qbytes);
    signal(SIGALRM, nothing);
    alarm(1);
    SHOW(msgsnd(id, &m, 1, 0));
    pid_t child = fork();
    if (!child)
        _exit(msgsnd(id, &m, 1, 0) ? 1 : 5);
    usleep(20000);
    SHOW(msgrcv(id, &m, 8192, 0, 0));
    int s;
    waitpid(child, &s, 0);
    status("sender", s);
    SHOW(msgctl(id, IPC_RMID, NULL));
    SHOW(msgctl(id, IPC_STAT, &info));
}

static long attached(int id) {
    struct shmid_ds info;
    return shmctl(id, IPC_STAT, &info) ? -errno : (long)info.shm_nattch;
}

static void segments(void) {
    int id = shmget(0x5e6, 10000, IPC_CREAT | 0600);
    SHOW(shmget(0x5e6, 20000, 0600));
    SHOW(shmget(IPC_PRIVATE, 0, 0600));
    char *one = shmat(id, NULL, 0), *two = shmat(id, NULL, SHM_RDONLY);
    strcpy(one + 9000, "shared");
    SAY("%s %ld\n", two + 9000, attached(id));
    SHOW(mprotect(two, 4096, PROT_READ | PROT_WRITE));
    SHOW((long)shmat(id, one, 0));
    SHOW((long)shmat(id, one + 5, 0));
    SHOW(shmat(id, one, SHM_REMAP) == one);
    SAY("%s %ld\n", one + 9000, attached(id));
    SHOW(shmdt(one + 4096));
    SHOW(shmdt(one + 1));
    pid_t child = fork();
    if (!child) {
        int seen = attached(id);
        strcpy(one, "from below");
        shmdt(two);
        _exit(seen * 16 + attached(id));
    }
    int s;
    waitpid(child, &s, 0);
    status("child", s);
    SAY("%s %ld\n", one, attached(id));
    SHOW(shmdt(two));
    SHOW(shmdt(two));
    struct shmid_ds info;
    SHOW(shmctl(id, IPC_RMID, NULL));
    SHOW(shmctl(id, IPC_STAT, &info));
    SAY("%lu bytes, mode %o, key %x, %lu attached, made here %d\n", info.shm_segsz, info.shm_perm.mode,
        info.shm_perm.__key, info.shm_nattch, info.shm_cpid == getpid());
    SHOW(shmget(0x5e6, 0, 0600));
    SAY("still %s\n", one);
    SHOW(shmdt(one));
    SHOW(shmctl(id, IPC_STAT, &info));
}

int main(void) {
    semaphores();
    messages();
    segments();
    return 0;
}
