# The log of what the supervisor was told gives the same transitions, bit for bit, in another one that runs as a program.
/bin/svcheck order rights replay | grep -v "^ok"
