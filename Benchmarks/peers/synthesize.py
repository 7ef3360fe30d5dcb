#!/usr/bin/env python3
"""Write a llama of random weights as GGUF, for measuring speed at sizes for which no trained model is at hand.

usage: synthesize.py OUTPUT.gguf --type q4_k_m --tokenizer MODEL.gguf [--layers 22] [--width 2048] ...

The defaults give 1.17 B parameters. Types: f16, q8_0, q4_0, and q4_k_m in the mix of llama.cpp's quantiser. Quantised
blocks are drawn at random, not quantised from floats: weights have mean 0 and variance 1 / inputs, so that activations
keep their size and logits are finite. The tokenizer and the chat template are copied from MODEL.gguf; a larger
--vocabulary is filled up with unused tokens. The same arguments give the same bytes. One tensor is in memory at a time.
Needs `pip install gguf` (which brings numpy).
"""
import argparse, math, os, sys

import gguf
import numpy as np

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("output")
parser.add_argument("--type", default="q4_k_m", choices=["f16", "q8_0", "q4_0", "q4_k_m"])
parser.add_argument("--tokenizer", required=True, help="GGUF file to copy the tokenizer from")
parser.add_argument("--layers", type=int, default=22)
parser.add_argument("--width", type=int, default=2048, help="model width")
parser.add_argument("--ffn", type=int, default=5632, help="feed-forward width")
parser.add_argument("--heads", type=int, default=32)
parser.add_argument("--kv-heads", type=int, default=4)
parser.add_argument("--head-width", type=int, default=64)
parser.add_argument("--vocabulary", type=int, help="default: the tokenizer's")
parser.add_argument("--context", type=int, default=8192)
parser.add_argument("--tied", action="store_true", help="one tensor is both token embedding and output")
parser.add_argument("--seed", type=int, default=1)

Type = gguf.GGMLQuantizationType
FILE_TYPES = {
    "f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0, "q4_k_m": gguf.LlamaFileType.MOSTLY_Q4_K_M}
# Rows that are drawn at once: bounds what is in memory besides the tensor itself.
ROWS_AT_ONCE = 1024


def half(values):
    """f16 values, one per block, as bytes [..., 2]."""
    return values.astype(np.float16)[..., None].view(np.uint8)


def scales(random, count, typical, signed=False):
    """Block scales within a quarter of `typical`; of both signs where quantisers keep that of the largest value."""
    values = typical * random.uniform(0.75, 1.25, count)
    return values * random.choice([-1.0, 1.0], count) if signed else values


def f16_rows(random, rows, columns, deviation):
    values = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(deviation)
    return values.astype(np.float16)


def q8_0_rows(random, rows, columns, deviation):
    """Blocks of 32: f16 scale d, int8 q[32]; weight = d * q. q is uniform in -127...127: deviation 73.6."""
    count = rows * columns // 32
    d = half(scales(random, count, deviation / 73.6))
    q = random.integers(-127, 128, (count, 32), dtype=np.int8).view(np.uint8)
    return np.concatenate([d, q], axis=1).reshape(rows, -1)


def q4_0_rows(random, rows, columns, deviation):
    """Blocks of 32: f16 scale d, 32 nibbles; weight = d * (q - 8). q is uniform in 0...15: deviation 4.61."""
    count = rows * columns // 32
    d = half(scales(random, count, deviation / 4.61, signed=True))
    q = random.integers(0, 256, (count, 16), dtype=np.uint8)
    return np.concatenate([d, q], axis=1).reshape(rows, -1)


def q4_k_rows(random, rows, columns, deviation):
    """Blocks of 256: f16 d and dmin, 8 six-bit scales s and minimums m in 12 bytes, 256 nibbles;
    weight = d * s * q - dmin * m for each 32. dmin = 7.5 d and m close to s centre the weights."""
    count = rows * columns // 256
    d = scales(random, count, deviation / (4.61 * 48))
    s = random.integers(33, 64, (count, 8), dtype=np.uint8)
    m = np.clip(s.astype(np.int8) + random.integers(-2, 3, (count, 8), dtype=np.int8), 0, 63).view(np.uint8)
    packed = np.concatenate(
        [s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6, s[:, 4:] & 15 | (m[:, 4:] & 15) << 4], axis=1)
    q = random.integers(0, 256, (count, 128), dtype=np.uint8)
    return np.concatenate([half(d), half(7.5 * d), packed, q], axis=1).reshape(rows, -1)


def q6_k_rows(random, rows, columns, deviation):
    """Blocks of 256: low nibbles [128], high bit pairs [64], int8 scales s[16], f16 d; weight = d * s * (q - 32) for
    each 16. q is uniform in 0...63: deviation 18.5."""
    count = rows * columns // 256
    q = random.integers(0, 256, (count, 192), dtype=np.uint8)
    s = random.integers(65, 128, (count, 16), dtype=np.int8) * random.choice(np.array([-1, 1], np.int8), (count, 16))
    d = half(scales(random, count, deviation / (18.5 * 96)))
    return np.concatenate([q, s.view(np.uint8), d], axis=1).reshape(rows, -1)


DRAW = {
    Type.F16: f16_rows, Type.Q8_0: q8_0_rows, Type.Q4_0: q4_0_rows, Type.Q4_K: q4_k_rows, Type.Q6_K: q6_k_rows}


def draw(random, tensor_type, rows, columns):
    deviation = 1 / math.sqrt(columns)
    chunks = [
        DRAW[tensor_type](random, min(ROWS_AT_ONCE, rows - first), columns, deviation)
        for first in range(0, rows, ROWS_AT_ONCE)]
    return np.concatenate(chunks)


def has_more_bits(layer, layers):
    """Layers in which llama.cpp's q4_k_m gives attn_v and ffn_down six bits (`use_more_bits` in llama-quant.cpp)."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def matrices(arguments, vocabulary):
    """Name, type, rows and columns of every matrix, in the order of the file."""
    a = arguments
    plain = {"f16": Type.F16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0, "q4_k_m": Type.Q4_K}[a.type]
    # The quantiser gives the output Q6_K in every format below eight bits.
    output = plain if a.type in ("f16", "q8_0") else Type.Q6_K
    yield "token_embd", output if a.tied else plain, vocabulary, a.width
    for layer in range(a.layers):
        wide = Type.Q6_K if a.type == "q4_k_m" and has_more_bits(layer, a.layers) else plain
        for part, tensor_type, rows, columns in (
            ("attn_q", plain, a.heads * a.head_width, a.width), ("attn_k", plain, a.kv_heads * a.head_width, a.width),
            ("attn_v", wide, a.kv_heads * a.head_width, a.width),
            ("attn_output", plain, a.width, a.heads * a.head_width), ("ffn_gate", plain, a.ffn, a.width),
            ("ffn_up", plain, a.ffn, a.width), ("ffn_down", wide, a.width, a.ffn),
        ):
            yield f"blk.{layer}.{part}", tensor_type, rows, columns
    if not a.tied:
        yield "output", output, vocabulary, a.width


def copy_tokenizer(source, writer, vocabulary):
    """Copies every tokenizer key; returns the vocabulary's size."""
    values = {name: field.contents() for name, field in source.fields.items() if name.startswith("tokenizer.")}
    tokens = values["tokenizer.ggml.tokens"]
    vocabulary = vocabulary or len(tokens)
    if vocabulary < len(tokens):
        sys.exit(f"--vocabulary {vocabulary}: the tokenizer has {len(tokens)} tokens")
    unused = vocabulary - len(tokens)
    tokens += [f"<|unused_{i}|>" for i in range(unused)]
    values["tokenizer.ggml.token_type"] += [int(gguf.TokenType.UNUSED)] * unused
    if "tokenizer.ggml.scores" in values:
        values["tokenizer.ggml.scores"] += [0.0] * unused
    for name, value in values.items():
        types = source.fields[name].types
        writer.add_key_value(name, value, types[0], types[-1] if len(types) > 1 else None)
    return vocabulary


def write(arguments, path):
    """Returns parameters and bytes of the matrices."""
    a = arguments
    source = gguf.GGUFReader(a.tokenizer)
    writer = gguf.GGUFWriter(path, "llama")
    vocabulary = copy_tokenizer(source, writer, a.vocabulary)
    tensors = list(matrices(a, vocabulary))
    parameters = sum(rows * columns for _, _, rows, columns in tensors)
    writer.add_name(f"Random llama {parameters / 1e9:.2f}B {a.type}")
    writer.add_file_type(FILE_TYPES[a.type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(vocabulary)
    writer.add_block_count(a.layers)
    writer.add_context_length(a.context)
    writer.add_embedding_length(a.width)
    writer.add_feed_forward_length(a.ffn)
    writer.add_head_count(a.heads)
    writer.add_head_count_kv(a.kv_heads)
    writer.add_key_length(a.head_width)
    writer.add_value_length(a.head_width)
    writer.add_rope_dimension_count(a.head_width)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    norms = ["output_norm"] + [f"blk.{i}.{part}" for i in range(a.layers) for part in ("attn_norm", "ffn_norm")]
    for name in norms:
        writer.add_tensor_info(name + ".weight", (a.width,), np.dtype(np.float32), a.width * 4)
    total = 0
    for name, tensor_type, rows, columns in tensors:
        block, block_bytes = gguf.GGML_QUANT_SIZES[tensor_type]
        if columns % block:
            sys.exit(f"{name} has rows of {columns}; {tensor_type.name} needs a multiple of {block}")
        size = rows * columns // block * block_bytes
        # The writer expects the shape in elements for plain types, in bytes for quantised ones.
        if tensor_type == Type.F16:
            writer.add_tensor_info(name + ".weight", (rows, columns), np.dtype(np.float16), size)
        else:
            writer.add_tensor_info(
                name + ".weight", (rows, size // rows), np.dtype(np.uint8), size, raw_dtype=tensor_type)
        total += size
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _ in norms:
        writer.write_tensor_data(np.ones(a.width, np.float32))
    random = np.random.default_rng(a.seed)
    for _, tensor_type, rows, columns in tensors:
        writer.write_tensor_data(draw(random, tensor_type, rows, columns))
    writer.close()
    return parameters, total


def main():
    arguments = parser.parse_args()
    partial = arguments.output + ".part"
    try:
        parameters, total = write(arguments, partial)
        os.replace(partial, arguments.output)
    finally:
        if os.path.exists(partial):
            os.remove(partial)
    print(f"{arguments.output}: {parameters / 1e9:.3f} B parameters, {total / 1e6:.1f} MB of matrices")


main()
