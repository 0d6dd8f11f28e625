# Bytes a second, by whatever call they are moved.
/bin/svcheck io 2>/dev/null | grep -v "^ok\|^#"
