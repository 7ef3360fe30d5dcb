#!/usr/bin/env bash
# Installs the Debian packages that the build, the tests and the demo need and that are missing; asks for nothing when
# none is. docs/dependencies.md says what each is for.
set -euo pipefail

packages=(
    ca-certificates
    iproute2
    libopenblas-dev
    libprotobuf-c-dev
    libsqlite3-dev
    libssl-dev
    openssl
    pkg-config
    prometheus
    protobuf-compiler
    python3
    python3-venv
    util-linux
)

if ! command -v swift >/dev/null; then
    echo "install-packages: Swift 6.2 or later is needed; see swift.org/install" >&2
    exit 1
fi
if ! command -v dpkg-query >/dev/null; then
    echo "install-packages: not a Debian system; install the counterparts of: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

echo "installing ${missing[*]}"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "install-packages: run as root: apt-get install ${missing[*]}" >&2
        exit 1
    }
    sudo=(sudo)
fi
# Of prometheus only promtool is wanted: a package's daemon is not started, where this system starts such by itself.
policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " == *" prometheus "* ]] && [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 0755 "$policy"
    trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q --yes --no-install-recommends "${missing[@]}"
if [[ " ${missing[*]} " == *" prometheus "* ]] && [ -d /run/systemd/system ]; then
    "${sudo[@]}" systemctl disable --quiet prometheus
fi
