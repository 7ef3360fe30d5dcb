#!/usr/bin/env python3
"""Makes the descriptions of tiny checkpoints here and what Hugging Face transformers computes from them.

usage: generate.py        (needs torch and transformers 5; made with torch 2.13.0 and transformers 5.24.0)

One folder for each family: config.json as published, tensors.json with the names, types and shapes of the weights, and
expected.json in the format of `fathom model check`. The weights themselves are pseudo-random numbers that the tests make
again (TinyCheckpoint.swift); they mean nothing, and are large enough that every part of a layer shows.
"""
import copy, json, os, re, shutil

import numpy
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
COMMON = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 72, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
    "hidden_act": "silu", "attention_bias": False, "bos_token_id": 0, "eos_token_id": 1, "torch_dtype": "bfloat16",
    "tie_word_embeddings": False, "rope_theta": 10000}
LATENT = {
    **COMMON, "num_key_value_heads": 4, "num_hidden_layers": 3, "kv_lora_rank": 20, "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8, "v_head_dim": 10, "moe_intermediate_size": 20, "n_routed_experts": 8,
    "num_experts_per_tok": 3, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1,
    "max_position_embeddings": 2560}
YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 16, "beta_fast": 32, "beta_slow": 1}
MODELS = {
    "llama": {
        **COMMON, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "head_dim": 12, "mlp_bias": False,
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32}},
    "qwen2": {
        **COMMON, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True},
    "qwen3": {
        **COMMON, "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "head_dim": 20,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}},
    "deepseek-v2": {
        **LATENT, "model_type": "deepseek_v2", "architectures": ["DeepseekV2ForCausalLM"], "q_lora_rank": None,
        "n_shared_experts": 2, "topk_method": "group_limited_greedy", "scoring_func": "softmax",
        "norm_topk_prob": False, "routed_scaling_factor": 4.0,
        "rope_scaling": {**YARN, "mscale": 0.707, "mscale_all_dim": 0.707}},
    "deepseek-v3": {
        **LATENT, "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "q_lora_rank": 14,
        "n_shared_experts": 1, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": True,
        "routed_scaling_factor": 2.5, "rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}},
    "gemma3": {
        **{key: value for key, value in COMMON.items() if key != "hidden_act"}, "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"], "hidden_activation": "gelu_pytorch_tanh", "head_dim": 12,
        "num_hidden_layers": 7, "query_pre_attn_scalar": 12, "sliding_window": 8, "sliding_window_pattern": 6,
        "rope_theta": 1000000, "rope_local_base_freq": 10000, "tie_word_embeddings": True, "attn_logit_softcapping": None,
        "final_logit_softcapping": None},
}


def values(name, shape, base, scale):
    """The weights of a tensor: base + scale * u with u in [-1, 1) from SplitMix64 over the element's index, seeded by the
    FNV-1a hash of the name; rounded to bfloat16. TinyCheckpoint.swift makes the same."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with numpy.errstate(over="ignore"):
        index = numpy.arange(1, numpy.prod(shape) + 1, dtype=numpy.uint64)
        z = numpy.uint64(seed) + index * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    unit = (z >> numpy.uint64(40)).astype(numpy.float32) * numpy.float32(2.0**-23) - numpy.float32(1)
    return torch.from_numpy(numpy.float32(base) + numpy.float32(scale) * unit).reshape(shape).bfloat16()


def distribution(name, family):
    """Base and scale; scales are powers of two, so that nothing is rounded twice."""
    if "norm" in name:
        return (0 if family == "gemma3" else 1), 0.125
    if "correction_bias" in name:
        return 0, 0.0625
    return 0, 1 if "embed" in name or "lm_head" in name else 0.25


def split_experts(tensors):
    """One tensor for each expert, as in the published repositories."""
    result = {}
    for name, tensor in tensors.items():
        match = re.fullmatch(r"(.*\.mlp\.experts)\.(gate_up_proj|down_proj)", name)
        if not match:
            result[name] = tensor
            continue
        for expert, matrix in enumerate(tensor):
            if match[2] == "down_proj":
                result[f"{match[1]}.{expert}.down_proj.weight"] = matrix
            else:
                gate, up = matrix.chunk(2)
                result[f"{match[1]}.{expert}.gate_proj.weight"] = gate
                result[f"{match[1]}.{expert}.up_proj.weight"] = up
    return result


def logprobs(model, tokens):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([tokens]), use_cache=False).logits[0].double(), -1)


def expect(model, length, vocabulary):
    tokens = torch.randint(2, vocabulary, (length,)).tolist()
    top = [
        [[int(token), round(float(value), 6)] for value, token in zip(*row.topk(20))] for row in logprobs(model, tokens)]
    greedy, values = [], []
    for _ in range(8):
        value, token = logprobs(model, tokens + greedy)[-1].max(-1)
        greedy.append(int(token))
        values.append(round(float(value), 6))
    return {"tokens": tokens, "top": top, "greedy": {"tokens": greedy, "logprobs": values}}


def main():
    for seed, (name, settings) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        folder = os.path.join(HERE, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(settings, file, indent=1, sort_keys=True)
            file.write("\n")
        config = AutoConfig.from_pretrained(folder)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32).eval()
        shapes = {name: tensor.shape for name, tensor in split_experts(model.state_dict()).items()}
        if settings["tie_word_embeddings"]:
            shapes.pop("lm_head.weight", None)
        plan, tensors = [], {}
        for tensor_name, shape in shapes.items():
            base, scale = distribution(tensor_name, name)
            type_name = "F32" if "correction_bias" in tensor_name else "BF16"
            plan.append([tensor_name, type_name, list(shape), base, scale])
            tensor = values(tensor_name, tuple(shape), base, scale)
            tensors[tensor_name] = tensor.float() if type_name == "F32" else tensor
        with open(os.path.join(folder, "tensors.json"), "w") as file:
            file.write("[\n" + ",\n".join(json.dumps(entry) for entry in plan) + "\n]\n")
        path = os.path.join(folder, "model.safetensors")
        save_file(tensors, path, metadata={"format": "pt"})
        # What was written is what is expected: the file's values, read back by the library itself.
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager").eval()
        prompts = [expect(model, length, settings["vocab_size"]) for length in (5, 40)]
        with open(os.path.join(folder, "expected.json"), "w") as file:
            json.dump({"format": "tiny-lm-oracle-1", "model": name, "top_n": 20, "prompts": prompts}, file)
            file.write("\n")
        os.remove(path)
        print(name, prompts[0]["greedy"]["tokens"])


main()
