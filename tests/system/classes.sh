# Classes are given by what a process is and where it stands: the first process, the foreground of a terminal, its background, others.
cat > /tmp/class <<'END'
#!/bin/busybox sh
sed -n 's/^class\(_chosen\)* *: *\(.*\)/\2\1/p' /proc/$1/sched
END
chmod 755 /tmp/class
echo first process: $(/tmp/class 1)
setsid -c sh -c '
echo foreground: $(/tmp/class $$)
echo its child: $(sh -c "/tmp/class \$\$")
setsid sleep 9 & away=$!
sleep 0.3
echo in a session of its own: $(/tmp/class $away)
kill $away
set -m
sleep 9 & job=$!
sleep 0.3
echo background: $(/tmp/class $job)
kill $job
' </dev/ttyS0
rm /tmp/class
