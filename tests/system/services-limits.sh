# Limits on time and bytes, the watchdog beside hogs and at a small share, services that stand still.
/bin/svcheck cpu io watchdog pause 2>/dev/null | grep -v "^ok\|^#"
