"""One real cluster for the whole run, started and ended by the built `fathom` executable."""

import json
import os
import pathlib
import subprocess

import openai
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
EXECUTABLES = pathlib.Path(os.environ.get("FATHOM_BIN", REPOSITORY / ".build" / "release"))


def fathom(*arguments, check=True):
    result = subprocess.run(
        [str(EXECUTABLES / "fathom"), *arguments], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )
    if check and result.returncode != 0:
        raise AssertionError(f"fathom {' '.join(arguments)}: status {result.returncode}\n{result.stdout}{result.stderr}")
    return result


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    fathom("up", "--detach", "--home", str(home), "--shards", "2")
    try:
        yield json.loads((home / "cluster.json").read_text()) | {"home": str(home)}
    finally:
        fathom("down", "--home", str(home), check=False)


@pytest.fixture(scope="session")
def client(cluster):
    # No retries: an error must be seen, not hidden.
    return openai.OpenAI(base_url=cluster["gateway_url"] + "/v1", api_key=cluster["api_key"], max_retries=0, timeout=120)


@pytest.fixture(scope="session")
def model(cluster):
    return cluster["model"]


@pytest.fixture(scope="session")
def other_tenant(cluster):
    """A client of another tenant of the same cluster."""
    key = fathom("key", "create", "--tenant", "other", "--home", cluster["home"]).stdout.strip()
    client = openai.OpenAI(base_url=cluster["gateway_url"] + "/v1", api_key=key, max_retries=8, timeout=120)
    # The gateway reads its key file again within a second; retries cover that, but 401 is not retried by the client.
    import time

    deadline = time.monotonic() + 10
    while True:
        try:
            client.models.list()
            return client
        except openai.AuthenticationError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
