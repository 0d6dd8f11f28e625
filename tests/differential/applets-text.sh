# busybox's tools on text, many of them, with what they print and how they end.
cd /tmp
run() { "$@"; echo "[$? $1]"; }
seq 1 12 > n
printf 'pear 3\napple 10\nfig 2\napple 1\n' > f
run sort f; run sort -k2 -n f; run sort -u -k1,1 f; run sort -r f; run sort -c n
run uniq -c n; cut -d' ' -f1 f | sort | run uniq -d; cut -d' ' -f1 f | sort | run uniq -u
run head -3 n; run tail -2 n; run tail -n +11 n; run head -c 5 n; run tail -c 4 n
run cut -c1-3 f; run cut -d' ' -f2 f; run cut -b2 f
run paste n n; run paste -d, -s n; run tac f; run rev f
run wc n f; run wc -l < n; run nl f
echo 'hello world' | run tr a-z A-Z; echo aabbcc | run tr -s abc; echo hello | run tr -d l; echo hi | run tr -c 'a-z\n' x
run grep -n apple f; run grep -v apple f; run grep -c apple f; run grep -q nothing f; run grep -o 'p*' f; run grep -E 'fig|pear' f
run grep -i APPLE f; run grep -l apple f n; run grep -w 1 n; run grep -x 1 n; run grep -A1 fig f; run grep -F . f
run sed -n 2p f; run sed 's/p/P/g' f; run sed '/fig/d' f; run sed -e '2,3s/^/# /' f; run sed '$!N;s/\n/ + /' f; run sed -n '$=' f
run sed 'y/abc/xyz/' f; run sed '1i first' f; run sed '$a last' f; run sed 's/\([a-z]*\) \([0-9]*\)/\2 \1/' f
cp f g; run sed -i 's/apple/APPLE/' g; run cat g; run sed q f
run awk '{ s += $2 } END { print s, NR }' f; run awk -F'[ ]' '$2 > 2 { print $1 }' f; run awk 'BEGIN { printf "%05.2f|%-5s|%x\n", 3.14159, "ab", 255 }'
run awk '{ c[$1]++ } END { for (k in c) print k, c[k] | "sort" }' f; run awk 'BEGIN { while (("echo a; echo b" | getline l) > 0) print "got " l }'
run awk 'BEGIN { print length("hello"), substr("hello", 2, 3), index("hello", "l"), toupper("x"), split("a:b:c", p, ":"), p[3] }'
run awk 'BEGIN { exit 3 }'; run awk 'NR==2, NR==3' f; run awk 'BEGIN { s = "aaa"; print gsub(/a/, "b", s), s; print match("foobar", /o+/), RSTART, RLENGTH }'
run diff f g; run diff -u f f; run cmp f g; run cmp -s f f; run comm n n; sort f > a; sort g > b; run comm -12 a b
run expand -t4 /dev/null; printf 'a\tb\n' | run expand; printf '        b\n' | run unexpand; echo 'a long line that is to be folded' | run fold -w 10 -s
run expr 3 + 4 '*' 2; run expr abc : 'a\(.\)c'; run expr length hello; run expr 1 = 2; run expr 5 / 0; run expr substr hello 2 3; run expr index hello l
run test 1 -lt 2; run test a = b; run test -z ''; run test -f n; run test -d n; run [ -s n ]; run [ n -nt nonesuch ]
run seq 5; run seq 2 3 11; run seq -w 8 11; run seq -s, 3; run seq 3 1; run seq 3 -1 1
run printf '%s-%d-%x-%o-%c\n' a 10 255 8 zed; run printf '%5s|%-5s|%05d\n' a b 42; run printf '%b' 'a\tb\n'; run printf '%q\n' x
run basename /a/b/c.txt .txt; run dirname /a/b/c; run basename /; run dirname a
run od -c f; run od -An -tx1 f; run hexdump -C f; run hexdump f; run xxd f; run od -d n; echo 666f6f0a | run xxd -r -p
run md5sum f; run sha1sum f; run sha256sum f; run sha512sum f; run sha3sum f; run cksum f; run sum f; md5sum f n > sums; run md5sum -c sums; echo x >> f; run md5sum -c sums
run base64 f; base64 f | run base64 -d; run uuencode f name; uuencode f out | run uudecode; run cat out; run strings /dev/null
run factor 360 97 1; run tsort n; printf 'a b\nb c\n' | run tsort; run split -l 5 n part; run cat partac; run tee t1 t2 < n > /dev/null; run cat t2
echo '2 + 3 * 4' | run bc; echo '2 3 + p' | run dc; run cal 9 1752; run yes | head -2; run dos2unix t1; printf 'a\r\n' > crlf; dos2unix crlf; run od -c crlf
printf '1,$p\nq\n' | run ed -s f; printf 'a\nx\n.\nw\nq\n' | run ed -s t1; run tail -1 t1; printf ':1\ndd:wq\n' | run vi t2 > /dev/null; run wc -l t2
run diff a b > p; run patch -p0 a < /dev/null; diff -u a b | run patch a; run cmp a b
run sh -c 'echo $((1 << 4)) $((7 % 3)) $((0x1f)) $((010))'; run nosuchapplet; run true; run false; run echo -n x; run echo -e 'a\tb'; run which ls; run date -u -d @86400 '+%F %T %a %j'; run date -u -d '2020-02-29 12:00' +%s
