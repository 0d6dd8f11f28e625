# Every limit of our own, crossed with every policy: by real processes.
/bin/pm limits | grep -v "^ok"
