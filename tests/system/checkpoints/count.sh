# Counts to $1, one step of work at a time, and saves each ten by writing beside and renaming. Asked to stop, it finishes
# its ten and says by its exit code that what it has left is a checkpoint.
set -eu
dir=$TASKHAND_CHECKPOINT_DIR
step=0
stop=
trap 'stop=yes' TERM
if [ -f "$dir/step" ]; then read -r step <"$dir/step"; fi
exec 9>"$WORK"
while [ "$step" -lt "$1" ]; do
    printf . >&9
    step=$((step + 1))
    if [ $((step % 10)) -eq 0 ]; then
        echo "$step" >"$dir/step.tmp"
        mv "$dir/step.tmp" "$dir/step"
        if [ -n "$stop" ]; then exit 85; fi
        sleep 0.01
    fi
done
