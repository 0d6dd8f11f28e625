mkdir -p a/b/c; touch a/b/c/f; find a | sort; rmdir a 2>&1 | wc -l; rm -r a; ls -A
echo data > f; cp f g; mv g h; ls; cmp f h; echo $?
ln f hard; stat -c '%h %s' f; ln -s f soft; readlink soft; cat soft; ls -l soft | cut -c1
rm f; cat hard; cat soft 2>/dev/null; echo $?
chmod 640 hard; stat -c %a hard; chmod u+s,+x hard; stat -c %a hard
umask 027; touch u; mkdir d; stat -c '%n %a' u d
truncate -s 100 t; stat -c %s t; truncate -s 3 t; wc -c t
dd if=/dev/zero of=sparse bs=1 count=1 seek=1000000 2>/dev/null; stat -c %s sparse; md5sum sparse
printf 'line1\nline2\nline3\n' > l; sed -n 2p l; sed -i s/line2/LINE/ l; cat l
