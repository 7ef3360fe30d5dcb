#!/usr/bin/env bash
# The demo: a cluster of two shards, a sample handbook, one question. `make demo` has built everything before.
# DEMO_EXIT=1 ends after the answer; otherwise the cluster stays up until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

fathom=${FATHOM_BIN:-.build/release}/fathom
home=$PWD/.fathom/home
question="How many days of annual leave do full-time employees get?"

# A home of its own, made anew: the demo neither finds nor leaves documents of other runs.
"$fathom" down --home "$home" >/dev/null 2>&1 || true
rm -rf "$home"
trap '"$fathom" down --home "$home"' EXIT
trap 'exit 130' INT TERM

"$fathom" up --detach --home "$home"
echo
echo "Ingesting docs/sample-handbook"
"$fathom" ingest docs/sample-handbook --store handbook --home "$home"
echo
echo "Question: $question"
"$fathom" ask "$question" --store handbook --home "$home"
echo
"$fathom" status --home "$home"
if [ "${DEMO_EXIT:-}" = 1 ]; then exit 0; fi

cat <<TEXT

Ask more:  $fathom ask "Who approves travel above 500 euros?" --store handbook --home $home
Talk:      $fathom chat --home $home
The page:  $(sed -n 's/.*"monitor_url" : "\(.*\)".*/\1/p' "$home/cluster.json")
Ctrl-C ends the cluster.
TEXT
# Waiting, unlike sleeping in the foreground, is interrupted by a signal at once.
sleep infinity &
wait $! || true
