#!/bin/bash
# Runs every scenario once against one running server and appends a JSON line each to a file.
#
#   suite.sh OUT.jsonl [hsbench options: --url --pid --label --shared-secret ...]
#
# SCALE multiplies how often a scenario repeats its operation, never the size of what it works
# on: use 1 for servers that take some ten milliseconds per operation, 10 for much faster ones.
# ONLY="send join" picks scenarios. IDLE is the number of idle connections.
set -u
out=$1
shift
scale=${SCALE:-1}
only=${ONLY:-send fanout initial-sync incremental-sync messages idle join media state}
hsbench=${HSBENCH:-${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/release/hsbench}

run() {
  case " $only " in *" $1 "*) ;; *) return ;; esac
  echo "$(date +%T) $*" >&2
  timeout 600 "$hsbench" "${common[@]}" "$@" >>"$out" || echo "$1 failed: $?" >&2
}
common=("$@")

run send --users 40 --rooms 20 --members 10 --concurrency 16 --messages $((3000 * scale))
run fanout --members 50 --messages 30 --interval-ms 1000
run fanout --members 200 --messages 15 --interval-ms 2000
run initial-sync --rooms 50 --members 20 --messages 20
run initial-sync --rooms 50 --members 20 --messages 20 --lazy
run incremental-sync --users 64 --rooms 32 --members 20 --concurrency 16 --syncs $((10000 * scale))
run messages --events 3000 --members 10 --passes $((10 * scale))
run idle --connections "${IDLE:-2000}" --users 100 --sources 8
run join --users 600 --concurrency 8
run media --blobs $((200 * scale)) --images 20
run state --events 1000 --members 100 --reads $((100 * scale))
