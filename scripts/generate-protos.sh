#!/bin/sh
# Generates Swift from proto/**/*.proto, or checks that what is committed was generated from what is committed.
#
#   scripts/generate-protos.sh            generate, and record the digest of the .proto files in proto/digest.txt
#   scripts/generate-protos.sh --check    compare the digest only; needs neither protoc nor a build
#
# Environment:
#   FATHOM_BUILD_PATH   scratch path of `swift build` (default: .build)
#   FATHOM_PACKAGE      package directory to build protoc-gen-swift from (default: this repository)
#   PROTOC              the compiler (default: protoc)
#
# proto/fathom/wire/** goes into Sources/Wire, because Wire must not depend on the services' messages; everything else
# goes into Sources/WireProtocols. Access is `package`: no message is part of a public interface.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

digest_of_protos() {
    # Paths are part of what is hashed, so that a rename counts as a change.
    find proto -name '*.proto' -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1
}

if [ "${1:-}" = "--check" ]; then
    expected=$(cat proto/digest.txt)
    actual=$(digest_of_protos)
    if [ "$expected" != "$actual" ]; then
        echo "proto/digest.txt says $expected, the .proto files hash to $actual: run scripts/generate-protos.sh" >&2
        exit 1
    fi
    exit 0
fi

protoc=${PROTOC:-protoc}
package=${FATHOM_PACKAGE:-$root}
build=${FATHOM_BUILD_PATH:-$root/.build}

(cd "$package" && swift build -c release --scratch-path "$build" --product protoc-gen-swift)
binaries=$(cd "$package" && swift build -c release --scratch-path "$build" --show-bin-path)
# Named after the host tool or the plain product, depending on the SwiftPM version.
plugin=$binaries/protoc-gen-swift
[ -x "$plugin" ] || plugin=$binaries/protoc-gen-swift-tool
[ -x "$plugin" ] || { echo "no protoc-gen-swift in $binaries" >&2; exit 1; }

generate() {
    output=$1
    shift
    rm -rf "$output"
    mkdir -p "$output"
    "$protoc" --plugin=protoc-gen-swift="$plugin" --proto_path=proto \
        --swift_out="$output" --swift_opt=Visibility=Package --swift_opt=FileNaming=PathToUnderscores "$@"
}

# The lists are split on purpose; no path under proto/ holds a space.
# shellcheck disable=SC2046
generate Sources/Wire/Generated $(find proto/fathom/wire -name '*.proto' | LC_ALL=C sort)
# shellcheck disable=SC2046
generate Sources/WireProtocols/Generated \
    $(find proto/fathom -name '*.proto' -not -path 'proto/fathom/wire/*' | LC_ALL=C sort)

digest_of_protos >proto/digest.txt
