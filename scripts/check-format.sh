#!/usr/bin/env bash
# Checks the formatting of Swift and C. `scripts/check-format.sh --fix` formats in place.
set -euo pipefail
cd "$(dirname "$0")/.."

fix=false
case "${1:-}" in
"") ;;
--fix) fix=true ;;
*)
    echo "usage: check-format.sh [--fix]" >&2
    exit 2
    ;;
esac

# Generated code is left as the generator made it. Files that are not committed yet are checked as well.
mapfile -t swift_files < <(git ls-files --cached --others --exclude-standard -- \
    Package.swift 'Sources/*.swift' 'services/*.swift' 'Tests/*.swift' 'Benchmarks/*.swift' \
    | grep -v '/Generated/' | sort -u | while read -r file; do [ -f "$file" ] && echo "$file"; done)
mapfile -t c_files < <(git ls-files --cached --others --exclude-standard -- 'Sources/CKernels/*.c' 'Sources/CKernels/*.h' \
    | sort -u | while read -r file; do [ -f "$file" ] && echo "$file"; done)

# The version is fixed: two versions of clang-format rarely agree.
clang_format_package="clang-format==19.1.7"
tools=.build-tools
if [ "${#c_files[@]}" -gt 0 ] && [ ! -x "$tools/format-venv/bin/clang-format" ]; then
    python3 -m venv "$tools/format-venv"
    "$tools/format-venv/bin/pip" --quiet --disable-pip-version-check install "$clang_format_package"
fi

status=0
if $fix; then
    [ "${#swift_files[@]}" -eq 0 ] || swift format format --in-place --parallel "${swift_files[@]}"
    [ "${#c_files[@]}" -eq 0 ] || "$tools/format-venv/bin/clang-format" -i "${c_files[@]}"
else
    [ "${#swift_files[@]}" -eq 0 ] || swift format lint --strict --parallel "${swift_files[@]}" || status=1
    [ "${#c_files[@]}" -eq 0 ] || "$tools/format-venv/bin/clang-format" --dry-run -Werror "${c_files[@]}" || status=1
fi
[ "$status" -eq 0 ] || echo "check-format: run scripts/check-format.sh --fix" >&2
[ "$status" -ne 0 ] || printf '  %d Swift and %d C files are formatted\n' "${#swift_files[@]}" "${#c_files[@]}"
exit "$status"
