# Levels of isolation: views, filter, quota; upwards only, for children and programs as well.
before=$(hostname)
/bin/pm isolation | grep -v "^ok"
[ -e /tmp/isolated/file ] && echo "a mount inside shows outside"
[ "$(hostname)" = "$before" ] || echo "a host name inside shows outside"
exit 0
