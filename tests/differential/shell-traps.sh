trap 'echo usr1' USR1; kill -USR1 $$; echo after
trap 'echo bye' EXIT
(trap 'echo sub; exit 4' TERM; kill -TERM $(sh -c 'echo $PPID'); sleep 5); echo $?
trap '' INT; kill -INT $$; echo survived
trap - INT
sh -c 'trap "" TERM; kill -TERM $$; echo ignored'
sh -c 'sh -c "kill -TERM \$\$; echo not-reached"; echo $?'
