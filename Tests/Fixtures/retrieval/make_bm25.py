#!/usr/bin/env python3
"""Independent BM25 (Lucene's idf, bm25s' `lucene` form) over a small seeded corpus. usage: make_bm25.py > bm25.json"""
import json, math, random

WORDS = """pump valve reactor safety manual leave sick annual policy invoice contract tenant shard vector token cache
audit seal pressure torque bolt gasket filter oil water steam boiler alarm sensor relay fuse cable motor belt""".split()
K1, B = 1.2, 0.75
rng = random.Random(20261)
docs = [[rng.choice(WORDS[: rng.randint(3, len(WORDS))]) for _ in range(rng.randint(1, 60))] for _ in range(80)]
queries = [rng.sample(WORDS, rng.randint(1, 4)) for _ in range(12)] + [["pump", "pump", "oil"], ["unknown"], ["water", "unknown"]]


def score(query, doc):
    n, average = len(docs), sum(map(len, docs)) / len(docs)
    total = 0.0
    for term in query:
        df = sum(term in d for d in docs)
        if df == 0:
            continue
        idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
        tf = doc.count(term)
        total += idf * tf / (tf + K1 * (1 - B + B * len(doc) / average))
    return total


print(json.dumps({
    "documents": [" ".join(d) for d in docs],
    "queries": [{"text": " ".join(q), "scores": [round(score(q, d), 12) for d in docs]} for q in queries],
}))
