a=$(date +%s%N | cut -c1-13 2>/dev/null); [ ${#a} -ge 10 ] && echo clock
s=$(cut -d. -f1 /proc/uptime); sleep 1; e=$(cut -d. -f1 /proc/uptime); [ $((e - s)) -ge 1 ] && [ $((e - s)) -le 4 ] && echo slept
sleep 0; echo $?; usleep 1000; echo $?
timeout 0.3 sleep 10; echo $?; timeout 5 sh -c 'exit 3'; echo $?
timeout -s KILL 0.2 sleep 10; echo $?
