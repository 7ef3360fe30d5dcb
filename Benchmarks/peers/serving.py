#!/usr/bin/env python3
"""Fathom's gateway against llama-server, same file, same HTTP load, alternating A B C A B C in one run.

usage: serving.py MODEL.gguf --llama-server PATH [--fathom .build/release/fathom] [--shards 1,2] [--rounds 5] ...
llama-server is built from llama.cpp: `cmake -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build -j --target
llama-server`. Standard library only.

Starts `llama-server -np CLIENTS` and one Fathom cluster for each number of shards, each in a temporary home, all on
free ports of 127.0.0.1. One works at a time; the share of a core that each uses while it waits is printed first.
stream: --clients at once, --requests in all, 64 tokens each after about 40 words.
prefix: the same with 32 tokens, and 600 words before that are the same in all requests of a round.
Answers are greedy, streamed and exactly so long. Within a round all servers get the same prompts, and no prompt or
prefix comes twice, so that no cache answers from an earlier round. Prints tokens/s of each round and their median, and
percentiles over all requests of all rounds. Exit status 1 when a request failed.

Everything started is a child of this process and is ended by its id, also on an error or SIGTERM; when this process is
killed, the kernel ends them.
"""
import argparse, ctypes, http.client, json, os, random, shutil, signal, socket, statistics, subprocess, sys, tempfile
import threading, time, urllib.parse

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model")
parser.add_argument("--llama-server", required=True)
parser.add_argument("--fathom", default=".build/release/fathom")
parser.add_argument(
    "--llama-option", action="append", default=[], help="further flag of llama-server: --llama-option=-kvu")
parser.add_argument("--shards", default="1,2", help="one cluster for each number")
parser.add_argument("--works", default="stream,prefix")
parser.add_argument("--threads", type=int, default=2, help="of llama-server, and of each Fathom shard")
parser.add_argument("--clients", type=int, default=8)
parser.add_argument("--requests", type=int, default=32, help="of each round and work")
parser.add_argument("--stream-tokens", type=int, default=64)
parser.add_argument("--prefix-tokens", type=int, default=32)
parser.add_argument("--prefix-words", type=int, default=600)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seed", type=int, default=1, help="of the prompts")
parser.add_argument("--timeout", type=int, default=600, help="seconds that a start, or one load, may take")
arguments = parser.parse_args()
WORKS = {"stream": (arguments.stream_tokens, 0), "prefix": (arguments.prefix_tokens, arguments.prefix_words)}
works = arguments.works.split(",")
if not set(works) <= set(WORKS):
    parser.error(f"--works {arguments.works}: expected stream or prefix with a comma between")

PROMPT_WORDS = 40
STOP_SECONDS = 40
VOCABULARY = (
    "morning river letter engine garden silver window quiet market bridge paper winter captain music forest island "
    "yellow kitchen teacher mountain story summer little answer village doctor orange promise station evening").split()


class Server:
    """A server that is a child of this process. Subclasses say how it is started and where it answers."""

    def __init__(self, name):
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="fathom-serving-")
        self.process = None
        self.url = self.key = self.model = ""

    def spawn(self, command):
        with open(os.path.join(self.folder, "output.log"), "wb") as log:
            # In a session of its own, so that Ctrl-C reaches only this process, which then ends its children in order.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=end_with_parent)

    def get(self, path):
        """Status of a GET, None when nobody answers."""
        connection = connect(self.url, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def wait_until_ready(self, path):
        deadline = time.monotonic() + arguments.timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            if self.find_address() and self.get(path) == 200:
                return
            time.sleep(0.1)
        with open(os.path.join(self.folder, "output.log"), errors="replace") as log:
            sys.exit(f"{self.name} was not ready (exit status {self.process.poll()}):\n{log.read()[-3000:]}")

    def find_address(self):
        return True

    def processes(self):
        return [self.process.pid]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class LlamaServer(Server):
    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url, self.model = f"http://127.0.0.1:{port}", "llama"
        # The context is shared out among the sequences; a word is at most two tokens of any usual tokenizer.
        words = PROMPT_WORDS + max(WORKS[work][1] for work in works)
        context = arguments.clients * (2 * words + max(WORKS[work][0] for work in works) + 256)
        self.spawn([
            arguments.llama_server, "--model", arguments.model, "--host", "127.0.0.1", "--port", str(port),
            "--parallel", str(arguments.clients), "--ctx-size", str(context), "--threads", str(arguments.threads),
            "--threads-batch", str(arguments.threads), *arguments.llama_option])
        self.wait_until_ready("/health")


class FathomCluster(Server):
    def __init__(self, shards):
        super().__init__(f"fathom, {shards} shard{'s' * (shards > 1)}")
        self.shards = shards

    def start(self):
        # Not detached: the cluster ends with `fathom up`, and that is our child.
        self.spawn([
            arguments.fathom, "up", "--home", os.path.join(self.folder, "home"), "--model", arguments.model, "--shards",
            str(self.shards), "--threads", str(arguments.threads)])
        self.wait_until_ready("/readyz")

    def cluster(self):
        try:
            with open(os.path.join(self.folder, "home", "cluster.json")) as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def find_address(self):
        cluster = self.cluster()
        if cluster:
            self.url, self.key, self.model = cluster["gateway_url"], cluster["api_key"], cluster["model"]
        return bool(cluster)

    def processes(self):
        cluster = self.cluster()
        return [self.process.pid, cluster["supervisor"]["pid"]] + [member["pid"] for member in cluster["processes"]]


def end_with_parent():
    """Runs in a child: asks the kernel for SIGTERM when the thread that started it ends."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def connect(url, timeout):
    address = urllib.parse.urlparse(url)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)


def words(count, *seed):
    return " ".join(random.Random(repr(seed)).choices(VOCABULARY, k=count))


class Load:
    """Requests of one work to one server, and what became of them; times in seconds."""

    def __init__(self, server, max_tokens, prefix_words, requests, seed):
        self.server, self.max_tokens, self.requests, self.seed = server, max_tokens, requests, seed
        self.prefix = words(prefix_words, seed, "prefix")
        self.lock = threading.Lock()
        self.taken = self.tokens = self.done = 0
        self.first, self.between, self.errors = [], [], []

    def run(self):
        """Returns itself; `seconds` is what the whole load took."""
        start = time.perf_counter()
        # Daemons: a request that hangs does not keep this process from ending.
        clients = [threading.Thread(target=self.client, daemon=True) for _ in range(arguments.clients)]
        for client in clients:
            client.start()
        deadline = time.monotonic() + arguments.timeout
        for client in clients:
            client.join(max(0, deadline - time.monotonic()))
            if client.is_alive():
                sys.exit(f"{self.server.name}: the load took more than {arguments.timeout} s")
        self.seconds = time.perf_counter() - start
        return self

    def client(self):
        while True:
            with self.lock:
                index = self.taken
                self.taken += 1
            if index >= self.requests:
                return
            try:
                self.request(index)
            except Exception as error:
                with self.lock:
                    self.errors.append(f"{self.server.name}: {error!r}")

    def request(self, index):
        question = f"{self.prefix} Question {index}: what comes after {words(PROMPT_WORDS, self.seed, index)}?"
        body = json.dumps({
            "model": self.server.model, "messages": [{"role": "user", "content": question}], "stream": True,
            "stream_options": {"include_usage": True}, "max_tokens": self.max_tokens, "temperature": 0,
            "ignore_eos": True})
        headers = {"Content-Type": "application/json", "Authorization": "Bearer " + self.server.key}
        connection = connect(self.server.url, timeout=arguments.timeout)
        try:
            start = time.perf_counter()
            connection.request("POST", "/v1/chat/completions", body, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}: {response.read(300)!r}")
            arrivals, tokens = self.read(response)
        finally:
            connection.close()
        if tokens != self.max_tokens:
            raise RuntimeError(f"{tokens} tokens, expected {self.max_tokens}")
        with self.lock:
            self.done += 1
            self.tokens += tokens
            self.first += [arrivals[0] - start]
            self.between += [later - earlier for earlier, later in zip(arrivals, arrivals[1:])]

    def read(self, response):
        """When each piece of text came, and the number of tokens the server counted."""
        arrivals, tokens = [], 0
        for line in response:
            data = line.removeprefix(b"data:").strip()
            if data == line.strip():
                continue
            if data == b"[DONE]":
                break
            event = json.loads(data)
            if "error" in event:
                raise RuntimeError(event["error"])
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
            if event.get("choices") and event["choices"][0].get("delta", {}).get("content"):
                arrivals.append(time.perf_counter())
        if not arrivals:
            raise RuntimeError("no text came")
        return arrivals, tokens


def percentile(values, share):
    """In milliseconds, by nearest rank."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1e3 if values else float("nan")


def processor_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def print_idle_shares(servers, seconds=2):
    before = [processor_seconds(server.processes()) for server in servers]
    time.sleep(seconds)
    for server, begin in zip(servers, before):
        share = (processor_seconds(server.processes()) - begin) / seconds
        print(f"idle     {server.name:18} {share:.1%} of a core")


def print_result(work, servers, loads):
    medians = {}
    for server in servers:
        own = loads[work, server.name]
        rates = [load.tokens / load.seconds for load in own]
        first = [value for load in own for value in load.first]
        between = [value for load in own for value in load.between]
        medians[server.name] = statistics.median(rates), percentile(first, 0.5)
        print(f"{work:8} {server.name:18} median {statistics.median(rates):7.1f} tok/s",
              f" TTFT p50 {percentile(first, 0.5):7.1f} p99 {percentile(first, 0.99):7.1f} ms",
              f" between p50 {percentile(between, 0.5):6.1f} p99 {percentile(between, 0.99):6.1f} ms",
              f" errors {sum(len(load.errors) for load in own)}  samples {[round(rate, 1) for rate in rates]}")
    peer_rate, peer_first = medians[servers[0].name]
    for server in servers[1:]:
        rate, first = medians[server.name]
        print(f"{work:8} {server.name:18} ratio {rate / peer_rate if peer_rate else float('nan'):.2f},",
              f"TTFT p50 ratio {first / peer_first:.2f}")


def measure(servers):
    """Returns the first errors."""
    for server in servers:
        print(f"starting {server.name}", file=sys.stderr, flush=True)
        server.start()
    print(f"{os.path.basename(arguments.model)}, {arguments.clients} clients, {arguments.requests} requests a round,",
          f"threads {arguments.threads}, processors {os.cpu_count()}, load average {os.getloadavg()[0]:.2f}")
    for server in servers:
        Load(server, 8, 0, arguments.clients, (arguments.seed, "warm-up")).run()
    print_idle_shares(servers)
    loads = {(work, server.name): [] for work in works for server in servers}
    for index in range(arguments.rounds):
        for work in works:
            for server in servers:
                print(f"round {index + 1} of {arguments.rounds}: {work}, {server.name}", file=sys.stderr, flush=True)
                max_tokens, prefix_words = WORKS[work]
                load = Load(server, max_tokens, prefix_words, arguments.requests, (arguments.seed, work, index))
                loads[work, server.name].append(load.run())
    for work in works:
        print_result(work, servers, loads)
    return [error for own in loads.values() for load in own for error in load.errors]


def main():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    servers = []
    try:
        servers.append(LlamaServer("llama-server"))
        for shards in arguments.shards.split(","):
            servers.append(FathomCluster(int(shards)))
        errors = measure(servers)
    finally:
        # A second signal must not interrupt this; it is bounded.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for server in servers:
            server.stop()
    if errors:
        sys.exit(f"{len(errors)} requests failed, the first: {errors[0]}")


main()
