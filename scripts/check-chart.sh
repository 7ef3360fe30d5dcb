#!/usr/bin/env bash
# Checks the Helm chart: lint, rendering with several sets of values, every rendered object against the schemas of
# Kubernetes, and that bad values are refused. scripts/chart-tools.sh fetches what it needs into .build-tools. That the pods
# run is for scripts/check-pods.py, and that the processes take what the schema allows for scripts/check-limits.py.
set -euo pipefail
cd "$(dirname "$0")/.."

chart=k8s/chart/fathom
tools=.build-tools
kubernetes_version=1.37

say() { printf '  %s\n' "$*"; }
fail() {
    printf 'check-chart: %s\n' "$*" >&2
    exit 1
}

scripts/chart-tools.sh
helm="$tools/helm"
rendered="$(mktemp -d)"
trap 'rm -rf "$rendered"' EXIT
# Nothing of the user's own Helm settings shall change the outcome.
export HELM_CONFIG_HOME="$rendered/config" HELM_CACHE_HOME="$rendered/cache" HELM_DATA_HOME="$rendered/data"

say "$("$helm" version --short)"
values_files=("" "$chart"/ci/*-values.yaml)
for values in "${values_files[@]}"; do
    name="$(basename "${values:-default}" -values.yaml)"
    arguments=()
    [ -z "$values" ] || arguments=(--values "$values")
    "$helm" lint --strict --quiet "$chart" "${arguments[@]}" >"$rendered/lint.txt" 2>&1 \
        || { cat "$rendered/lint.txt" >&2; fail "helm lint refuses $name"; }
    "$helm" template demo "$chart" --namespace demo --kube-version "$kubernetes_version" "${arguments[@]}" \
        >"$rendered/$name.yaml"
    "$tools/venv/bin/kubernetes-validate" --strict --kubernetes-version "$kubernetes_version" --quiet \
        "$rendered/$name.yaml" || fail "kubernetes-validate refuses $name"
    say "$name: $(grep -c '^kind:' "$rendered/$name.yaml") objects are valid"
done

# What must hold in every rendering, whatever the values.
for file in "$rendered"/*.yaml; do
    pods="$(grep -c 'enableServiceLinks: false' "$file")"
    for line in 'runAsNonRoot: true' 'automountServiceAccountToken: false' 'type: RuntimeDefault'; do
        [ "$(grep -c "$line" "$file")" -ge "$pods" ] || fail "a pod lacks \"$line\" in $(basename "$file")"
    done
    containers="$(grep -c '^ *image: ' "$file")"
    for line in 'readOnlyRootFilesystem: true' 'allowPrivilegeEscalation: false' 'drop: \[ALL\]'; do
        [ "$(grep -c "$line" "$file")" -eq "$containers" ] || fail "a container lacks \"$line\" in $(basename "$file")"
    done
done

# What the settings of shards must come to: the file, and a line of it.
holds() {
    grep -qF -- "$2" "$rendered/$1.yaml" || fail "$1 lacks \"$2\""
}
holds default '- "smollm2-135m-instruct=/models/smollm2-135m-instruct/model.gguf"'
holds default 'command: ["fathom","model","pull","smollm2-135m-instruct"]'
holds default 'verify-models: "digest"'
holds pull-settings 'verify-models: "signature"'
holds pull-settings 'verify-key: /etc/fathom/verify-key/release.pem.pub'
for line in 'kv-type: f16' 'prefix-cache: true' 'draft-tokens: 8' 'prefill-share: 1.25'; do holds default "    $line"; done
if grep -q 'memory-budget' "$rendered/default.yaml"; then fail "default has a memory budget"; fi
holds several-models '- "large=/models/large/model.gguf"'
holds several-models \
    'command: ["fathom","model","pull","hf:example/large","large-Q4_0.gguf=model.gguf","--name","large"]'
holds several-models 'name: model-pull-2'
for line in 'kv-type: int8' 'prefix-cache: false' 'draft-tokens: 0' 'prefill-share: 0' 'memory-budget: 12GiB' \
    'max-running: 128'; do
    holds several-models "    $line"
done
for line in 'prefill-share: 1000000' 'kv-blocks: 2000000' 'max-batched-tokens: 1000000' 'failureThreshold: 17280'; do
    grep -qF -- "$line" "$rendered/large-numbers.yaml" || fail "large-numbers lacks \"$line\""
done
if grep -Eq '[0-9]e\+[0-9]' "$rendered"/*.yaml; then fail "a number is written with an exponent"; fi
say "settings of the shards arrive"

# TLS of the services and of the API are two things.
holds secured 'http-tls: plaintext'
holds secured '"--tls-certificate","/etc/fathom/tls/tls.crt"'
holds api-tls 'http-tls: own'
holds api-tls 'http-tls-client-roots: /etc/fathom/api-clients/ca.crt'
if grep -q 'tls-trust-roots' "$rendered/api-tls.yaml"; then fail "api-tls switches the services' TLS on"; fi
# Clients are told what is wrong by a gateway that stays: its readiness is its own.
if grep -E 'readyz([^/]|$)' "$rendered/default.yaml" | grep -q path; then
    fail "a gateway's probe asks for the state of the cluster"
fi
say "TLS, probes and readiness are as they should be"

# What the pull containers are given, and that the image has what they call.
for line in 'name: HTTPS_PROXY' 'name: hub' 'name: mirror' 'value: /etc/fathom/authorities/ca.pem' \
    'port: 3128}' 'name: corporate-authorities'; do
    holds pull-settings "$line"
done
image="$(sed -n '/^FROM debian/,$p' Dockerfile)"
for package in python3 python3-pip ca-certificates; do
    grep -Eq " $package( |\$)" <<<"$image" || fail "the image lacks $package"
done
say "the pull containers get their settings"

# A changed setting restarts those whom it concerns.
checksums() {
    "$helm" template demo "$chart" --namespace demo "$@" \
        | awk '/^kind: (Deployment|StatefulSet)/ { getline; getline; name = $2 } /checksum/ { print name, $1, $2 }'
}
restarted() {
    local expected=$1
    shift
    local changed
    changed="$({ diff <(checksums) <(checksums "$@") || true; } | awk '/^>/ { sub("demo-fathom-", "", $2); print $2 }' | sort -u | xargs)"
    [ "$changed" = "$expected" ] || fail "$* restarts \"$changed\", expected \"$expected\""
}
restarted shard --set shard.maxWaiting=7
restarted store --set store.threads=3
restarted gateway --set gateway.probePort=9000
restarted monitor --set monitor.allowedHosts[0]=fathom.example.com
restarted "" --set gateway.replicas=5
restarted "" --set-string 'gateway.keys.file=\{\}'
restarted "gateway monitor shard store" --set logLevel=debug
say "a changed setting restarts whom it concerns"

# Bad values must be refused, with the value named.
refused() {
    if "$helm" template demo "$chart" --set "$1" >"$rendered/refused.txt" 2>&1; then fail "accepted --set $1"; fi
    grep -q "$2" "$rendered/refused.txt" || { cat "$rendered/refused.txt" >&2; fail "--set $1: no word of $2"; }
}
refused shard.stages=0 stages
refused shard.stages=two stages
refused shard.stage=2 stage
refused gateway.port=80 port
refused gateway.replicas=-1 replicas
refused image.pullPolicy=Sometimes pullPolicy
refused logLevel=loud logLevel
refused model.source=claim existingClaim
refused model.more[0].name=large file
refused shard.kvType=f32 kvType
refused shard.memoryBudget=much memoryBudget
refused shard.draftTokens=-1 draftTokens
refused shard.prefillShare=-1 prefillShare
refused shard.prefixCache=maybe prefixCache
refused shard.maxWaiting=65537 maxWaiting
refused shard.threads=257 threads
refused tls.enabled=true secretName
refused gateway.tls.enabled=true secretName
refused model.verify=signature verifyKey
refused model.verify=maybe verify
refused modelPull.env[0].value=x name
refused modelPull.authorities.secret=a,modelPull.authorities.configMap=b authorities
refused store.volume.size=big size
refused unknown.key=1 unknown
say "bad values are refused"
