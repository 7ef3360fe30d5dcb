#!/usr/bin/env bash
# Checks what is committed: no build output, no machine's paths, nothing large, and shell scripts that parse.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
complain() {
    printf 'check-hygiene: %s\n' "$*" >&2
    status=1
}

mapfile -t files < <(git ls-files)

for file in "${files[@]}"; do
    case "$file" in
    .build*/* | */.build*/* | Package.resolved | */Package.resolved | *.gguf | *.safetensors | __pycache__/* | */__pycache__/*)
        complain "$file must not be committed"
        ;;
    esac
    [ -f "$file" ] || continue
    size="$(stat --format=%s "$file")"
    [ "$size" -le 2097152 ] || complain "$file has $size bytes, expected at most 2097152"
done

# Absolute paths of one person's machine. The pattern is put together so that this file does not find itself.
homes="(^|[^A-Za-z0-9_.\$-])/(root|ho""me/[a-z]|Us""ers/[A-Za-z]|opt/[a-z]|wor""k/(main|shared|build|models|dev))([/\"' ]|\$)"
if matches="$(git grep --line-number --extended-regexp -I "$homes" -- . ':!*.json' ':!scripts/check-hygiene.sh')"; then
    complain "paths of a machine:"
    printf '%s\n' "$matches" >&2
fi

if matches="$(git grep --line-number -I -E '^(<{7} |>{7} |={7}$)' -- .)"; then
    complain "merge conflict markers:"
    printf '%s\n' "$matches" >&2
fi

scripts=0
for file in "${files[@]}"; do
    [ -f "$file" ] || continue
    case "$file" in
    *.sh) ;;
    *) head --bytes=64 "$file" | tr -d '\0' | head -n 1 | grep -Eq '^#!.*\b(bash|sh)$' || continue ;;
    esac
    scripts=$((scripts + 1))
    bash -n "$file" || complain "$file does not parse"
done

[ "$status" -ne 0 ] || printf '  %d files are clean, %d shell scripts parse\n' "${#files[@]}" "$scripts"
exit "$status"
