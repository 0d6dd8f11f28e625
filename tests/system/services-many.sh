# 1,024 instances start, run and stop.
/bin/svcheck many 2>/dev/null | grep -v "^ok"
