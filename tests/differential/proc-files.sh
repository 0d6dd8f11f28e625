cat /proc/self/comm; tr '\0' ' ' < /proc/self/cmdline; echo
sh -c 'echo $PPID' > a; [ "$(cat a)" = $$ ] && echo parent
readlink /proc/self/exe; readlink /proc/$$/cwd | sed 's/case.*/case/'
cut -d' ' -f1 /proc/self/stat > /dev/null && echo stat
grep -E '^(Name|PPid|Uid|Gid|Threads)' /proc/$$/status | sed "s/$PPID/PPID/" | tr '\t' ' '
ls /proc/self/fd | grep '^[0-3]$'; test -r /proc/meminfo && grep -c '^Mem' /proc/meminfo
grep -q MemTotal /proc/meminfo && echo meminfo; grep -q '^cpu ' /proc/stat && echo cpustat
cut -d' ' -f1 /proc/uptime | grep -c '\.'; cat /proc/version | cut -c1-5 | wc -c; ls -d /proc/$$ | wc -l
[ -d /proc/self/task ] && ls /proc/self/task | wc -l; cat /proc/sys/kernel/ostype 2>/dev/null | wc -l
env -i HOME=/h /bin/cat /proc/self/environ | tr '\0' '\n'; grep -c /proc /proc/mounts | grep -v 0 | wc -l
ps -o pid,comm | grep -c sh | grep -v 0 | wc -l
