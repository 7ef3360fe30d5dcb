#!/usr/bin/env python3
"""Tokenising speed beside the `tokenizers` library: one thread, same text, same run.

    Benchmarks/peers/tokenization.py FATHOM TOKENIZER.json|MODEL.gguf...

Needs `pip install tokenizers` (and `gguf` for GGUF files). The text is about 5 MB of mixed English, code and Chinese,
made from this repository's own files and a fixed list of sentences, in lines of about 2 KB; both sides get one line per
call. Our side is the whole command (`model tokenize`: start, load, JSON in and out); its load time is measured with an
empty input and taken off. The library's side is `Tokenizer.encode` alone. Ids are compared.
"""
import sys

# This file has the name of a module of Python's own, which others import.
sys.path.pop(0)

import json, os, pathlib, random, subprocess, time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CHINESE = ["人工智能正在改变世界，我们今天一起学习。", "分布式推理引擎把模型切分到多台机器上运行。", "数据不会离开企业的内部网络。",
           "每一个回答都可以追溯到文档和权重。", "今天天气怎么样？我想去公园散步，然后喝一杯咖啡。"]


def corpus(size=5_000_000):
    root = pathlib.Path(__file__).resolve().parents[2]
    prose = "".join(p.read_text() for p in sorted(root.glob("docs/**/*.md")) + [root / "README.md"])
    code = "".join(p.read_text() for p in sorted(root.glob("Sources/**/*.swift")))
    rng = random.Random(7)
    lines, total = [], 0
    while total < size:
        kind = rng.random()
        if kind < 0.45:
            start = rng.randrange(max(1, len(prose) - 2000))
            line = prose[start:start + 2000]
        elif kind < 0.8:
            start = rng.randrange(max(1, len(code) - 2000))
            line = code[start:start + 2000]
        else:
            line = "".join(rng.choice(CHINESE) for _ in range(30))
        lines.append(line)
        total += len(line.encode())
    return lines, total


def library(path):
    if path.endswith(".json"):
        tokenizer = Tokenizer.from_file(path)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    from gguf import GGUFReader
    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, kinds) if k == 3])
    return tokenizer


def main():
    fathom, paths = sys.argv[1], sys.argv[2:]
    lines, total = corpus()
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()

    def command(path, text):
        start = time.perf_counter()
        done = subprocess.run([fathom, "model", "tokenize", "--tokenizer", path], input=text, capture_output=True, check=True)
        return time.perf_counter() - start, done.stdout

    print(f"{total / 1e6:.2f} MB, {len(lines)} lines, one thread, best of 3")
    for path in paths:
        peer = library(path)
        expected, best_peer, best_ours, best_load = None, 1e9, 1e9, 1e9
        for _ in range(3):
            start = time.perf_counter()
            expected = [peer.encode(line, add_special_tokens=False).ids for line in lines]
            best_peer = min(best_peer, time.perf_counter() - start)
            best_load = min(best_load, command(path, b"")[0])
            seconds, output = command(path, data)
            best_ours = min(best_ours, seconds)
        equal = [json.loads(line) for line in output.splitlines()] == expected
        ours = best_ours - best_load
        print(f"{path}: fathom {total / ours / 1e6:.1f} MB/s (load {best_load:.2f} s), tokenizers "
              f"{total / best_peer / 1e6:.1f} MB/s, ids equal: {equal}")


if __name__ == "__main__":
    main()
