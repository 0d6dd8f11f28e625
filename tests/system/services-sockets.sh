# Connections to services: that none is refused or lost when instances die, stand still, drain
# and are replaced; messages with descriptors and credentials; services kept apart, and who finds whom.
/bin/svcheck balance-faults messages apart discovery 2>/dev/null | grep -v "^ok"
