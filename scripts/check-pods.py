#!/usr/bin/env python3
"""Runs the pods that the Helm chart renders as plain processes (scripts/pods/kubelet.py), with TLS off and on, and asks what
an application asks: that every pod becomes ready by its own probes, that the cluster answers, what is left of it while a
shard is away, that keys and settings change without harm, and that it ends in order.

    scripts/chart-tools.sh && .build-tools/venv/bin/python scripts/check-pods.py [--bin DIR] [--models DIR] [SCENARIO ...]

Needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN, the built executables and the two models of `make models`; says "skipped"
without the former.
"""

import argparse
import http.client
import http.server
import io
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts/pods"))

import namespaces

# Generous: the machine may have other work.
READY_SECONDS, ANSWER_SECONDS = 180, 120
MODEL, ENCODER = "smollm2-135m-instruct", "all-minilm-l6-v2"
COMMON = {
    "drainSeconds": 25,
    "shard": {"stages": 2, "threads": 1, "kvBlocks": 640},
    "store": {"threads": 1},
    "gateway": {"replicas": 2, "keys": {"existingSecret": "keys"}},
}
SCENARIOS = {
    "plain": {},
    "services-tls": {"tls": {"enabled": True, "secretName": "services", "mutual": True}},
    "all-tls": {
        "tls": {"enabled": True, "secretName": "services", "mutual": True},
        "gateway": {"tls": {"enabled": True, "secretName": "api", "clientAuthority": "applications"}},
    },
}


def merged(first, second):
    return {key: merged(first[key], second[key])
            if isinstance(first.get(key), dict) and isinstance(second.get(key), dict)
            else second.get(key, first.get(key)) for key in {**first, **second}}


def until(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


class Certificates:
    """An authority and what it signed."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = folder / f"{name}.crt"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", self.authority)

    @staticmethod
    def openssl(*arguments):
        subprocess.run(["openssl", *[str(word) for word in arguments]], check=True, capture_output=True)

    def sign(self, subject, names=()):
        """(certificate, key) as files."""
        certificate, key = (self.folder / f"{self.name}-{subject}.{end}" for end in ("crt", "key"))
        extension = ["-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)] if names else []
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={subject}", *extension, "-CA", self.authority, "-CAkey",
                     self.folder / f"{self.name}.key", "-keyout", key, "-out", certificate)
        return certificate, key

    def secret(self, subject, names):
        certificate, key = self.sign(subject, names)
        return {"tls.crt": certificate.read_text(), "tls.key": key.read_text(), "ca.crt": self.authority.read_text()}


class Application:
    """A client of the API, behind the gateway's service."""

    def __init__(self, cluster, service, key, context=None, server_name=None):
        self.cluster, self.service, self.key = cluster, service, key
        self.context, self.server_name = context, server_name

    def connect(self, address, port, timeout):
        plain = socket.create_connection((address, port), timeout=timeout)
        return self.context.wrap_socket(plain, server_hostname=self.server_name) if self.context else plain

    def ask(self, method, path, body=None, timeout=ANSWER_SECONDS, endpoint=None, key=None):
        """(status, headers, JSON). Whoever is behind the service and ready may answer."""
        if endpoint is None:
            endpoints = self.cluster.endpoints(self.service)
            if not endpoints:
                raise ConnectionRefusedError("no pod is behind the service")
            endpoint = endpoints[int(time.monotonic() * 1000) % len(endpoints)]
        connection = http.client.HTTPConnection(*endpoint, timeout=timeout)
        connection.sock = self.connect(*endpoint, timeout)
        try:
            headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json",
                       "Host": self.server_name or "gateway"}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, response.headers, json.loads(text) if text else None
        finally:
            connection.close()

    def chat(self, text, **options):
        return self.ask("POST", "/v1/chat/completions", {
            "model": MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0}, **options)

    def embed(self, text):
        return self.ask("POST", "/v1/embeddings", {"model": ENCODER, "input": text})


class PullSources:
    """An index of packages and a hub behind a proxy, with certificates of an authority that no system knows."""

    CONTENT = b"a model, " * 1000

    def __init__(self, folder):
        self.authority = Certificates(folder, "mirror")
        certificate, key = self.authority.sign("mirror", ["index.example.com", "hub.example.com"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("tiny_model/model.gguf", self.CONTENT)
            archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
            archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
        files = {
            "/simple/tiny-model/": ("text/html", b'<a href="/tiny_model-1.0-py3-none-any.whl">tiny_model-1.0-py3-none-any.whl</a>'),
            "/tiny_model-1.0-py3-none-any.whl": ("application/zip", wheel.getvalue()),
            "/owner/repository/resolve/main/model.gguf": ("application/octet-stream", self.CONTENT),
        }

        class Site(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                allowed = not self.path.startswith("/owner") or self.headers["Authorization"] == "Bearer of-the-secret"
                kind, body = files.get(self.path, (None, None)) if allowed else (None, None)
                self.send_response(200 if body else 404 if allowed else 401)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        site.socket = context.wrap_socket(site.socket, server_side=True)

        class Proxy(http.server.BaseHTTPRequestHandler):
            """Knows where the two hosts are, which the pods' name server does not."""

            def do_CONNECT(self):
                if self.path not in ("index.example.com:443", "hub.example.com:443"):
                    return self.send_error(403)
                upstream = socket.create_connection(site.server_address)
                self.send_response(200)
                self.end_headers()
                thread = threading.Thread(target=self.copy, args=(self.connection, upstream), daemon=True)
                thread.start()
                self.copy(upstream, self.connection)
                self.close_connection = True

            @staticmethod
            def copy(source, sink):
                try:
                    while data := source.recv(65536):
                        sink.sendall(data)
                    sink.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.proxy = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Proxy)
        for server in (site, self.proxy):
            threading.Thread(target=server.serve_forever, daemon=True).start()


def pull(binaries, scratch):
    """The pull containers reach an index and a hub through a proxy, with a token and an authority of the chart's values;
    what they fetched is not fetched again."""
    import chart
    import kubelet

    scratch.mkdir()
    sources = PullSources(scratch / "certificates")
    sources_of = {
        "package": ["pypi:tiny-model==1.0", "--member", "tiny_model/model.gguf", "--name", "tiny"],
        "hub": ["hf:owner/repository@main", "model.gguf", "--name", "tiny"],
    }
    for name, arguments in sources_of.items():
        values = {
            "model": {"name": "tiny", "file": "tiny/model.gguf", "pull": arguments},
            "shard": {"stages": 1},
            "modelPull": {
                "env": [
                    {"name": "HTTPS_PROXY", "value": f"http://{kubelet.BRIDGE}:{sources.proxy.server_port}"},
                    {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
                ],
                "envFrom": [{"secretRef": {"name": "mirror"}}],
                "authorities": {"configMap": "authorities", "key": "ca.pem"},
            },
        }
        secrets = {"hub": {"token": "of-the-secret"}, "keys": {"keys.json": ""}, "mirror": {
            "PIP_INDEX_URL": "https://index.example.com/simple/", "HF_ENDPOINT": "https://hub.example.com"}}
        cluster = kubelet.Cluster(
            chart.render(values), binaries, ROOT / "Dockerfile", scratch / name, secrets,
            {"authorities": {"ca.pem": sources.authority.authority.read_text()}})
        cluster.pods = cluster.component("shard")
        cluster.prepare()
        try:
            shard, = cluster.pods
            shard.run_init_containers()
            folder, _ = shard.volumes["models"]
            check((folder / "tiny/model.gguf").read_bytes() == sources.CONTENT, f"{name}: what arrived is another file")
            shard.spec["initContainers"][0]["env"].append({"name": "HTTPS_PROXY", "value": "http://127.0.0.1:1"})
            if name == "package":
                # A pod that comes back without a network. (A hub's branch may have moved, so that is asked for.)
                shard.run_init_containers()
        finally:
            cluster.stop()


def make_keys(binaries, folder, tenant):
    """(a key, the content of the key file)"""
    run = subprocess.run([binaries / "fathom", "key", "create", "--home", folder, "--tenant", tenant], check=True,
                         capture_output=True, text=True)
    return run.stdout.strip(), (folder / "keys.json").read_text()


def check(holds, text):
    if not holds:
        raise AssertionError(text)


class Scenario:
    def __init__(self, name, values, binaries, models, scratch):
        import chart
        import kubelet

        self.name, self.scratch, self.binaries = name, scratch / name, binaries
        self.scratch.mkdir()
        self.values = merged(COMMON, values)
        objects = chart.render(self.values)
        prefix = f"{chart.RELEASE}-fathom"
        self.gateway, suffix = f"{prefix}-gateway", f"{chart.NAMESPACE}.svc"
        self.key, keys = make_keys(binaries, self.scratch / "home", "one")
        services = Certificates(self.scratch / "certificates", "services")
        api = Certificates(self.scratch / "certificates", "api")
        applications = Certificates(self.scratch / "certificates", "applications")
        self.secrets = {
            "keys": {"keys.json": keys},
            "services": services.secret("fathom", [
                f"*.{prefix}-shard.{suffix}", f"{prefix}-store.{suffix}", f"{prefix}-monitor.{suffix}"]),
            "api": api.secret("gateway", ["api.example.com"]),
            "applications": {"ca.crt": applications.authority.read_text()},
        }
        self.cluster = kubelet.Cluster(
            objects, binaries, ROOT / "Dockerfile", self.scratch / "pods", self.secrets, claims={"models": models})
        context = None
        if self.values["gateway"].get("tls", {}).get("enabled"):
            context = ssl.create_default_context(cafile=api.authority)
            if self.values["gateway"]["tls"].get("clientAuthority"):
                context.load_cert_chain(*applications.sign("application"))
        self.application = Application(
            self.cluster, self.gateway, self.key, context, "api.example.com" if context else None)

    def run(self):
        self.cluster.start()
        try:
            self.becomes_ready()
            self.answers()
            self.is_watched()
            self.refuses_strangers()
            self.takes_new_keys()
            self.survives_a_shard()
            self.lets_a_gateway_go()
        except BaseException:
            for pod in self.cluster.pods:
                print(f"--- {pod.name}: ready {pod.is_ready}, {pod.restarts} restarts, {pod.events[-5:]}\n{pod.tail()}")
            raise
        finally:
            problems = self.cluster.stop()
        check(not problems, "; ".join(problems))

    def becomes_ready(self):
        def all_ready():
            problems = [problem for pod in self.cluster.pods for problem in pod.problems]
            check(not problems, "; ".join(problems))
            return all(pod.is_ready for pod in self.cluster.pods)

        until("every pod is ready by its probes", READY_SECONDS, all_ready)
        restarts = {pod.name: pod.events for pod in self.cluster.pods if pod.restarts}
        check(not restarts, f"restarted on the way: {restarts}")

    def answers(self):
        status, _, answer = until(
            "a chat completion", ANSWER_SECONDS, lambda: (r := self.application.chat("Say hello.")) and r[0] == 200 and r)
        check(answer["usage"]["completion_tokens"] > 0, f"no text: {answer}")
        status, _, answer = self.application.embed("a text")
        check(status == 200 and len(answer["data"][0]["embedding"]) == 384, f"embeddings: {status} {answer}")

    def is_watched(self):
        """Every process reports to the monitor, whose page is asked for under the service's name."""
        pod = self.cluster.component("monitor")[0]

        def page(path, host):
            connection = http.client.HTTPConnection(pod.address, pod.port("http"), timeout=10)
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            return response.status, response.read()

        def all_serving():
            status, body = page("/api/cluster", f"{pod.owner['metadata']['name']}.demo.svc:7301")
            check(status == 200, f"monitor: {status}")
            states = {member["instance"]: member["state"] for member in json.loads(body)["members"]}
            return len(states) == len(self.cluster.pods) and set(states.values()) == {"serving"}

        until("the monitor sees every pod serve", ANSWER_SECONDS, all_serving)
        check(page("/metrics", "rebound.example.com")[0] == 421, "the monitor answers to a stranger's name")

    def refuses_strangers(self):
        """Without a certificate nobody gets a word out of a service that asks for one."""
        tls, api = self.values.get("tls", {}), self.values["gateway"].get("tls", {})
        if tls.get("enabled"):
            for component in ("shard", "store", "monitor"):
                pod = self.cluster.component(component)[0]
                outcome = subprocess.run(
                    [self.binaries / "fathom", "probe", "--address", f"{pod.address}:{pod.port('wire')}",
                     "--tls-trust-roots", self.scratch / "certificates/services.crt"], capture_output=True, text=True)
                check(outcome.returncode != 0, f"{component} serves whoever has no certificate")
        if api.get("clientAuthority"):
            stranger = Application(self.cluster, self.gateway, self.key, ssl._create_unverified_context(), "x")
            try:
                status, _, _ = stranger.ask("GET", "/v1/models", timeout=10)
                raise AssertionError(f"an application without a certificate got {status}")
            except OSError:
                pass

    def takes_new_keys(self):
        key, keys = make_keys(self.binaries, self.scratch / "home", "two")
        self.cluster.secrets["keys"] = {"keys.json": keys}
        for pod in self.cluster.component("gateway"):
            pod.update_secret("keys")
        for endpoint in self.cluster.endpoints(self.gateway):
            until("a new key is taken without a restart", 60, lambda: self.application.ask(
                "GET", "/v1/models", endpoint=endpoint, key=key)[0] == 200)

    def survives_a_shard(self):
        """While a shard is away clients are told so by gateways that stay, and the rest of the API works."""
        shard = self.cluster.pod("shard-1")
        shard.hold()
        away = time.monotonic() + 12
        refusals = 0
        while time.monotonic() < away:
            check(len(self.cluster.endpoints(self.gateway)) == 2, "a gateway left the service for a shard's sake")
            status, headers, answer = self.application.chat(f"Say {time.monotonic()}.", timeout=60)
            check(status == 503 and int(headers["Retry-After"]) > 0, f"expected 503 with Retry-After: {status} {answer}")
            refusals += 1
            status, _, _ = self.application.embed(f"a text {refusals}")
            check(status == 200, f"embeddings without a shard: {status}")
            time.sleep(0.2)
        check(refusals > 0, "nothing was asked while the shard was away")
        shard.let_go()
        until("the shard is back", READY_SECONDS, lambda: shard.is_ready)
        until("the cluster answers again", ANSWER_SECONDS,
              lambda: self.application.chat(f"Say {time.monotonic()}.")[0] == 200)

    def lets_a_gateway_go(self):
        """A pod that is deleted goes on to answer while others still send it requests, then ends with status 0."""
        pod = self.cluster.component("gateway")[0]
        endpoint = (pod.address, pod.port("http"))
        thread = threading.Thread(target=pod.terminate)
        thread.start()
        late = time.monotonic() + 3
        while time.monotonic() < late:
            status, _, _ = self.application.ask("GET", "/v1/models", endpoint=endpoint)
            check(status == 200, f"a gateway on its way out: {status}")
            time.sleep(0.05)
        thread.join()
        check(not pod.problems, "; ".join(pod.problems))
        check(self.application.ask("GET", "/v1/models")[0] == 200, "the other gateway")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / ".build/release", type=pathlib.Path, help="folder of the executables")
    parser.add_argument("--models", type=pathlib.Path, help="registry with the two models",
                        default=pathlib.Path(os.environ.get("FATHOM_MODELS") or os.path.expanduser("~/.fathom/models")))
    parser.add_argument("scenarios", nargs="*", default=["pull", *SCENARIOS], metavar="SCENARIO",
                        help=f"of pull, {', '.join(SCENARIOS)}; all of them without any")
    arguments = parser.parse_args()
    for name in arguments.scenarios:
        if name not in ("pull", *SCENARIOS):
            sys.exit(f"check-pods: there is no scenario {name}")
    for name in (MODEL, ENCODER):
        if not (arguments.models / name).is_dir():
            sys.exit(f"check-pods: {arguments.models} has no {name}; run `make models`")
    scratch = namespaces.enter("check-pods")
    # Pods look at files in here as another user.
    os.chmod(scratch, 0o755)
    failed = []
    for name in arguments.scenarios:
        start = time.monotonic()
        try:
            if name == "pull":
                pull(arguments.bin.resolve(), scratch / name)
            else:
                Scenario(name, SCENARIOS[name], arguments.bin.resolve(), arguments.models.resolve(), scratch).run()
            print(f"  {name}: passed in {time.monotonic() - start:.0f} s", flush=True)
        except Exception as error:
            failed.append(name)
            print(f"  {name}: {type(error).__name__}: {error}", flush=True)
    print(f"check-pods: {len(arguments.scenarios) - len(failed)} of {len(arguments.scenarios)} scenarios passed"
          + (f"; failed: {', '.join(failed)}" if failed else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
