#!/usr/bin/env bash
# Runs all tests: unit tests, integration tests with real processes, and the official openai client against a cluster.
# `make test` has built the executables and fetched the models before. Prints the closing lines of all runs at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=.build/test-logs
mkdir -p "$logs"
failed=()

# Not `swift test` by itself, which would compile every module a second time with testing enabled.
swift build -c release --build-tests

run() { # name, command...
    local name=$1
    shift
    echo "== $name"
    if ! "$@" 2>&1 | tee "$logs/$name.log"; then failed+=("$name"); fi
}

# One at a time: many wait for real sockets and timers, and two cores are soon busy.
run unit swift test -c release --skip-build --no-parallel --skip 'Serial'
# These start whole clusters, so they do not share the machine with the others.
run integration swift test -c release --skip-build --filter 'Serial' --no-parallel

if [ ! -x .venv/bin/python ]; then python3 -m venv .venv; fi
if ! .venv/bin/python -c 'import openai, pytest' 2>/dev/null; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r Tests/conformance/requirements.txt
fi
# The Helm chart's pods as processes, and the limits of its values. Both say "skipped" where namespaces are not allowed.
scripts/chart-tools.sh
run limits .build-tools/venv/bin/python scripts/check-limits.py
run pods .build-tools/venv/bin/python scripts/check-pods.py

run conformance .venv/bin/python -m pytest -q -p no:cacheprovider Tests/conformance

echo
echo "== closing lines"
for name in unit integration limits pods conformance; do
    printf '%-12s %s\n' "$name" \
        "$(grep -aE 'Test run with|passed|failed|error:|skipped:|problems' "$logs/$name.log" | tail -n 1)"
done
if [ "${#failed[@]}" -gt 0 ]; then
    echo "FAILED: ${failed[*]}; logs are in $logs" >&2
    exit 1
fi
echo "all tests passed"
