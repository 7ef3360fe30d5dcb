#!/usr/bin/env python3
"""What guessing ahead (--draft-tokens) brings answers that quote their sources: the same questions with and without.

usage: speculation.py [--fathom .build/release/fathom] [--model NAME] [--documents docs/sample-handbook] [--rounds 3] ...
Standard library only.

Starts one cluster with --draft-tokens=0 and one with --drafts, each in a temporary home on free ports of 127.0.0.1,
puts the documents into both, and asks both the same questions through file_search, alternating, greedily and past the
response cache. Checks that all answers are equal. Prints for each kind of question how long its answers took, all
together and from sending the question to the last token, as medians over the rounds. Everything started is a child of
this process.
"""
import argparse, http.client, json, os, shutil, signal, statistics, subprocess, sys, tempfile, time, urllib.parse

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--fathom", default=".build/release/fathom")
parser.add_argument("--model", default="smollm2-135m-instruct")
parser.add_argument("--documents", default="docs/sample-handbook")
parser.add_argument("--drafts", type=int, default=8)
parser.add_argument("--evidence", default="passages", help="passages or sentences, as of `fathom up`")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--max-tokens", type=int, default=120)
arguments = parser.parse_args()

QUESTIONS = {
    "quote": [
        "Quote the section on carrying over annual leave word for word.",
        "Quote the rules for passwords word for word.",
        "Quote the section on protective equipment word for word.",
        "Quote the section on chemicals word for word.",
        "Repeat the section about devices exactly as it is written.",
        "Repeat the section about machines exactly as it is written.",
    ],
    "answer": [
        "How many days of annual leave do full-time employees get?",
        "What is the emergency number inside the plant?",
        "How long must a password be, and where is it kept?",
        "Who is told about spills of chemicals?",
        "When must a stolen laptop be reported, and to whom?",
        "How often are permits for the presses renewed?",
    ],
    "no sources": [
        "Tell a short story about a ship.", "Explain why the sky is blue.", "Write a short poem about winter.",
        "Describe how bread is made.",
    ],
}


class Cluster:
    def __init__(self, drafts):
        self.drafts = drafts
        self.home = tempfile.mkdtemp(prefix="fathom-speculation-")
        command = [
            arguments.fathom, "up", "--home", self.home, "--model", arguments.model, "--evidence", arguments.evidence,
            "--shard-option", f"draft-tokens={drafts}", "--gateway-port", "0", "--monitor-port", "0"]
        with open(os.path.join(self.home, "output.log"), "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with open(os.path.join(self.home, "cluster.json")) as file:
                    self.state = json.load(file)
                if self.request("GET", "/readyz")[0] == 200:
                    return
            except (OSError, ValueError, KeyError):
                pass
            time.sleep(0.1)
        sys.exit(f"the cluster with {self.drafts} guesses was not ready")

    def request(self, method, path, body=None, url=None):
        address = urllib.parse.urlparse(url or self.state["gateway_url"])
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
        headers = {"Authorization": "Bearer " + self.state["api_key"], "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        return response.status, response.read()

    def ingest(self):
        subprocess.run(
            [arguments.fathom, "ingest", "--home", self.home, arguments.documents], check=True,
            stdout=subprocess.DEVNULL)
        stores = json.loads(self.request("GET", "/v1/vector_stores")[1])["data"]
        self.store = stores[0]["id"]

    def ask(self, question, kind):
        body = {
            "model": self.state["model"], "stream": True, "temperature": 0, "max_tokens": arguments.max_tokens,
            "stream_options": {"include_usage": True}, "messages": [{"role": "user", "content": question}]}
        if kind != "no sources":
            body["tools"] = [{"type": "file_search", "vector_store_ids": [self.store], "max_num_results": 2}]
        address = urllib.parse.urlparse(self.state["gateway_url"])
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
        headers = {
            "Authorization": "Bearer " + self.state["api_key"], "Content-Type": "application/json",
            "Cache-Control": "no-store"}
        start = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        if response.status != 200:
            sys.exit(f"HTTP {response.status}: {response.read()[:300]}")
        text, tokens = "", 0
        for line in response:
            if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
                continue
            event = json.loads(line[5:])
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
            if event.get("choices"):
                text += event["choices"][0]["delta"].get("content") or ""
        seconds = time.perf_counter() - start
        connection.close()
        return text, tokens, seconds

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


clusters = []
try:
    for drafts in (0, arguments.drafts):
        clusters.append(Cluster(drafts))
        clusters[-1].wait()
        clusters[-1].ingest()
    unequal = 0
    print(f"{arguments.model}, evidence {arguments.evidence}, at most {arguments.max_tokens} tokens an answer")
    for kind, questions in QUESTIONS.items():
        rounds = {cluster: [] for cluster in clusters}
        for _ in range(arguments.rounds):
            seconds = dict.fromkeys(clusters, 0.0)
            tokens = 0
            for question in questions:
                answers = []
                for cluster in clusters:
                    text, count, took = cluster.ask(question, kind)
                    answers.append(text)
                    seconds[cluster] += took
                tokens += count
                unequal += len(set(answers)) != 1
            for cluster in clusters:
                rounds[cluster].append(seconds[cluster])
        plain, guessing = (statistics.median(rounds[cluster]) for cluster in clusters)
        print(f"{kind:12}{len(questions):2} answers of {tokens:4} tokens: {plain:6.2f} s without guesses, "
              f"{guessing:6.2f} s with {arguments.drafts}: {plain / guessing:.2f} times as fast")
    print(f"answers that differ: {unequal}")
    sys.exit(1 if unequal else 0)
finally:
    for cluster in clusters:
        cluster.stop()
