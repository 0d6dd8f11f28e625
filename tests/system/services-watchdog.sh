# The watchdog on runnable time: beside hogs, at a small share, and for those that really hang.
/bin/svcheck watchdog 2>/dev/null | grep -v "^ok\|^#"
