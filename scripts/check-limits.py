#!/usr/bin/env python3
"""Holds the limits of the chart's values against those of the processes, which are written where a setting is read and
nowhere else (`fathom-shard --print-settings`):

- every value of values.schema.json that names a setting ("x-setting") has exactly its bounds, or words of its (--fix writes them);
- for the least and the greatest of every number that the schema allows, the chart is rendered from a values file and the
  real processes are started with what it gives them.

    scripts/chart-tools.sh && .build-tools/venv/bin/python scripts/check-limits.py [--bin DIR] [--models DIR] [--fix]

The second part needs root (every port is taken in a network namespace of its own); it says "skipped" without.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts/pods"))

import namespaces

SERVICES = ("gateway", "shard", "store", "monitor")
MODEL, ENCODER = "smollm2-135m-instruct", "all-minilm-l6-v2"
# What the processes say when they refuse a setting, see ServiceConfiguration.
REFUSAL = re.compile(r"expected (a whole number|a number|one of|a duration|true or false)|unknown key|is needed")
# What needs more than a test machine has at its greatest: the process must get past reading it and say what it lacks.
LARGE = {"shard.kvBlocks"}


def settings(binaries):
    """What each process says of its settings, by "SERVICE KEY"."""
    found = {}
    for service in SERVICES:
        run = subprocess.run([binaries / f"fathom-{service}", "--print-settings"], check=True, capture_output=True, text=True)
        for setting in json.loads(run.stdout)["settings"]:
            found[f"{service} {setting['key']}"] = setting
    return found


def leaves(schema, path=()):
    """(dotted path, schema) of every value that is no group."""
    for key, part in schema.get("properties", {}).items():
        if part.get("type") == "object":
            yield from leaves(part, (*path, key))
        else:
            yield ".".join((*path, key)), part


def whole(value):
    return int(value) if value == int(value) else value


def wanted(setting, part):
    """The bounds that a value of the chart takes over from a setting."""
    if setting["kind"] == "choice":
        return {"enum": setting["choices"]}
    bounds = {name: whole(setting[name]) for name in ("minimum", "maximum") if name in setting}
    if part.get("x-zero-is-default"):
        # Zero is not passed on: the process has its default then.
        bounds["minimum"] = 0
    return bounds


def compare(schema, known, fix):
    problems = 0
    for path, part in leaves(schema):
        name = part.get("x-setting")
        if name is None:
            continue
        if name not in known:
            print(f"check-limits: {path} names {name}, which no process knows")
            problems += 1
            continue
        for key, value in wanted(known[name], part).items():
            # Of words the chart may leave out some: a KV cache in f32 is for checks.
            same = set(part.get(key, [None])) <= set(value) if key == "enum" else part.get(key) == value
            if same:
                continue
            print(f"  {path}: {key} {part.get(key)} in the schema, {value} in fathom-{name}")
            problems += not fix
            part[key] = value
    return problems


def nested(path, value):
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def extremes(schema):
    for path, part in leaves(schema):
        if part.get("type") in ("integer", "number"):
            for name in ("minimum", "maximum"):
                if name not in part:
                    yield path, name, None
                else:
                    yield path, name, part[name]


def start(service, text, flags, binaries, scratch):
    """Starts a process with a configuration; what became of it: "listens" or the line with which it ended."""
    where = scratch / f"{service}-{time.monotonic_ns()}"
    where.mkdir()
    (where / "config.yaml").write_text(text)
    ready = where / "ready"
    with open(where / "log", "wb") as log:
        process = subprocess.Popen(
            [binaries / f"fathom-{service}", "--config", where / "config.yaml", "--host", "127.0.0.1", "--instance", "x",
             "--monitor", "127.0.0.1:1", "--ready-file", ready, *flags(where)], stdout=log, stderr=log)
    deadline = time.monotonic() + 120
    try:
        while process.poll() is None and not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if ready.exists():
            return "listens"
        lines = (where / "log").read_text(errors="replace").strip().splitlines()
        return f"status {process.poll()}: {lines[-1] if lines else ''}"
    finally:
        process.kill()
        process.wait()


def try_extremes(schema, binaries, models, scratch):
    import chart

    keys = scratch / "keys.json"
    keys.write_text('{"version":1,"keys":[]}')
    flags = {
        "gateway": lambda where: ["--keys", keys, "--state", where / "state"],
        "shard": lambda where: ["--model", f"m={models}/{MODEL}/model.gguf", "--stage", "0"],
        "store": lambda where: ["--data", where / "data", "--encoder", models / ENCODER],
        "monitor": lambda where: ["--http-host", "127.0.0.1"],
    }
    def configurations(values):
        objects = chart.render(values)
        return {service: chart.configuration(objects, service) for service in SERVICES}

    # One stage, and a small cache: what is measured here is whether a process takes its settings.
    base = {"shard": {"stages": 1, "threads": 1, "kvBlocks": 64}, "store": {"threads": 1}}
    usual = configurations(base)
    seen, problems, count = {}, 0, 0
    for path, name, value in extremes(schema):
        if value is None:
            print(f"check-limits: {path} has no {name}")
            problems += 1
            continue
        values = {**base}
        group, _, key = path.partition(".")
        values[group] = {**base.get(group, {}), **nested(path, value)[group]} if "." in path and path.count(".") == 1 \
            else nested(path, value)[group]
        try:
            rendered = configurations(values)
        except chart.Refused as error:
            print(f"check-limits: {path} {value} is not rendered: {error}")
            problems += 1
            continue
        for service in SERVICES:
            if re.search(r"\de\+\d", rendered[service]):
                print(f"check-limits: {path} {value} gives fathom-{service} a number with an exponent")
                problems += 1
            # With several stages the pod's command says where the next one is.
            text = re.sub(r"^stages: \d+$", "stages: 1", rendered[service], flags=re.M) if path != "shard.stages" \
                else rendered[service]
            if text == usual[service] or (service, text) in seen:
                continue
            more = flags[service]
            if path == "shard.stages" and value > 1:
                more = lambda where: [*flags["shard"](where)[:-1], str(value - 1)]
            outcome = seen[service, text] = start(service, text, more, binaries, scratch)
            count += 1
            fits = outcome == "listens" or (path in LARGE and name == "maximum" and not REFUSAL.search(outcome))
            if path == "shard.stages":
                # A model has fewer layers than that: the process says so, having read it.
                fits = fits or not REFUSAL.search(outcome)
            if not fits:
                print(f"check-limits: {path} {value}: fathom-{service}: {outcome}")
                problems += 1
    return count, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / ".build/release", type=pathlib.Path, help="folder of the executables")
    parser.add_argument("--models", type=pathlib.Path, help="registry with the two models",
                        default=pathlib.Path(os.environ.get("FATHOM_MODELS") or os.path.expanduser("~/.fathom/models")))
    parser.add_argument("--fix", action="store_true", help="write the processes' limits into the schema")
    arguments = parser.parse_args()
    path = ROOT / "k8s/chart/fathom/values.schema.json"
    schema = json.loads(path.read_text())
    problems = 0
    if not os.environ.get(namespaces.MARK):
        problems = compare(schema, settings(arguments.bin.resolve()), arguments.fix)
        if arguments.fix:
            path.write_text(json.dumps(schema, indent=2) + "\n")
        if problems:
            sys.exit(f"check-limits: {problems} limits differ; --fix takes those of the processes")
        print("  the chart's limits are those of the processes")
    scratch = namespaces.enter("check-limits")
    count, problems = try_extremes(schema, arguments.bin.resolve(), arguments.models.resolve(), scratch)
    print(f"check-limits: {count} starts with extreme values, {problems} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
