# Limits on time and bytes, the watchdog beside hogs and at a small share, services that stand still, programs as probes, memory that
# runs out.
/bin/svcheck cpu io watchdog pause probes memory-out 2>/dev/null | grep -v "^ok\|^#"
