printf '#!/bin/sh\necho script "$0" "$@"\n' > s; chmod +x s; ./s a 'b c'
printf '#!/bin/busybox sh\necho $1\n' > s2; chmod +x s2; ./s2 x
printf '#!/bin/echo one two\n' > s3; chmod +x s3; ./s3 arg
printf '#!/nonexistent\n' > s4; chmod +x s4; ./s4; echo $?
printf '#!./s\n' > s5; chmod +x s5; ./s5 nested
printf 'no magic; exit 3\n' > s6; chmod +x s6; sh -c ./s6; echo $?
printf '\177ELFgarbage' > bad; chmod +x bad; sh -c ./bad 2>/dev/null; echo $?
head -c 200 /bin/busybox > short; chmod +x short; sh -c ./short 2>/dev/null; echo $?
mkdir dir; ./dir; echo $?; echo x > noexec; ./noexec; echo $?
printf '#!./loop\n' > loop; chmod +x loop; sh -c ./loop 2>/dev/null; echo $?
exec 3>&1; sh -c 'echo via3 >&3'
env -i A=1 B=2 /bin/busybox env | sort; env -i /bin/busybox sh -c 'echo $0'
