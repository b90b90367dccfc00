#!/bin/sh
# One node alone on a directory: first backup, rescan of the unchanged directory, restore, verify. Prints the node's CPU-seconds,
# its peak memory and its own account of bytes read and written (rchar, wchar of /proc/PID/io).
#
#   benches/alone.sh BINARY DIRECTORY [WORK]
set -eu
binary=$1 directory=$2 work=${3:-$(mktemp -d)}
home=$work/home back=$work/back
mkdir -p "$work"
"$binary" run --home "$home" --listen 127.0.0.1:0 --mdns off 2>"$work/log" >/dev/null &
node=$!
trap 'kill $node; wait $node 2>/dev/null || true; rm -rf "$home" "$back"' EXIT
until "$binary" status --home "$home" --json >/dev/null 2>&1; do :; done
"$binary" init --home "$home" --json >/dev/null
"$binary" folder add bench "$directory" --home "$home" --json >/dev/null
ticks=$(getconf CLK_TCK)
cpu() { awk -v t="$ticks" '{print ($14 + $15) / t}' "/proc/$node/stat"; }
peak() { awk '/VmHWM/ {print $2 / 1024 " MiB"}' "/proc/$node/status"; }
bytes() { awk '/^(rchar|wchar)/ {printf "%s %s  ", $1, $2}' "/proc/$node/io"; }
measure() {
  name=$1; shift
  before=$(cpu); bytes_before=$(bytes)
  "$@" >"$work/out" 2>&1 || true
  echo "$name: $(echo "$(cpu) - $before" | bc) CPU-s, peak $(peak), bytes before: ${bytes_before}after: $(bytes)"
}
measure "first backup" "$binary" backup bench --home "$home" --json
measure "unchanged rescan" "$binary" backup bench --home "$home" --json
measure "restore (the node's part)" "$binary" restore bench --to "$back" --home "$home"
diff -r --no-dereference "$directory" "$back" && echo "restored content is equal"
measure "verify --all" "$binary" verify --all --home "$home" --json
du -sm "$home"
