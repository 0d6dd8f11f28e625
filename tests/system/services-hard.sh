# Trees of processes that try to get away, and faults of all kinds one after the other; a thousand processes killed as one.
/bin/svcheck escape-variants:96 faults:100 kill-cell 2>/dev/null | grep -v "^ok\|^figure"
