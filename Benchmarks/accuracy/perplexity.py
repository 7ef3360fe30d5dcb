#!/usr/bin/env python3
"""Perplexity of a text under a running Fathom gateway and under llama.cpp, of one GGUF file, in one run.

usage: perplexity.py BASE_URL API_KEY MODEL.gguf [--model NAME] [--window 1024] [--text FILE...] [--json]

The text (default: prose of this repository's docs) is tokenised once, by llama.cpp, without special tokens, and cut into
windows. Both sides get the same ids. Each window is a sequence of its own and starts with the BOS token where the model's
file asks for one; the first token of a window is given, all others are guessed. Figure: exp of the mean negative
log-probability over all windows. Fathom scores by /v1/completions with echo and logprobs, llama.cpp by a decode whose
logits are all kept, with its defaults (f16 KV cache). Also printed: the mean of |difference| of the tokens'
log-probabilities. Exit 1 when the perplexities differ by more than 0.5 %. Needs `pip install llama-cpp-python`.
"""
import argparse, json, math, pathlib, re, sys, urllib.error, urllib.request

import llama_cpp
import numpy

TOLERANCE = 0.005
BATCH = 256

parser = argparse.ArgumentParser()
parser.add_argument("base")
parser.add_argument("key")
parser.add_argument("gguf")
parser.add_argument("--model", help="name that the gateway serves the file under (default: its only text model)")
parser.add_argument("--window", type=int, default=1024, help="tokens of a window, BOS included")
parser.add_argument("--text", nargs="*", help="files (default: docs)")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--json", action="store_true")
arguments = parser.parse_args()


def request(path, body=None):
    call = urllib.request.Request(
        arguments.base.rstrip("/") + path, json.dumps(body).encode() if body else None,
        {"Content-Type": "application/json", "Authorization": "Bearer " + arguments.key})
    try:
        with urllib.request.urlopen(call, timeout=600) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        sys.exit(f"{path}: {error} {error.read().decode()[:500]}")


def prose():
    """Plain English of the documentation: no tables, no code, no markup of HTML."""
    root = pathlib.Path(__file__).resolve().parents[2] / "docs"
    names = sorted((root / "sample-handbook").iterdir()) + [
        root / name for name in ("architecture.md", "operations.md", "wire.md", "trace-of-a-request.md")]
    parts = []
    for name in names:
        text = re.sub(r"```.*?```", "", name.read_text(), flags=re.S)
        text = re.sub(r"<[^>]*>", "", text)
        parts.append("\n".join(line for line in text.splitlines() if not line.startswith("|")))
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(parts))


def fathom(window, model):
    reply = request("/v1/completions", {
        "model": model, "prompt": window, "max_tokens": 0, "echo": True, "logprobs": 1, "temperature": 0,
        "return_tokens_as_token_ids": True})
    logprobs = reply["choices"][0]["logprobs"]
    ids = [int(token.split(":", 1)[1]) for token in logprobs["tokens"]]
    assert ids == window, "the gateway scored other tokens"
    return logprobs["token_logprobs"][1:]


class Llama:
    def __init__(self, path):
        # A whole window as one sequence, as many logits at a time as memory likes.
        self.llama = llama_cpp.Llama(
            path, n_ctx=arguments.window, n_batch=BATCH, n_ubatch=BATCH, n_threads=arguments.threads,
            n_threads_batch=arguments.threads, verbose=False)
        self.batch = llama_cpp.llama_batch_init(BATCH, 0, 1)
        self.vocabulary = self.llama.n_vocab()
        vocab = llama_cpp.llama_model_get_vocab(self.llama.model)
        self.bos = [llama_cpp.llama_vocab_bos(vocab)] if llama_cpp.llama_vocab_get_add_bos(vocab) else []

    def tokens(self, text):
        return self.llama.tokenize(text.encode(), add_bos=False, special=False)

    def score(self, window):
        context = self.llama.ctx
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        scores = []
        for start in range(0, len(window), BATCH):
            chunk = window[start:start + BATCH]
            self.batch.n_tokens = len(chunk)
            for i, token in enumerate(chunk):
                self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, start + i, 1
                self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, 0
            if llama_cpp.llama_decode(context, self.batch) != 0:
                sys.exit("llama_decode failed")
            for i in range(len(chunk)):
                if start + i + 1 == len(window):
                    break
                row = numpy.ctypeslib.as_array(
                    llama_cpp.llama_get_logits_ith(context, i), shape=(self.vocabulary,)).astype(numpy.float64)
                largest = row.max()
                total = largest + math.log(numpy.exp(row - largest).sum())
                scores.append(row[window[start + i + 1]] - total)
        return scores


def main():
    text = "\n\n".join(pathlib.Path(name).read_text() for name in arguments.text) if arguments.text else prose()
    llama = Llama(arguments.gguf)
    tokens = llama.tokens(text)
    step = arguments.window - len(llama.bos)
    windows = [llama.bos + tokens[start:start + step] for start in range(0, len(tokens), step)]
    windows = [window for window in windows if len(window) > 1]
    model = arguments.model or next(
        m["id"] for m in request("/v1/models")["data"] if "minilm" not in m["id"].lower())
    ours = [score for window in windows for score in fathom(window, model)]
    theirs = [score for window in windows for score in llama.score(window)]
    assert len(ours) == len(theirs)
    perplexities = [math.exp(-sum(scores) / len(scores)) for scores in (ours, theirs)]
    difference = perplexities[0] / perplexities[1] - 1
    report = {
        "model": model, "tokens": len(ours), "windows": len(windows), "window": arguments.window,
        "bos": bool(llama.bos), "fathom": round(perplexities[0], 4), "llama_cpp": round(perplexities[1], 4),
        "difference_percent": round(100 * difference, 3),
        "mean_abs_logprob_difference": round(sum(abs(a - b) for a, b in zip(ours, theirs)) / len(ours), 5)}
    print(json.dumps(report) if arguments.json else "\n".join(f"{k} {v}" for k, v in report.items()))
    sys.exit(abs(difference) > TOLERANCE)


main()
