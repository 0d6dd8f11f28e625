printf 'b 2\na 1\nc 3\n' | sort; printf 'b 2\na 1\nc 3\n' | awk '{s += $2} END {print s, NR}'
echo 'a:b:c' | cut -d: -f2; echo hello | rev; printf '1\n1\n2\n' | uniq -c | tr -s ' '
seq 3 | paste -sd+ | tr -d '\n'; echo; echo "3 4 + p" | dc 2>/dev/null
echo abc | od -c | head -1; echo abc | md5sum; echo abc | sha256sum; expr 6 \* 7
grep -c root /etc/passwd; basename /a/b.c .c; dirname /a/b; seq 1 3 | tac; printf '%05d|%-5s|%x\n' 42 ab 255
date -u -d @86400 +%Y-%m-%d; echo test | sed 's/t/T/g'; head -c 5 /dev/zero | od -An -tx1
test -d / -a -x /bin/busybox && echo ok; which busybox
