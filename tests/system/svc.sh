# What a person does with services: docs/services.md, command by command, on the set of the image.
svc() { /bin/svc "$@"; }
# Names and states, without what differs from run to run.
states() { svc list | while read -r name state rest; do echo "$name $state"; done; }
# Until a command says what it should, for ten seconds at most.
# Instances start one after the other: waits until nothing is on its way.
settled() {
    tries=0
    while states | grep -q 'starting\|waiting\|stopping\|backoff'; do
        tries=$((tries+1)); [ $tries -lt 200 ] || { echo "never settles"; return; }; sleep 0.05
    done
}
until_says() {
    wanted=$1; shift; tries=0
    while [ $tries -lt 200 ]; do
        said=$("$@" 2>&1)
        case $said in *"$wanted"*) return;; esac
        tries=$((tries+1)); sleep 0.05
    done
    echo "$* never said $wanted but $said"
}

echo "== the image's own"
# But the shell on the console, which would start where another set was loaded before.
mv /etc/svc/console.svc /tmp
svc check
svc load > /dev/null; echo "load $?"
svc plan start multi-user
svc start multi-user
until_says '"state":"running"' svc --json status logger
settled; states
svc deps multi-user
svc why
echodo() { echod --ask /var/run/echo.sock "$@"; }
for i in 1 2 3 4; do echodo hello "$i" | sed 's/#[0-3]/#N/'; done
logger something to keep
until_says 'something to keep' cat /var/log/messages

echo "== an instance dies"
pid=$(svc --json status echo | sed 's/.*"pids":\[\([0-9]*\).*/\1/')
kill -9 "$pid"
until_says SIGKILL svc events
svc start echo > /dev/null; echo "start $?"
echodo still there | sed 's/#[0-3]/#N/'

echo "== one of one's own"
cat > /etc/svc/clock.svc <<'END'
[service]
description = "Says the time"
exec = "/bin/sh /bin/clock"
usr = 65534

[depends]
wants = ["loger"]
requires = ["ehco"]
END
svc check; echo "check $?"
svc load; echo "load $?"
cat > /bin/clock <<'END'
echo "clock starts as $(id -u)"
while :; do echo "tick"; sleep 0.1; done
END
cat > /etc/svc/clock.svc <<'END'
[service]
description = "Says the time"
exec = ["/bin/sh", "/bin/clock"]
user = 65534

[depends]
wants = ["logger"]
requires = ["echo"]
END
svc check; echo "check $?"
svc load > /dev/null; echo "load $?"
svc start clock; echo "start $?"
until_says tick svc log clock
svc log clock | head -2
svc why --started echo
svc why --started clock
svc status clock | sed -n '1,4p'
cat /proc/svc/clock/state | head -1 | cut -d' ' -f1
svc cat clock

echo "== what others need"
svc plan stop echo
svc stop echo; echo "stop $?"
svc stop echo --cascade; echo "stop $?"
states | grep -E 'echo|clock'
svc start clock; echo "start $?"

echo "== why it does not run"
svc set clock 'service.exec=["/bin/no-such-program"]'; echo "set $?"
svc restart clock > /dev/null; echo "restart $?"
states | grep clock
svc why clock | sed 's/for [0-9a-z.]*:/for X:/'
svc set clock service.user=nobody; echo "set $?"
rm -r /etc/svc/clock.svc.d
svc load > /dev/null
svc start clock; echo "start $?"

echo "== hold, scale, roll, enable"
svc hold clock; svc start clock; echo "start $?"
svc unhold clock; svc start clock; echo "start $?"
svc scale echo=2; until_says '"count":2' svc --json status echo
settled; states | grep echo
svc scale echo=4; svc start echo > /dev/null; echo "start $?"
svc roll echo; echo "roll $?"
svc enable clock; cat /etc/svc/clock.svc.d/*
svc disable clock; cat /etc/svc/clock.svc.d/*

echo "== who may"
chmod 755 /etc/svc
su -s /bin/sh -c '/bin/svc list' nobody > /dev/null; echo "list $?"
su -s /bin/sh -c '/bin/svc stop echo' nobody; echo "stop $?"
svc audit | grep -c 'uid 65534 .*denied stop'
svc audit --verify | sed 's/[0-9][0-9]* records, [0-9]* overwritten/N records/'
svc status nothing; echo "status $?"
svc stop clock; svc stop echo
rm -r /etc/svc/clock.svc /etc/svc/clock.svc.d
svc load > /dev/null; echo "load $?"
svc stop multi-user; svc stop logger
states
mv /tmp/console.svc /etc/svc
