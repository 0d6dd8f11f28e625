seq 1 1000 | grep 7 | sort -rn | head -3
yes | head -100000 | wc -l
seq 1 20000 | md5sum
dd if=/dev/zero bs=1k count=300 2>/dev/null | wc -c
echo abc | (read x; echo "got $x")
(echo out; echo err >&2) 2>&1 | sort
cat /dev/null | wc -c
seq 5 | tee copy | tail -1; cat copy | wc -l
