echo one > f; echo two >> f; cat f; cat < f | wc -l
echo err 2>/dev/null >&2; ls /nonexistent 2> e; cat e | wc -l
exec 3>g; echo three >&3; exec 3>&-; cat g
{ echo a; echo b; } > h; wc -c < h
: > f; wc -c f; set -C; echo x > f; echo $?
cat <&- ; echo $?
exec 4<g; read line <&4; echo "$line"
echo to-stderr >&2
