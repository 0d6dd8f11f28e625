// execveat, scripts and their corners: what is executed, with which arguments, and why not.
#include "check.h"
#include <sys/prctl.h>
#include <sys/stat.h>

static char *self;
static void put(const char *name, const char *text, int mode) {
    unlink(name);
    int f = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    write(f, text, strlen(text));
    close(f);
    chmod(name, mode);
}
static char **args(char *first, char *second) {
    static char *list[4];
    list[0] = first, list[1] = second, list[2] = 0;
    return list;
}
static char *none[] = {0};
static void at(const char *what, int dir, const char *path, int flags) {
    SAY("%s:\n", what);
    fflush(stdout);
    pid_t p = fork();
    if (!p) {
        errno = 0;
        syscall(SYS_execveat, dir, path, args("zero", "one"), none, flags);
        SAY("  %s\n", strerrorname_np(errno));
        _exit(9);
    }
    reap("  it", p);
}
static void run(const char *name) { at(name, AT_FDCWD, name, 0); }

int main(int argc, char **argv) {
    if (argc > 1 || (argc > 0 && !strcmp(argv[0], "zero"))) {
        SAY("  argc %d:", argc);
        for (int i = 0; i < argc; i++) {
            char *base = strrchr(argv[i], '/');
            SAY(" [%.60s]", !strncmp(argv[i], "/dev/fd", 7) ? "/dev/fd…" : base ? base + 1 : argv[i]);
        }
        SAY("\n");
        return 3;
    }
    if (argc == 0 || (argc == 1 && !*argv[0])) {
        SAY("  argc %d, argv[0] \"%s\"\n", argc, argv[0]);
        return 4;
    }
    char link[400];
    ssize_t n = readlink("/proc/self/exe", link, sizeof link - 1);
    link[n] = 0;
    symlink(link, "me");
    self = "me";
    int me = open("me", O_RDONLY | O_CLOEXEC), path = open("me", O_PATH), here = open(".", O_RDONLY | O_DIRECTORY);

    at("by path", AT_FDCWD, "me", 0);
    at("below a directory", here, "me", 0);
    at("the descriptor itself", me, "", AT_EMPTY_PATH);
    at("O_PATH", path, "", AT_EMPTY_PATH);
    at("empty without the flag", me, "", 0);
    at("a directory", here, "", AT_EMPTY_PATH);
    at("no descriptor", 99, "", AT_EMPTY_PATH);
    at("no descriptor, relative", 99, "me", 0);
    at("no descriptor, absolute", 99, link, 0);
    at("not a directory", me, "me", 0);
    at("a link not followed", AT_FDCWD, "me", AT_SYMLINK_NOFOLLOW);
    at("unknown flag", AT_FDCWD, "me", 0x40);
    at("bad pointer", AT_FDCWD, (char *)8, 0);

    char text[1000];
    snprintf(text, sizeof text, "#!%s\n", link);
    put("plain", text, 0755);
    run("plain");
    snprintf(text, sizeof text, "#!  %s \t -s a  b  \n", link);
    put("argument", text, 0755);
    run("argument");
    snprintf(text, sizeof text, "#!%s", link);
    put("no-newline", text, 0755);
    run("no-newline");
    put("empty-line", "#!\n", 0755);
    run("empty-line");
    put("blanks", "#!   \t \n", 0755);
    run("blanks");
    put("absent", "#!/nowhere/at/all\n", 0755);
    run("absent");
    put("to-directory", "#!/\n", 0755);
    run("to-directory");
    put("relative", "#!me -s\n", 0755);
    run("relative");
    put("not-executable", "#!/bin/sh\n", 0644);
    run("not-executable");
    put("text", "just text\n", 0755);
    run("text");
    put("nothing", "", 0755);
    run("nothing");
    put("short", "#", 0755);
    run("short");
    for (int len = 254; len <= 258; len++) {
        memset(text, 0, sizeof text);
        int k = snprintf(text, sizeof text, "#!%s -s", link);
        memset(text + k, 'x', len - k);
        text[len] = '\n';
        put("long", text, 0755);
        SAY("line of %d\n", len);
        run("long");
    }
    memset(text, 'p', 900);
    memcpy(text, "#!/", 3);
    put("endless", text, 0755);
    run("endless");
    const char *chain[] = {"c1", "c2", "c3", "c4", "c5", "c6"};
    char cwd[300];
    getcwd(cwd, sizeof cwd);
    for (int i = 0; i < 6; i++) {
        if (i == 0)
            snprintf(text, sizeof text, "#!%s -s0\n", link);
        else
            snprintf(text, sizeof text, "#!%s/%s -s%d\n", strcmp(cwd, "/") ? cwd : "", chain[i - 1], i);
        put(chain[i], text, 0755);
    }
    for (int i = 0; i < 6; i++)
        run(chain[i]);
    snprintf(text, sizeof text, "#!%s/self\n", strcmp(cwd, "/") ? cwd : "");
    put("self", text, 0755);
    run("self");

    int script = open("plain", O_RDONLY), closing = open("plain", O_RDONLY | O_CLOEXEC);
    at("a script by descriptor", script, "", AT_EMPTY_PATH);
    at("a script by a descriptor that closes", closing, "", AT_EMPTY_PATH);
    at("a script below a directory", here, "plain", 0);
    int closed_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    at("a script below one that closes", closed_dir, "plain", 0);

    SAY("busy\n");
    put("busy", "#!/bin/sh\n", 0755);
    int w = open("busy", O_WRONLY);
    run("busy");
    close(w);
    SAY("empty argv\n");
    CHILD("no argv", execve("me", none, none); SAY("%s\n", strerrorname_np(errno)));
    CHILD("null argv", syscall(SYS_execve, "me", 0, 0); SAY("%s\n", strerrorname_np(errno)));
    CHILD("empty argv[0]", char *e[] = {"", 0}; execve("me", e, none));
    SAY("too much\n");
    char *big = malloc(200000);
    memset(big, 'b', 200000);
    big[131071] = 0;
    CHILD("128 KiB less one", char *a[] = {"zero", big, 0}; execve("me", a, none); SAY("%s\n", strerrorname_np(errno)));
    big[131071] = 'b', big[131072] = 0;
    CHILD("128 KiB", char *a[] = {"zero", big, 0}; execve("me", a, none); SAY("%s\n", strerrorname_np(errno)));
    big[1000] = 0;
    CHILD("many", static char *a[200000]; for (int i = 0; i < 190000; i++) a[i] = big; a[0] = "zero"; execve("me", a, none);
          SAY("%s\n", strerrorname_np(errno)));
    CHILD("bad argument", char *a[] = {"zero", (char *)8, 0}; execve("me", a, none); SAY("%s\n", strerrorname_np(errno)));
    CHILD("bad environment", execve("me", args("zero", 0), (char **)8); SAY("%s\n", strerrorname_np(errno)));
    return 0;
}
