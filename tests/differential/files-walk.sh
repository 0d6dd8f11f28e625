mkdir -p t; for i in $(seq 1 300); do echo $i > t/f$i; done; ls t | wc -l; cat t/* | wc -c
find t -name 'f1*' | wc -l; find t -type f -size +0 | wc -l; rm t/f?; ls t | wc -l; rm -rf t; ls -d t
tar cf x.tar -C /etc passwd group; tar tf x.tar; mkdir o; tar xf x.tar -C o; cmp o/passwd /etc/passwd; echo $?
gzip -c /etc/passwd | gunzip | cmp - /etc/passwd; echo $?
cd /bin/../tmp/./..//; pwd
