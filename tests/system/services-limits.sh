# A share of the CPUs, services that stand still, programs as probes, memory that runs out.
/bin/svcheck cpu pause probes memory-out 2>/dev/null | grep -v "^ok\|^#"
