sleep 0.3 & a=$!; sleep 0.1 & b=$!
wait $b; echo $?; wait $a; echo $?
(exit 9) & wait $!; echo $?
sleep 100 & p=$!; kill $p; wait $p 2>/dev/null; echo $?
sleep 100 & p=$!; kill -9 $p; wait $p 2>/dev/null; echo $?
sleep 100 & p=$!; kill -STOP $p; sleep 0.1; grep -o '^State:.[A-Z]' /proc/$p/status; kill -CONT $p; sleep 0.1; grep -o '^State:.[A-Z]' /proc/$p/status; kill $p; wait $p 2>/dev/null; echo $?
for i in 1 2 3 4 5 6 7 8; do (sleep 0.0$i; exit $i) & done; wait; echo all
wait 99999; echo $?
kill -0 $$ && echo alive; kill -0 99999 2>/dev/null || echo gone
