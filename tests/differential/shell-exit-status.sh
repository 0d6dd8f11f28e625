sh -c 'exit 7'; echo $?
sh -c 'kill -9 $$'; echo $?
sh -c 'kill -TERM $$'; echo $?
/no/such/file; echo $?
touch plain; ./plain; echo $?
chmod +x plain; ./plain; echo $?
sh -c 'exit 300'; echo $?
(exit 3) | true; echo $?
exit 42
