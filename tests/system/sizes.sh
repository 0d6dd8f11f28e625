# What a fresh child costs in kernel memory (P1), measured in the heap: at most 2 KiB.
/bin/pm sizes | grep -v "^ok\|^bytes_\|^   "
