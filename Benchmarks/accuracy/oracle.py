#!/usr/bin/env python3
"""Hold a running Fathom gateway against fp32 reference figures, through the public API only.

usage: oracle.py BASE_URL API_KEY [--completions FILE] [--embeddings FILE] [--json]

Completions: each text is sent to /v1/completions with echo, logprobs 20 and max_tokens 1; prints the mean KL divergence
over the reference's 20 likeliest tokens of every position, the share of positions whose likeliest token agrees, and
whether all token ids are equal. Embeddings: prints the smallest cosine. Exit 1 when one is out of tolerance
(KL <= 0.0025, equal top >= 97.5 %, cosine >= 0.9999, ids equal). Standard library only.
"""
import argparse, json, math, sys, urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("base")
parser.add_argument("key")
parser.add_argument("--completions")
parser.add_argument("--embeddings")
parser.add_argument("--model", default="")
parser.add_argument("--json", action="store_true")
arguments = parser.parse_args()


def post(path, body):
    request = urllib.request.Request(
        arguments.base.rstrip("/") + path, json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + arguments.key})
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)


def model_named(part):
    request = urllib.request.Request(
        arguments.base.rstrip("/") + "/v1/models", headers={"Authorization": "Bearer " + arguments.key})
    with urllib.request.urlopen(request, timeout=30) as response:
        return next(m["id"] for m in json.load(response)["data"] if part in m["id"])


def token_id(key):
    return int(key.split(":", 1)[1])


report, failed = {}, False
if arguments.completions:
    model = arguments.model or model_named("smollm2")
    divergences, agreeing, ids_equal, worst = [], 0, True, 0.0
    for reference in json.load(open(arguments.completions)):
        reply = post("/v1/completions", {
            "model": model, "prompt": reference["text"], "max_tokens": 1, "temperature": 0, "echo": True,
            "logprobs": 20, "return_tokens_as_token_ids": True})
        logprobs = reply["choices"][0]["logprobs"]
        count = len(reference["tokens"])
        ids_equal &= [token_id(t) for t in logprobs["tokens"][:count]] == reference["tokens"]
        ids_equal &= reply["usage"]["prompt_tokens"] == count
        # top_logprobs[i + 1] is what follows tokens[0...i]; the sampled token closes the last position.
        for position, top in enumerate(reference["top"]):
            ours = {token_id(k): v for k, v in logprobs["top_logprobs"][position + 1].items()}
            # The prompt's own next token is listed too, however unlikely; a token that is not listed is at most as likely
            # as the 20th.
            floor = sorted(ours.values(), reverse=True)[:20][-1]
            divergence = sum(math.exp(lp) * (lp - ours.get(t, floor)) for t, lp in top)
            divergences.append(divergence)
            agreeing += max(ours, key=ours.get) == top[0][0]
    divergences.sort()
    mean = sum(divergences) / len(divergences)
    share = agreeing / len(divergences)
    report["completions"] = {
        "positions": len(divergences), "mean_kl": round(mean, 6),
        "p99_kl": round(divergences[int(len(divergences) * 0.99)], 5), "equal_top": round(share, 4),
        "token_ids_equal": ids_equal}
    failed |= mean > 0.0025 or share < 0.975 or not ids_equal
if arguments.embeddings:
    references = json.load(open(arguments.embeddings))
    smallest = 1.0
    for reference in references:
        reply = post("/v1/embeddings", {"model": model_named("minilm"), "input": reference["text"]})
        ours = reply["data"][0]["embedding"]
        dot = sum(a * b for a, b in zip(ours, reference["embedding"]))
        norms = math.sqrt(sum(a * a for a in ours)) * math.sqrt(sum(b * b for b in reference["embedding"]))
        smallest = min(smallest, dot / norms)
        failed |= reply["usage"]["prompt_tokens"] != len(reference["tokens"])
    report["embeddings"] = {"texts": len(references), "smallest_cosine": round(smallest, 7)}
    failed |= smallest < 0.9999
if arguments.json:
    print(json.dumps(report))
else:
    for name, figures in report.items():
        print(name, *(f"{k}={v}" for k, v in figures.items()))
sys.exit(1 if failed else 0)
