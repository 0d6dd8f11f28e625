echo x > /dev/null; cat /dev/null | wc -c; head -c 10 /dev/zero | od -An -tx1; head -c 16 /dev/urandom | wc -c
echo x > /dev/full; echo $?
head -c 16 /dev/random | wc -c; cmp -n 16 /dev/urandom /dev/urandom > /dev/null; echo $?
stat -c '%F %t %T' /dev/null /dev/zero /dev/full /dev/urandom
[ -c /dev/tty ] && echo tty; (: < /dev/tty) 2>/dev/null || echo no-controlling-terminal
tty; echo $?; test -t 0; echo $?
