"""Makes the dequantisation fixtures: random valid blocks of each type with the values that gguf-py gives.

Run in this directory with the `gguf` and `numpy` packages installed; the seed is fixed, so the output is too.
"""

import json

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

rng = np.random.default_rng(20240817)


def record(kind, raw, rows, columns):
    values = quants.dequantize(raw, kind).astype(np.float32).reshape(rows, columns)
    name = kind.name.lower()
    with open(f"{name}.json", "w", encoding="utf-8") as file:
        json.dump(
            {
                "type": int(kind),
                "rows": rows,
                "columns": columns,
                "bytes": raw.tobytes().hex(),
                "float_bits": values.view(np.uint32).ravel().tolist(),
            },
            file,
            separators=(",", ":"),
        )
        file.write("\n")


def normal(rows, columns):
    return (rng.standard_normal((rows, columns)) * 0.7).astype(np.float32)


for kind, columns in [(T.F32, 7), (T.F16, 19), (T.BF16, 19)]:
    data = normal(3, columns)
    data[0, :4] = [0.0, -0.0, 6.0e-8, -1.5]  # a subnormal half among them
    raw = quants.quantize(data, kind)
    record(kind, raw.view(np.uint8).reshape(3, -1), 3, columns)

for kind in [T.Q4_0, T.Q4_1, T.Q8_0]:
    record(kind, quants.quantize(normal(3, 96), kind), 3, 96)

# Q6_K has no quantiser in gguf-py: random quants and scales with a sane d per block.
blocks = rng.integers(0, 256, size=(2, 2, 210), dtype=np.uint8)
blocks[:, :, 208:210] = rng.uniform(-0.01, 0.01, size=(2, 2, 1)).astype(np.float16).view(np.uint8)
record(T.Q6_K, blocks.reshape(2, 420), 2, 512)

# The other K-quants likewise, with their d (and minimum scale) at these offsets.
for kind, size, halves in [
    (T.Q2_K, 84, (80, 82)),
    (T.Q3_K, 110, (108,)),
    (T.Q4_K, 144, (0, 2)),
    (T.Q5_K, 176, (0, 2)),
]:
    blocks = rng.integers(0, 256, size=(2, 2, size), dtype=np.uint8)
    for offset in halves:
        d = rng.uniform(-0.01, 0.01, size=(2, 2, 1)).astype(np.float16)
        blocks[:, :, offset : offset + 2] = d.view(np.uint8)
    record(kind, blocks.reshape(2, 2 * size), 2, 512)

for kind in [T.Q5_0, T.Q5_1]:
    record(kind, quants.quantize(normal(3, 96), kind), 3, 96)
