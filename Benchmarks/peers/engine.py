#!/usr/bin/env python3
"""Fathom's engine against llama.cpp, same file, same threads, alternating A B A B in one run.

usage: engine.py MODEL.gguf [--works prefill,decode,batch] [--fathom .build/release/fathom] [--threads 2] ...
Needs `pip install llama-cpp-python gguf` (builds llama.cpp with this machine's instructions; some minutes, and cmake).

Prints every sample, the medians and the ratio Fathom / llama.cpp. Loading is not timed; both warm up.
prefill: one batch of --prompt tokens, logits of the last. decode: one sequence, --generate tokens after that prompt.
batch: --batch sequences at once, --batch-generate tokens each after --batch-prompt tokens; tokens/s of all together.
llama.cpp is given its next tokens, so that picking them in Python is not timed; Fathom's own greedy choice is.

With figures of the machine, the share of its limit is printed too: what it reads per second against the bytes of
weights in the file that a step reads once, and its int8 operations per second against 2 per weight and token,
whichever is the nearer limit. The token embedding is no weight of a step, and prefill computes the output for one
token only.
The figures come from `probe` in Fathom's JSON (read_bytes_per_s, int8_ops_per_s), or from --read and --int8.
"""
import argparse, ctypes, json, os, signal, statistics, subprocess, sys, time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model")
parser.add_argument("--works", default="prefill,decode,batch")
parser.add_argument("--fathom", default=".build/release/fathom")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--prompt", type=int, default=512)
parser.add_argument("--generate", type=int, default=128)
parser.add_argument("--batch", default="8,32", help="sequences at once")
parser.add_argument("--batch-prompt", type=int, default=128)
parser.add_argument("--batch-generate", type=int, default=64)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--kv-unified", action="store_true", help="llama.cpp: one cache for all sequences")
parser.add_argument("--read", type=float, help="bytes per second that the machine's cores read, in GB/s")
parser.add_argument("--int8", type=float, help="int8 operations per second of the machine's cores, in Gop/s")
parser.add_argument("--timeout", type=int, default=600, help="seconds that one side of a round may take")
arguments = parser.parse_args()
works = arguments.works.split(",")
batches = [int(size) for size in arguments.batch.split(",")] if "batch" in works else []
if not set(works) <= {"prefill", "decode", "batch"}:
    parser.error(f"--works {arguments.works}: expected prefill, decode or batch with commas between")

import gguf  # noqa: E402
import llama_cpp  # noqa: E402
from llama_cpp import llama_cpp as ll  # noqa: E402


class Context:
    """A llama.cpp context for some sequences, and the batch that all its steps are put into."""

    def __init__(self, model, sequences, prompt, generate):
        self.sequences, self.prompt, self.generate = sequences, prompt, generate
        self.vocabulary = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
        parameters = ll.llama_context_default_params()
        parameters.n_seq_max = sequences
        # Every sequence's share is rounded up to whole cache cells.
        parameters.n_ctx = sequences * ((prompt + generate + 255) // 256 * 256)
        parameters.n_batch = max(512, prompt)
        parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = arguments.threads
        parameters.kv_unified = arguments.kv_unified
        self.context = ll.llama_init_from_model(model, parameters)
        if not self.context:
            raise RuntimeError("llama.cpp made no context")
        self.batch = ll.llama_batch_init(max(sequences, prompt), 0, 1)

    def step(self, entries, logits_of_all):
        """Decodes (token, position, sequence) entries and waits for the result."""
        for i, (token, position, sequence) in enumerate(entries):
            self.batch.token[i] = token
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = logits_of_all or i == len(entries) - 1
        self.batch.n_tokens = len(entries)
        start = time.perf_counter()
        if ll.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError("llama_decode failed")
        ll.llama_synchronize(self.context)
        return time.perf_counter() - start

    def token(self, position, sequence):
        """Any token that is not special: those have low ids."""
        low = min(1000, self.vocabulary // 2)
        return low + (position * 7919 + sequence * 104729) % (self.vocabulary - low)

    def run(self, generate=None):
        """Seconds of the first sequence's prefill, and seconds of all sequences' decode."""
        ll.llama_memory_clear(ll.llama_get_memory(self.context), True)
        prefill = [
            self.step([(self.token(i, s), i, s) for i in range(self.prompt)], False) for s in range(self.sequences)]
        positions = range(self.prompt, self.prompt + (self.generate if generate is None else generate))
        decode = [self.step([(self.token(p, s), p, s) for s in range(self.sequences)], True) for p in positions]
        return prefill[0], sum(decode)


class LlamaCpp:
    def __init__(self):
        ll.llama_backend_init()
        self.quiet = ll.llama_log_callback(lambda level, text, data: None)
        ll.llama_log_set(self.quiet, ctypes.c_void_p(0))
        self.model = ll.llama_model_load_from_file(arguments.model.encode(), ll.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {arguments.model}")
        self.single = None
        if set(works) & {"prefill", "decode"}:
            self.single = Context(self.model, 1, arguments.prompt, arguments.generate)
            self.single.run(generate=8)
        self.batched = [Context(self.model, n, arguments.batch_prompt, arguments.batch_generate) for n in batches]

    def round(self):
        """Tokens per second by work."""
        # llama_decode cannot be interrupted: when it hangs, the alarm ends this process.
        signal.alarm(arguments.timeout)
        rates = {}
        if self.single:
            prefill, decode = self.single.run(generate=None if "decode" in works else 0)
            rates["prefill"] = arguments.prompt / prefill
            rates["decode"] = arguments.generate / decode if decode else 0
        for context in self.batched:
            _, decode = context.run()
            rates[f"batch {context.sequences}"] = context.sequences * context.generate / decode
        signal.alarm(0)
        return rates


class Fathom:
    def __init__(self):
        self.probes = []

    def measure(self, prompt, generate, batch):
        command = [
            arguments.fathom, "bench", "engine", "--model", arguments.model, "--threads", str(arguments.threads),
            "--prompt", str(prompt), "--generate", str(generate), "--batch", batch, "--repeats", "1", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.timeout)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr.strip()[-2000:]}")
        figures = json.loads(done.stdout)
        if "probe" in figures:
            self.probes.append(figures["probe"])
        return figures

    def round(self):
        """Tokens per second by work."""
        rates = {}
        if set(works) & {"prefill", "decode"}:
            figures = self.measure(arguments.prompt, arguments.generate if "decode" in works else 2, "1")
            rates["prefill"] = figures["prefill"]["tokens_per_s"]
            rates["decode"] = figures["decode"]["tokens_per_s"]
        if batches:
            figures = self.measure(arguments.batch_prompt, arguments.batch_generate, arguments.batch)
            for figure in figures["batch"]:
                rates[f"batch {figure['sequences']}"] = figure["tokens_per_s"]
        return rates

    def probe(self, name, given):
        """The median of a figure of the machine, or None when nobody measured it."""
        if given:
            return given * 1e9
        values = [probe[name] for probe in self.probes if probe.get(name)]
        return statistics.median(values) if values else None


class Weights:
    """What one step reads and computes, from the file."""

    def __init__(self, path):
        matrices = [tensor for tensor in gguf.GGUFReader(path).tensors if len(tensor.shape) == 2]
        is_tied = all(tensor.name != "output.weight" for tensor in matrices)
        used = [tensor for tensor in matrices if tensor.name != "token_embd.weight" or is_tied]
        self.bytes = sum(int(tensor.n_bytes) for tensor in used)
        self.layers = sum(int(tensor.n_elements) for tensor in used if tensor.name.startswith("blk."))
        self.count = sum(int(tensor.n_elements) for tensor in used)

    def limit(self, work, read, int8):
        """Tokens per second that the machine allows, and what sets the limit; None when unknown."""
        if work == "prefill":
            return (int8 / (2 * self.layers), "int8") if int8 else None
        sequences = int(work.split()[1]) if work.startswith("batch") else 1
        limits = []
        if read:
            limits.append((sequences * read / self.bytes, "memory"))
        if int8:
            limits.append((int8 / (2 * self.count), "int8"))
        return min(limits, default=None)


def main():
    print(f"load average {os.getloadavg()[0]:.2f}, processors {os.cpu_count()}, threads {arguments.threads},",
          f"llama-cpp-python {llama_cpp.__version__}")
    weights = Weights(arguments.model)
    print(f"{os.path.basename(arguments.model)}: {weights.bytes / 1e6:.1f} MB of weights read by a step,",
          f"{weights.layers / 1e6:.1f} M weights in layers, {weights.count / 1e6:.1f} M with the output", flush=True)
    sides = {"llama.cpp": LlamaCpp(), "fathom": Fathom()}
    samples = {name: [] for name in sides}
    for index in range(arguments.rounds):
        for name, side in sides.items():
            print(f"round {index + 1} of {arguments.rounds}: {name}", file=sys.stderr, flush=True)
            samples[name].append(side.round())
    read = sides["fathom"].probe("read_bytes_per_s", arguments.read)
    int8 = sides["fathom"].probe("int8_ops_per_s", arguments.int8)
    if read or int8:
        figures = [f"{read / 1e9:.1f} GB/s read" if read else "", f"{int8 / 1e9:.1f} Gop/s int8" if int8 else ""]
        print("machine:", ", ".join(filter(None, figures)))
    for work in [w for w in ("prefill", "decode") if w in works] + [f"batch {n}" for n in batches]:
        limit = weights.limit(work, read, int8)
        medians = {}
        for name, rounds in samples.items():
            values = [round(rates[work], 1) for rates in rounds]
            medians[name] = statistics.median(values)
            share = f"{medians[name] / limit[0]:6.1%} of limit" if limit else ""
            print(f"{work:8} {name:10} median {medians[name]:8.1f} tok/s  {share}  samples {values}")
        limited = f"  limit {limit[0]:.1f} tok/s ({limit[1]})" if limit else ""
        print(f"{work:8} ratio {medians['fathom'] / medians['llama.cpp']:.2f}{limited}")
    print(f"load average {os.getloadavg()[0]:.2f}")


main()
