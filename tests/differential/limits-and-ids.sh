id -u; id -g; whoami; ulimit -n | grep -c '[0-9]'; (ulimit -n 20; ulimit -n); (ulimit -c 0; ulimit -c); umask
nice -n 5 sh -c nice; hostname; uname -m; (ulimit -n 5; exec 3</dev/null 4</dev/null; (exec 5</dev/null) 2>/dev/null; echo $?)
echo $HOME $PATH; pwd | sed 's/case.*/case/'; sh -c 'echo $((1 << 40))'; getconf PAGESIZE 2>/dev/null; nproc >/dev/null && echo nproc
su nobody -s /bin/sh -c 'id -u' 2>/dev/null; setuidgid nobody id -u 2>/dev/null; echo done
setuidgid nobody sh -c 'kill -TERM 1' 2>/dev/null; echo $?; setuidgid nobody cat /etc/shadow 2>/dev/null; echo $?
touch secret; chmod 600 secret; setuidgid nobody cat secret 2>/dev/null; echo $?; chmod 644 secret; setuidgid nobody cat secret; echo $?
