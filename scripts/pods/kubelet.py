"""A small kubelet: runs the pods that the chart renders as plain processes, each pod in a network namespace of its own,
each container on a read-only root with the volumes it mounts, as the user and without the capabilities it asks for; and
probes, restarts and ends them as the real one does. Needs the namespaces of namespaces.py."""

import base64
import http.client
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

from chart import NAMESPACE, of_kind

BRIDGE = "10.77.0.1"
# What a container sees of this machine instead of the image's files; the image is Debian as well.
SHARED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt")
ETC = ("passwd", "group", "nsswitch.conf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl",
       "ca-certificates.conf", "host.conf", "protocols", "services", "localtime", "debian_version", "python3")


def run(*command, check=True, **options):
    return subprocess.run([str(word) for word in command], check=check, capture_output=True, text=True, **options)


def image_environment(dockerfile):
    """ENV and WORKDIR of the last stage of the Dockerfile."""
    stage = dockerfile.read_text().split("\nFROM ")[-1]
    environment = dict(re.findall(r"^ENV (\w+)=(\S+)$", stage, re.M))
    workdir = re.findall(r"^WORKDIR (\S+)$", stage, re.M)[-1]
    home = re.search(r"--home-dir (\S+)", stage).group(1)
    # /fathom/python stands for the image's python3 with pip; this machine's may have none.
    return {"PATH": "/fathom/bin:/fathom/python/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home,
            **environment}, workdir


class Cluster:
    """The objects of one rendering, run."""

    def __init__(self, objects, binaries, dockerfile, scratch, secrets=None, config_maps=None, claims=None,
                 cluster_domain="cluster.local"):
        self.objects, self.binaries, self.scratch = objects, pathlib.Path(binaries), pathlib.Path(scratch)
        self.environment, self.workdir = image_environment(dockerfile)
        self.cluster_domain = cluster_domain
        self.secrets = {name: dict(data) for name, data in (secrets or {}).items()}
        self.config_maps = dict(config_maps or {})
        self.claims = claims or {}
        for item in of_kind(objects, "ConfigMap"):
            self.config_maps[item["metadata"]["name"]] = item["data"]
        for item in of_kind(objects, "Secret"):
            data = {key: base64.b64decode(value).decode() for key, value in item.get("data", {}).items()}
            self.secrets[item["metadata"]["name"]] = {**data, **item.get("stringData", {})}
        self.services = of_kind(objects, "Service")
        self.pods = []
        for owner in of_kind(objects, "Deployment", "StatefulSet"):
            for index in range(owner["spec"]["replicas"]):
                self.pods.append(Pod(self, owner, index, len(self.pods) + 1))

    def start(self):
        self.prepare()
        for pod in self.pods:
            pod.start()

    def prepare(self):
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        os.makedirs("/run/netns")
        run("ip", "link", "add", "pods", "type", "bridge")
        run("ip", "addr", "add", f"{BRIDGE}/16", "dev", "pods")
        run("ip", "link", "set", "pods", "up")
        for pod in self.pods:
            pod.prepare()

    def stop(self):
        """Ends all pods as a deletion does. What was not in order, as lines."""
        threads = [threading.Thread(target=pod.terminate) for pod in self.pods if not pod.is_gone]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        problems = [problem for pod in self.pods for problem in pod.problems]
        for pod in self.pods:
            pod.release()
        run("ip", "link", "del", "pods")
        run("umount", "--lazy", "/run")
        return problems

    def pod(self, name):
        return next(pod for pod in self.pods if pod.name.endswith(name))

    def component(self, component):
        return [pod for pod in self.pods if pod.labels["app.kubernetes.io/component"] == component]

    def hosts(self):
        """What the cluster's name server would know."""
        lines = []
        for service in self.services:
            name, selector = service["metadata"]["name"], service["spec"]["selector"]
            for pod in self.pods:
                if not selector.items() <= pod.labels.items():
                    continue
                names = [name, f"{name}.{NAMESPACE}", f"{name}.{NAMESPACE}.svc",
                         f"{name}.{NAMESPACE}.svc.{self.cluster_domain}"]
                if pod.owner["spec"].get("serviceName") == name:
                    names += [f"{pod.name}.{other}" for other in names]
                lines.append(" ".join([pod.address, *names]))
        return "127.0.0.1 localhost\n::1 localhost\n" + "\n".join(lines) + "\n"

    def endpoints(self, service_name):
        """(address, port) of the pods behind a service that are ready."""
        service = next(item for item in self.services if item["metadata"]["name"] == service_name)
        target = service["spec"]["ports"][0]["targetPort"]
        return [(pod.address, pod.port(target)) for pod in self.pods
                if service["spec"]["selector"].items() <= pod.labels.items() and pod.is_ready]


class Pod:
    def __init__(self, cluster, owner, index, number):
        self.cluster, self.owner = cluster, owner
        self.spec = owner["spec"]["template"]["spec"]
        self.labels = owner["spec"]["template"]["metadata"]["labels"]
        stateful = owner["kind"] == "StatefulSet"
        self.name = owner["metadata"]["name"] + (f"-{index}" if stateful else f"-7d9f8b6c5{index}-x{index}z2q")
        self.namespace = f"pod{number}"
        self.address = f"10.77.1.{number}"
        self.where = cluster.scratch / self.name
        self.is_ready = self.is_gone = self.is_held = False
        self.restarts = 0
        self.events, self.problems = [], []
        self.process = None
        self.thread = None
        self.terminating = threading.Event()
        self.main = self.spec["containers"][0]
        assert len(self.spec["containers"]) == 1, "one container a pod"

    # What the pod runs in

    def prepare(self):
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", f"veth{self.namespace}", "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "link", "set", f"veth{self.namespace}", "master", "pods", "up")
        run("ip", "-n", self.namespace, "addr", "add", f"{self.address}/16", "dev", "eth0")
        run("ip", "-n", self.namespace, "link", "set", "eth0", "up")
        run("ip", "-n", self.namespace, "link", "set", "lo", "up")
        self.where.mkdir(parents=True)
        self.volumes = {volume["name"]: self.volume(volume) for volume in self.spec.get("volumes", [])}
        for template in self.owner["spec"].get("volumeClaimTemplates", []):
            name = template["metadata"]["name"]
            self.volumes[name] = (self.claim(f"{name}-{self.name}", name), False)
        for container in [*self.spec.get("initContainers", []), self.main]:
            self.make_root(container)

    def release(self):
        run("ip", "netns", "del", self.namespace)

    def claim(self, name, kind):
        """The folder of a volume that outlives the pod; filled beforehand where the test gave files for it."""
        where = self.where / "claims" / name
        where.mkdir(parents=True)
        if kind in self.cluster.claims:
            shutil.copytree(self.cluster.claims[kind], where, symlinks=True, dirs_exist_ok=True)
        self.own(where, recursive=True)
        return where

    def own(self, where, mode=0o2775, recursive=False):
        """What `fsGroup` does to a volume."""
        group = self.spec["securityContext"]["fsGroup"]
        for folder, _, files in os.walk(where) if recursive else [(where, [], [])]:
            os.chown(folder, 0, group)
            os.chmod(folder, mode)
            for name in files:
                os.chown(os.path.join(folder, name), 0, group)
                os.chmod(os.path.join(folder, name), 0o664)

    def volume(self, volume):
        """(folder, whether it is read-only)"""
        where = self.where / "volumes" / volume["name"]
        if "emptyDir" in volume:
            where.mkdir(parents=True)
            size = volume["emptyDir"].get("sizeLimit", "64Mi").replace("Gi", "G").replace("Mi", "M").replace("Ti", "T")
            run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where)
            self.own(where, 0o2777)
            return where, False
        if "configMap" in volume:
            self.project(where, self.cluster.config_maps[volume["configMap"]["name"]], volume["configMap"])
            return where, True
        if "secret" in volume:
            self.project(where, self.cluster.secrets[volume["secret"]["secretName"]], volume["secret"])
            return where, True
        if "persistentVolumeClaim" in volume:
            return self.cluster.claims[volume["persistentVolumeClaim"]["claimName"]], True
        raise NotImplementedError(f"volume of {sorted(volume)}")

    def project(self, where, data, source):
        """Files of a secret or config map: links to a folder that is exchanged as a whole when the object changes."""
        wanted = {item["key"]: item["path"] for item in source["items"]} if "items" in source else {k: k for k in data}
        where.mkdir(parents=True, exist_ok=True)
        stamp = where / f"..{time.time_ns()}"
        stamp.mkdir()
        for key, path in wanted.items():
            file = stamp / path
            file.write_text(data[key])
            os.chmod(file, source.get("defaultMode", 0o644))
            os.chown(file, 0, self.spec["securityContext"]["fsGroup"])
            if not (where / path).is_symlink():
                (where / path).symlink_to(f"..data/{path}")
        link = where / "..new"
        link.symlink_to(stamp.name)
        os.replace(link, where / "..data")

    def update_secret(self, name):
        """What the kubelet does, a while after a secret was changed."""
        for volume in self.spec["volumes"]:
            if volume.get("secret", {}).get("secretName") == name:
                self.project(self.where / "volumes" / volume["name"], self.cluster.secrets[name], volume["secret"])

    def root(self, container):
        return self.where / "roots" / container["name"]

    def make_root(self, container):
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
        assert security["capabilities"] == {"drop": ["ALL"]}, "capabilities"
        root = self.root(container)
        root.mkdir(parents=True)
        run("mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", root)
        for name in SHARED:
            host = pathlib.Path("/") / name
            if host.is_symlink():
                (root / name).symlink_to(os.readlink(host))
            elif host.is_dir():
                (root / name).mkdir()
                run("mount", "--rbind", host, root / name)
        for name in ("proc", "dev", "sys"):
            (root / name).mkdir()
            run("mount", "--rbind", f"/{name}", root / name)
        etc = root / "etc"
        etc.mkdir()
        for name in ETC:
            host = pathlib.Path("/etc") / name
            if host.is_dir():
                shutil.copytree(host, etc / name, symlinks=True, ignore_dangling_symlinks=True,
                                ignore=shutil.ignore_patterns("private"))
            elif host.exists():
                shutil.copy(host, etc / name)
        with open(etc / "passwd", "a") as file:
            file.write(f"fathom:x:10001:10001::{self.cluster.environment['HOME']}:/usr/sbin/nologin\n")
        (etc / "hosts").write_text(self.cluster.hosts())
        (etc / "resolv.conf").write_text("")
        (etc / "hostname").write_text(self.name + "\n")
        (root / "fathom/bin").mkdir(parents=True)
        (root / "fathom/python").mkdir()
        run("mount", "--bind", self.cluster.binaries, root / "fathom/bin")
        run("mount", "--bind", sys.prefix, root / "fathom/python")
        for folder in (self.cluster.workdir, self.cluster.environment["HOME"], "/models", "/tmp", "/run"):
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        for mount in container.get("volumeMounts", []):
            assert "subPath" not in mount, "subPath"
            (root / mount["mountPath"].lstrip("/")).mkdir(parents=True, exist_ok=True)
        run("mount", "-o", "remount,ro", root)
        for mount in container.get("volumeMounts", []):
            folder, is_read_only = self.volumes[mount["name"]]
            target = root / mount["mountPath"].lstrip("/")
            run("mount", "--bind", folder, target)
            if is_read_only or mount.get("readOnly"):
                run("mount", "-o", "remount,bind,ro", target)

    # What the pod runs

    def environment(self, container):
        values = dict(self.cluster.environment)
        for source in container.get("envFrom", []):
            reference = source.get("secretRef") or source["configMapRef"]
            table = self.cluster.secrets if "secretRef" in source else self.cluster.config_maps
            values.update({source.get("prefix", "") + key: value for key, value in table[reference["name"]].items()})
        for entry in container.get("env", []):
            if "value" in entry:
                values[entry["name"]] = entry["value"]
                continue
            source = entry["valueFrom"]
            if "fieldRef" in source:
                fields = {"metadata.name": self.name, "status.podIP": self.address}
                values[entry["name"]] = fields[source["fieldRef"]["fieldPath"]]
            elif "secretKeyRef" in source:
                values[entry["name"]] = self.cluster.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
            else:
                raise NotImplementedError(f"env from {sorted(source)}")
        return values

    def inside(self, container, words):
        """The command line that runs `words` in the container."""
        values = self.environment(container)
        security = self.spec["securityContext"]
        assert security["runAsNonRoot"]
        user, group = security["runAsUser"], security["runAsGroup"]
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "chroot", str(self.root(container)), "setpriv",
                f"--reuid={user}", f"--regid={group}", f"--groups={security['fsGroup']}", "--inh-caps=-all",
                "--bounding-set=-all", "--no-new-privs", "env", "-i", "-C", self.cluster.workdir,
                *[f"{key}={value}" for key, value in values.items()], *words]

    def command(self, container):
        values = self.environment(container)
        words = [*container.get("command", []), *container.get("args", [])]
        return [re.sub(r"\$\((\w+)\)", lambda match: values.get(match.group(1), match.group(0)), word) for word in words]

    def log(self, container):
        return self.where / f"{container['name']}.log"

    def say(self, text):
        self.events.append(text)

    def start(self):
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def live(self):
        try:
            self.run_init_containers()
            while not self.terminating.is_set():
                self.run_main()
                if not self.terminating.is_set():
                    self.restarts += 1
                    time.sleep(0.5)
                while self.is_held and not self.terminating.is_set():
                    time.sleep(0.1)
        except Exception as error:
            self.problems.append(f"{self.name}: {type(error).__name__}: {error}")
        finally:
            self.is_ready = False

    def run_init_containers(self):
        for container in self.spec.get("initContainers", []):
            with open(self.log(container), "ab") as log:
                status = subprocess.run(
                    self.inside(container, self.command(container)), stdout=log, stderr=log, timeout=300).returncode
            if status != 0:
                raise RuntimeError(f"{container['name']} ended with status {status}: {self.tail(container)}")

    def run_main(self):
        with open(self.log(self.main), "ab") as log:
            self.process = subprocess.Popen(self.inside(self.main, self.command(self.main)), stdout=log, stderr=log)
        probes = [Probe(self, kind) for kind in ("startup", "readiness", "liveness") if f"{kind}Probe" in self.main]
        startup = next((probe for probe in probes if probe.kind == "startup"), None)
        others = [probe for probe in probes if probe.kind != "startup"]
        self.is_ready = not any(probe.kind == "readiness" for probe in others) and startup is None
        while self.process.poll() is None:
            # A container that is to end is not probed for life any more.
            due = [startup] if startup and not startup.has_succeeded else others
            for probe in due:
                outcome = probe.poll()
                if outcome is None or self.terminating.is_set() and probe.kind != "readiness":
                    continue
                if probe.kind == "readiness":
                    self.is_ready = outcome
                elif not outcome:
                    self.say(f"{probe.kind} probe failed: {probe.last}")
                    self.process.kill()
            time.sleep(0.05)
        self.is_ready = False
        if not self.terminating.is_set():
            self.say(f"ended with status {self.process.returncode}")

    def tail(self, container=None):
        log = self.log(container or self.main)
        return log.read_text(errors="replace")[-1500:] if log.exists() else ""

    def port(self, name):
        """A port by name or number."""
        return next((p["containerPort"] for p in self.main["ports"] if p["name"] == name), name)

    # What happens to the pod

    def hold(self):
        """Kills the process and keeps it from being started again."""
        self.is_held = True
        self.process.kill()

    def let_go(self):
        self.is_held = False

    def terminate(self):
        """As a deletion does: out of the endpoints, preStop, SIGTERM, and SIGKILL when the grace period is over."""
        deadline = time.monotonic() + self.spec["terminationGracePeriodSeconds"]
        self.terminating.set()
        hook = self.main.get("lifecycle", {}).get("preStop")
        if hook and self.process and self.process.poll() is None:
            subprocess.run(self.inside(self.main, hook["exec"]["command"]), check=True)
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.problems.append(f"{self.name} did not end within its grace period")
            if self.process.wait() != 0:
                self.problems.append(f"{self.name} ended with status {self.process.returncode}: {self.tail()[-300:]}")
        if self.thread:
            self.thread.join(timeout=30)
        self.is_gone = True


class Probe:
    """One of a container's probes, with the kubelet's defaults."""

    def __init__(self, pod, kind):
        self.pod, self.kind = pod, kind
        self.spec = pod.main[f"{kind}Probe"]
        self.period = self.spec.get("periodSeconds", 10)
        self.timeout = self.spec.get("timeoutSeconds", 1)
        self.threshold = self.spec.get("failureThreshold", 3)
        self.due = time.monotonic() + self.spec.get("initialDelaySeconds", 0)
        self.failures = 0
        self.has_succeeded = False
        self.last = ""

    def poll(self):
        """True: it succeeded; False: it failed often enough to count; None: nothing new."""
        if time.monotonic() < self.due:
            return None
        self.due = time.monotonic() + self.period
        try:
            self.ask()
            self.failures, self.has_succeeded = 0, True
            return True
        except (OSError, http.client.HTTPException, subprocess.SubprocessError, RuntimeError) as error:
            self.failures += 1
            self.last = f"{type(error).__name__}: {error}"
            return False if self.failures >= self.threshold else None

    def ask(self):
        if "httpGet" in self.spec:
            self.get(self.spec["httpGet"])
        elif "tcpSocket" in self.spec:
            address = (self.pod.address, self.pod.port(self.spec["tcpSocket"]["port"]))
            socket.create_connection(address, timeout=self.timeout).close()
        elif "exec" in self.spec:
            outcome = subprocess.run(
                self.pod.inside(self.pod.main, self.spec["exec"]["command"]), timeout=self.timeout,
                capture_output=True, text=True)
            if outcome.returncode != 0:
                raise RuntimeError(f"status {outcome.returncode}: {outcome.stdout}{outcome.stderr}")
        else:
            raise NotImplementedError(f"probe of {sorted(self.spec)}")

    def get(self, action):
        """The kubelet checks no certificate and presents none."""
        address, port = self.pod.address, self.pod.port(action["port"])
        if action.get("scheme", "HTTP") == "HTTPS":
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(address, port, timeout=self.timeout, context=context)
        else:
            connection = http.client.HTTPConnection(address, port, timeout=self.timeout)
        try:
            connection.request("GET", action.get("path", "/"), headers={"User-Agent": "kube-probe/1.37"})
            status = connection.getresponse().status
            if not 200 <= status < 400:
                raise RuntimeError(f"HTTP {status}")
        finally:
            connection.close()
