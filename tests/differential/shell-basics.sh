echo hello; echo a b c | tr a-z A-Z; (sleep 0.2; echo late) & wait; echo "status $?"
false; echo $?; true && echo yes || echo no; ! true; echo $?
x=3; y=$((x * 7 % 5)); echo "$y"; for i in 1 2 3; do printf '%s,' $i; done; echo
case abc in a*) echo match;; *) echo none;; esac
f() { echo "in f: $1 $#"; return 5; }; f one two; echo $?
echo "$(echo nested $(echo deeper))"
cat <<X
here $x
X
set -- a "b c" d; echo $# "$2"; shift; echo "$@"
