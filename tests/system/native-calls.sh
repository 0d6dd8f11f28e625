# Every native call: what it answers, what bad arguments and pointers get.
/bin/pm check | grep -v "^ok"
