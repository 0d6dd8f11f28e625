cat /nonexistent; echo $?
cd /nonexistent; echo $?
mkdir x; mkdir x; echo $?; touch x/f; rmdir x; echo $?
cat x; echo $?; echo > x; echo $?; ls x/f/g; echo $?
ln -s loop1 loop2; ln -s loop2 loop1; cat loop1; echo $?
rm x; echo $?; mv x x/y; echo $?
cat $(printf 'n%.0s' $(seq 1 300)); echo $?
mkdir deep; cd deep; rmdir ../deep; touch f; echo $?; pwd
