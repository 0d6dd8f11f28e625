# Services as real processes: order, crashes, escapes, readiness, deaths, bad and unauthorised requests, quotas, /proc/svc.
/bin/svcheck order restart escape ready deaths bad rights quota proc sockets 2>/dev/null | grep -v "^ok"
