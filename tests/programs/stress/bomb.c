// A fork bomb by root without limits: clone must end in EAGAIN (threads-max) before memory does, and a kill of the
// group must bring everything back.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
    pid_t top = fork();
    if (top == 0) {
        setpgid(0, 0);
        for (int refused = 0;;)
            if (fork() < 0 && ++refused > 2000)
                pause();
    }
    setpgid(top, top);
    sleep(8);
    if (kill(-top, SIGKILL) != 0)
        perror("FAIL kill");
    while (wait(NULL) > 0)
        ;
    if (errno != ECHILD)
        perror("FAIL wait");
    pid_t again = fork();
    if (again == 0)
        _exit(0);
    if (again < 0)
        perror("FAIL fork");
    else
        puts("bomb ok");
    return again < 0;
}
