# busybox's tools on files, archives and links.
cd /tmp
umask 022
run() { "$@"; echo "[$? $1]"; }
mkdir -p d/e/f; echo one > d/one; echo two > d/e/two; ln -s ../one d/e/link; ln d/one d/hard; run mkfifo d/pipe
run stat -c '%n %s %h %F %a' d/one d/e/link d/e d/pipe; run stat -L -c %F d/e/link; run stat -c %i nothing
find d -type f | run sort; find d | sort; run find d -name 't*'; run find d -type l; run find d -maxdepth 1 -type d; find d -links 2 -type f | run sort; find d -empty | run sort
find d -type f | sort | run xargs cat; printf 'a b c d' | run xargs -n 2 echo; printf 'a\0b c\0' | run xargs -0 -n 1 echo; run xargs false < d/one; run find d -name two -exec cat {} +; run find d -name one -delete
run ls -R d; ls -l d | run awk 'NR > 1 { print $1, $2, $3, $5, $9, $10, $11 }'; run ls -1a d/e; run ls nothing; ls -lh d/e/two | run awk '{ print $5 }'
run cp -r d copy; run diff -r d/e copy/e; run cp nothing x; run cp d x; run cp -p d/e/two x; run mv x y; run mv y d/e; run ls d/e; run cp -a d/e/link l; run readlink l; run readlink -f d/e/link
run ln -s nowhere broken; run cat broken; run readlink broken; run ln d/e/two broken; run ln -sf d/e/two broken; run cat broken; run realpath broken; run unlink broken; run link d/e/two z; run rm z
run chmod 640 d/e/two; run stat -c %a d/e/two; run chmod u+x,g-r d/e/two; run stat -c %a d/e/two; run chmod -R go= d; run stat -c %a d/e; run chmod 4755 d/e/two; run stat -c '%a %A' d/e/two; run chown 12:34 d/e/two; run stat -c '%u %g %a' d/e/two; run chgrp 0 d/e/two; run chown nouser d
run touch -d '2001-02-03 04:05:06' t; run date -u -r t; run stat -c %Y t; run touch -r t u; run test t -nt u; run test u -ot t; run touch -c nothing; run ls nothing
run dd if=/dev/zero of=z bs=1k count=3 2> /dev/null; run stat -c %s z; run dd if=z of=z2 bs=512 skip=1 seek=2 count=2 conv=notrunc 2> /dev/null; run stat -c %s z2; echo abcdef | run dd bs=2 skip=1 count=1 2> /dev/null; echo; echo abc | run dd conv=ucase 2> /dev/null; run truncate -s 10 z; run stat -c %s z; run truncate -s +5 z; run stat -c %s z
run tar cf a.tar d/e; tar tf a.tar | run sort; mkdir out; run tar xf a.tar -C out; run diff -r d/e out/d/e; run tar czf a.tgz d/e; tar tzf a.tgz | run sort; run tar xOzf a.tgz d/e/two; tar cf - d/e | tar tf - | run sort; run tar tf nothing.tar
(cd d; find e | sort | cpio -o -H newc 2> /dev/null) > a.cpio; run cpio -t < a.cpio; mkdir cp; (cd cp; run cpio -id < ../a.cpio); run diff -r d/e cp/e
seq 1 5000 > big; run gzip -k big; gzip -dc big.gz | run cmp - big; run gunzip -t big.gz; run zcat big.gz | tail -1; run bzip2 -k big; run bzcat big.bz2 | md5sum; run gzip -d nothing; xz -dc big.xz; run gunzip -f big.gz; run cmp big big; lzop -c big | run lzop -dc | md5sum; run unxz nothing; ar r a.ar big 2> /dev/null; run ar t a.ar
run mktemp -d /tmp/xXXXXXX | cut -c1-6; run mktemp -u | cut -c1-5; run rmdir d; run rm d; run rm -r copy out cp; run rmdir -p d/e/f; run mkdir d; run mkdir -p d/e/g/h; run mkdir -m 700 m; run stat -c %a m; run install -m 600 big inst; run stat -c %a inst
run du -s m; run df nothing; run sync; run fsync big; run shred -u inst; run ls inst; run mountpoint -q /; run mountpoint -q /tmp/m; run flock big echo locked; (flock 9; flock -n big true; echo "[$? flock]") 9< big; run split -b 2 t p; run cmp big t; run chattr; run getopt ab: -a -b x y | head -1; run nproc | grep -c .; run run-parts m; run tree d; run pwd; cd d; run pwd -P; run cat < /dev/null; run head -c 3 /dev/zero | od -An -tx1; run rm -f nothing; run rm nothing
