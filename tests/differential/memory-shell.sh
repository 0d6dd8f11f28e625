x=$(head -c 1000000 /dev/zero | tr '\0' a); echo ${#x}
dd if=/dev/zero of=big bs=1M count=20 2>/dev/null; stat -c %s big; md5sum < big; rm big
awk 'BEGIN { for (i = 0; i < 100000; i++) a[i] = i; print length(a) }'
sort -n <<X | head -1
3
1
2
X
seq 1 50000 | sort -n | tail -1
