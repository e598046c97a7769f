# Runs one program of a throwaway cluster for as long as the cluster's owner lives.
#
# $1: the cluster's directory. $2: the file for what the program writes. Then the program and its arguments.
# Standard input is a pipe whose only writing end is the owner's. When it closes, however the owner ended, the program
# is stopped and the directory removed. A line written to it means: let go, and leave the directory alone.

directory=$1 log=$2
shift 2
unset HYPERCOPY_WATCHDOG
# Ended by the pipe alone: what ends our owner must not end us first.
trap '' HUP INT TERM
exec 3<&0 </dev/null >>"$log" 2>&1

"$@" 3<&- &
program=$!
(
    read -r word <&3 && exit 1
    # More than once: the program may not be listening yet.
    until [ -e "$directory/program.exit" ]; do
        kill -QUIT "$program" 2>/dev/null || break
        sleep 0.05
    done
    exit 0
) &
owner=$!
echo "$program" >"$directory/program.pid"
wait "$program"
echo "$?" >"$directory/program.exit"
wait "$owner" && rm -rf "$directory"
