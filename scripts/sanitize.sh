#!/usr/bin/env bash
# Runs the engine's tests under the sanitizers of clang and Swift; any finding ends it with an error.
#
#   scripts/sanitize.sh                    both runs
#   scripts/sanitize.sh address | thread   one of them
#
# address: AddressSanitizer and LeakSanitizer over Swift and C, UndefinedBehaviorSanitizer over the C kernels. The tests of
# the kernels go through every instruction set that this machine has; on the model each is forced in turn (where it is
# missing, the best one works). thread: ThreadSanitizer, with the best set.
# What is built are the test targets below and what they need, optimised (the kernels would take hours at -O0), into
# .build-asan and .build-tsan. SANITIZE_FUZZ (default 40) scales the random shapes of the kernels' fuzz test.
set -euo pipefail
cd "$(dirname "$0")/.."

test_targets=(KernelsTests ModelFilesTests TokenizationTests InferenceCoreTests TransformerTests EngineTests)
export FATHOM_FUZZ_SHAPES="${SANITIZE_FUZZ:-40}"
# The determinism test repeats one request in many ways; many times slower, a few must do.
export FATHOM_DETERMINISM_RUNS=10

export ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0:exitcode=66"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1:exitcode=66"
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1:exitcode=66"

say() { printf '\n== %s\n' "$*"; }

quoted() { printf '"%s", ' "$@"; }

# A package that holds only the test targets and what they depend on: our manifest, cut at its end.
write_package() { # directory, flags of the C kernels...
    local directory=$1
    shift
    mkdir -p "$directory"
    ln -sfn "$PWD/Sources" "$directory/Sources"
    ln -sfn "$PWD/Tests" "$directory/Tests"
    ln -sfn "$PWD/scripts/sanitizer" "$directory/sanitizer"
    {
        cat Package.swift
        cat <<SWIFT

// Added by scripts/sanitize.sh.
var needed: Set<String> = [$(quoted "${test_targets[@]}")]
var found = 0
while found < needed.count {
    found = needed.count
    for target in package.targets where needed.contains(target.name) {
        for case .targetItem(let name, _) in target.dependencies { needed.insert(name) }
        for case .byNameItem(let name, _) in target.dependencies { needed.insert(name) }
    }
}
package.dependencies = []
package.targets.removeAll { !needed.contains(\$0.name) }
for target in package.targets where target.name == "CKernels" {
    target.cSettings = [.unsafeFlags([$(quoted "$@")])]
}
SWIFT
        if [ "$sanitizer" = thread ]; then
            cat <<'SWIFT'
package.targets.append(.target(name: "SanitizerSupport", path: "sanitizer"))
for target in package.targets where target.type == .test { target.dependencies.append("SanitizerSupport") }
SWIFT
        fi
    } >"$directory/Package.swift.new"
    # An unchanged manifest keeps the build incremental.
    if cmp -s "$directory/Package.swift.new" "$directory/Package.swift"; then
        rm "$directory/Package.swift.new"
    else
        mv "$directory/Package.swift.new" "$directory/Package.swift"
    fi
}

build() {
    say "build with --sanitize=$sanitizer"
    swift build --package-path "$scratch/package" --scratch-path "$scratch" -c release --sanitize="$sanitizer" \
        --build-tests
}

run() { # what, arguments...
    local what=$1
    shift
    say "$sanitizer: $what"
    # XCTest, which none of them uses, leaks.
    swift test --package-path "$scratch/package" --scratch-path "$scratch" -c release --sanitize="$sanitizer" \
        --skip-build --disable-xctest --no-parallel "$@"
}

check_address() {
    local sanitizer=address scratch=$PWD/.build-asan
    write_package "$scratch/package" -fsanitize=undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
    build
    run "all but the model" --skip TransformerTests --skip EngineTests
    FATHOM_KERNELS=avx512 run "model and engine" --filter TransformerTests --filter EngineTests
    # The other twins meet the model's shapes as well; the generic one would take hours for all tests.
    FATHOM_KERNELS=avx2 run "model, avx2 kernels" --filter TransformerTests
    FATHOM_KERNELS=generic run "model, generic kernels" --filter sameBitsInABatch
}

check_thread() {
    local sanitizer=thread scratch=$PWD/.build-tsan
    write_package "$scratch/package" -fno-omit-frame-pointer
    build
    run "all"
}

case "${1:-all}" in
address) check_address ;;
thread) check_thread ;;
all)
    check_address
    check_thread
    ;;
*)
    echo "usage: $0 [address | thread]" >&2
    exit 2
    ;;
esac
say "no findings"
