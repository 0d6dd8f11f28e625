i=0; while [ $i -lt 200 ]; do sh -c true; i=$((i+1)); done; echo $i
i=0; while [ $i -lt 100 ]; do x=$(echo $i); i=$((x+1)); done; echo $i
