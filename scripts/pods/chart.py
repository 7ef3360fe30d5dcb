"""Renders the chart with helm, as plain data."""

import os
import pathlib
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "k8s/chart/fathom"
HELM = ROOT / ".build-tools/helm"
RELEASE = NAMESPACE = "demo"


class Refused(Exception):
    """helm does not render with these values."""


def render(values):
    """Every object that the chart makes of `values`, given as a values file."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "values.yaml")
        with open(path, "w") as file:
            yaml.safe_dump(values, file)
        # Nothing of the user's own Helm settings shall change the outcome.
        settings = {f"HELM_{kind}_HOME": f"{scratch}/{kind}" for kind in ("CONFIG", "CACHE", "DATA")}
        run = subprocess.run(
            [HELM, "template", RELEASE, CHART, "--namespace", NAMESPACE, "--values", path],
            capture_output=True, text=True, timeout=60, env={**os.environ, **settings})
    if run.returncode != 0:
        raise Refused(run.stderr.strip())
    return [document for document in yaml.safe_load_all(run.stdout) if document]


def of_kind(objects, *kinds):
    return [item for item in objects if item["kind"] in kinds]


def configuration(objects, component):
    """The configuration file of a component, as text."""
    for item in of_kind(objects, "ConfigMap"):
        if f"{component}.yaml" in item["data"]:
            return item["data"][f"{component}.yaml"]
    raise KeyError(component)
