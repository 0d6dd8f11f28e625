# Classes of services: what `class` chooses, and that who is waited for hurries.
svc() { /bin/svc "$@"; }
# The image's own are not for here: they would start, and who comes after finds them as they were.
mkdir /tmp/image && mv /etc/svc/*.svc /tmp/image
define() { printf '[service]\nexec = %s\n%s\n' "$2" "$3" > "/etc/svc/$1.svc"; }
define none '["/bin/sleep", "1000"]'
for class in system interactive user service background; do
    define $class '["/bin/sleep", "1000"]' "class = \"$class\""
done
svc load > /dev/null; echo "load $?"
for name in none system interactive user service background; do
    svc start $name > /dev/null
    pid=$(svc --json status $name | sed 's/.*"pids":\[\([0-9]*\).*/\1/')
    echo "$name: $(svc status $name | sed -n 's/^  class *//p') $(sed -n 's/^class\(_chosen\)* *: *\(.*\)/\2\1/p' "/proc/$pid/sched")"
    svc stop $name
done
define wrong '["/bin/sleep", "1000"]' 'class = "interactve"'
svc load 2>&1; echo "load $?"
rm /etc/svc/wrong.svc

echo "== beside those that compute"
# Programs of users that want every CPU, twice.
computing=
for cpu in $(sed -n 's/^processor[^0-9]*//p' /proc/cpuinfo); do
    for twice in 1 2; do
        while :; do :; done & computing="$computing $!"
    done
done
cat > /bin/counts <<'END2'
#!/bin/sh
i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done
END2
chmod 755 /bin/counts
later='class = "background"
type = "oneshot"'
define unawaited '["/bin/counts"]' "$later"
define awaited '["/bin/counts"]' "$later"
define below '["/bin/counts"]' "$later"
define above '["/bin/sleep", "1000"]' 'class = "user"
[depends]
requires = ["below"]'
svc load > /dev/null; echo "load $?"
svc start unawaited --wait 0
svc start awaited
svc start above --wait 0
# Nobody waits for it but a service.
until_running() {
    tries=0
    while ! svc list | grep -q '^above *running'; do
        tries=$((tries+1)); [ $tries -lt 200 ] || { echo "never runs"; return; }; sleep 0.1
    done
    echo "above is running"
}
until_running
svc list | grep -q '^unawaited *starting' && echo "unawaited is starting"
kill $computing
rm /etc/svc/*.svc /bin/counts
mv /tmp/image/*.svc /etc/svc && rmdir /tmp/image
