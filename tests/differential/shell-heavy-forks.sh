n=0; for i in $(seq 1 40); do (for j in 1 2 3; do (exit $j) & done; wait; exit 0) & done; wait; echo done
seq 1 100 | xargs -n 1 echo | wc -l
seq 1 30 | xargs -P 4 -n 1 sh -c 'exit 0' ; echo $?
find / -xdev -type d -name bin 2>/dev/null | sort
