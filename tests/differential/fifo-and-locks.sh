mkfifo p; (echo through > p) & cat p; wait
mkfifo q; (seq 1 5 > q) & while read x; do echo "r$x"; done < q; wait
stat -c %F p; flock lockfile echo locked; flock -n lockfile -c 'echo inner'
