#!/usr/bin/env python3
"""Fathom's engine against llama.cpp, same file, same threads, alternating A B A B in one run.

usage: engine.py MODEL.gguf [--fathom .build/release/fathom] [--threads 2] [--prompt 512] [--generate 128] [--rounds 5]
Needs `pip install llama-cpp-python`. Prints every sample, the medians and the ratio Fathom / llama.cpp. Loading is not
timed; both warm up once. Prefill is one batch of --prompt tokens; decode is --generate greedy tokens after 16 tokens.
"""
import argparse, json, os, statistics, subprocess, time

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--fathom", default=".build/release/fathom")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--prompt", type=int, default=512)
parser.add_argument("--generate", type=int, default=128)
parser.add_argument("--rounds", type=int, default=5)
arguments = parser.parse_args()

from llama_cpp import llama_cpp as ll  # noqa: E402


class LlamaCpp:
    def __init__(self):
        ll.llama_backend_init()
        self.quiet = ll.llama_log_callback(lambda level, text, data: None)
        ll.llama_log_set(self.quiet, None)
        self.model = ll.llama_model_load_from_file(arguments.model.encode(), ll.llama_model_default_params())
        parameters = ll.llama_context_default_params()
        parameters.n_ctx = arguments.prompt + arguments.generate + 64
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = arguments.threads
        self.context = ll.llama_init_from_model(self.model, parameters)
        self.vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(self.model))

    def decode(self, tokens):
        array = (ll.llama_token * len(tokens))(*tokens)
        if ll.llama_decode(self.context, ll.llama_batch_get_one(array, len(tokens))) != 0:
            raise RuntimeError("llama_decode failed")
        ll.llama_synchronize(self.context)

    def clear(self):
        ll.llama_memory_clear(ll.llama_get_memory(self.context), True)

    def round(self):
        self.clear()
        start = time.perf_counter()
        self.decode([(i * 7919) % 40000 + 100 for i in range(arguments.prompt)])
        prefill = arguments.prompt / (time.perf_counter() - start)
        self.clear()
        self.decode([(i * 7919) % 40000 + 100 for i in range(16)])
        start = time.perf_counter()
        # The next token does not change the work; picking it in Python would be timed for nothing.
        for i in range(arguments.generate):
            self.decode([(i * 104729) % 40000 + 100])
        return {"prefill": prefill, "decode": arguments.generate / (time.perf_counter() - start)}


def fathom_round():
    command = [
        arguments.fathom, "bench", "engine", "--model", arguments.model, "--threads", str(arguments.threads),
        "--prompt", str(arguments.prompt), "--generate", str(arguments.generate), "--batch", "1", "--json"]
    figures = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=300).stdout)
    return {"prefill": figures["prefill"]["tokens_per_s"], "decode": figures["decode"]["tokens_per_s"]}


print("load average", os.getloadavg()[0], "- processors", os.cpu_count())
peer = LlamaCpp()
peer.round()
samples = {"llama.cpp": [], "fathom": []}
for _ in range(arguments.rounds):
    samples["llama.cpp"].append(peer.round())
    samples["fathom"].append(fathom_round())
for work in ("prefill", "decode"):
    medians = {}
    for name, rounds in samples.items():
        values = [round(r[work], 1) for r in rounds]
        medians[name] = statistics.median(values)
        print(f"{work:8} {name:10} median {medians[name]:8.1f} tok/s  samples {values}")
    print(f"{work:8} ratio {medians['fathom'] / medians['llama.cpp']:.2f}")
