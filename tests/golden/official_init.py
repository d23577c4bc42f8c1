#!/usr/bin/env python3
"""Writes what the initial values of a model are drawn from: official_init.py OUT_DIR

The figures are formulas (theory below); before they are written, parameters that the packages draw themselves must
agree with them. OUT_DIR/NAME holds config.json and initial.json: for every parameter its shape, whether weight decay
applies, and one of values (all of them), normal (standard deviation) or uniform (bound).

The paper's family is held to the xlstm package; the large one to transformers, since the package's xLSTMLarge leaves
PyTorch's defaults, being made for trained weights; LSTMs to torch.nn.LSTM. Transformers are our own.
"""
import argparse
import dataclasses
import json
import math
import pathlib

import torch

from official import paper_config

SAMPLES = 40


def small(dim):
    return "normal", math.sqrt(2 / (5 * dim))


def wang(dim, blocks):
    return "normal", 2 / blocks / math.sqrt(dim)


def uniform(size):
    return "uniform", 1 / math.sqrt(size)


def constant(value, count):
    return "values", [float(value)] * count


def spread(first, last, count):
    return "values", [first + (last - first) * j / max(count - 1, 1) for j in range(count)]


def slstm_bias(c, block):
    """Slots i, f, z, o; within a slot head by head."""
    D, H, kind, n = c["embedding_dim"], c["slstm"]["num_heads"], c["slstm"]["bias_init"], c["num_blocks"]
    dh = D // H
    if kind == "standard":
        return uniform(D)
    forget = [0.0] * dh
    if kind == "small_init":
        forget = spread(3, 6, dh)[1]
    if kind == "powerlaw_blockdependent":
        ratio = block / (n - 1) if n > 1 else 0
        forget = [-(-5 + 12 * (j / (dh - 1)) ** (0.3 + 1.3 * ratio)) for j in range(dh)]
    return "values", [0.0] * D + forget * H + [0.0] * (2 * D)


def paper_theory(name, p, c):
    D, n, count = c["embedding_dim"], c["num_blocks"], p.numel()
    block = int(name.split("blocks.")[1].split(".")[0]) if "blocks." in name else 0
    cell = c["slstm"] if "slstm_cell" in name else None
    rules = [
        ("norm", lambda: constant(0, count)), ("learnable_skip", lambda: constant(1, count)),
        ("conv.", lambda: uniform(c["conv"](block))),
        ("mlstm_cell.fgate.bias", lambda: spread(3, 6, count)), ("mlstm_cell.igate.bias", lambda: ("normal", 0.1)),
        ("mlstm_cell.", lambda: constant(0, count)),
        ("_recurrent_kernel_", lambda: uniform(D) if cell["recurrent_weight_init"] == "standard" else constant(0, count)),
        ("slstm_cell._bias_", lambda: slstm_bias(c, block)),
        (".bias", lambda: constant(0, count)), ("proj_down.weight", lambda: wang(D, n)), (".weight", lambda: small(D))]
    return next(rule() for part, rule in rules if part in name)


def large_theory(name, p, c):
    D, n, count = c["hidden_size"], c["num_hidden_layers"], p.numel()
    rules = [
        ("norm", lambda: constant("weight" in name, count)),
        ("igate_preact.bias", lambda: constant(-10, count)), ("fgate_preact.bias", lambda: spread(3, 6, count)),
        (".bias", lambda: constant(0, count)), ("gate", lambda: constant(0, count)),
        ("proj_down.weight", lambda: wang(p.shape[1], n)), ("out_proj.weight", lambda: wang(D, n)),
        (".weight", lambda: small(D))]
    return next(rule() for part, rule in rules if part in name)


def lstm_theory(name, p, c):
    if "lstm." in name:
        return uniform(c["embedding_dim"])
    return constant(0, p.numel()) if "norm" in name else small(c["embedding_dim"])


def transformer_theory(name, p, c):
    D, n = c["embedding_dim"], len(c["blocks"])
    if "norm" in name:
        return constant(1, p.numel())
    return wang(D, n) if "proj_down" in name or "attention.out" in name else small(D)


def agrees(name, samples, kind, figure):
    """Samples [SAMPLES, ...] of the package against the formula."""
    x = samples.double().flatten()
    if kind == "values":
        error = float((samples.double().flatten(1) - torch.tensor(figure, dtype=torch.float64)).abs().max())
        assert error < 1e-5, f"{name}: differs from its values by {error}"
        return
    sd, n = figure if kind == "normal" else figure / math.sqrt(3), x.numel()
    assert abs(float(x.mean())) < 5 * sd / math.sqrt(n), f"{name}: mean {float(x.mean())}"
    assert abs(float(x.pow(2).mean().sqrt()) / sd - 1) < 5 / math.sqrt(2 * n), f"{name}: {float(x.std())} is not {sd}"
    if kind == "uniform":
        assert figure * (1 - 50 / n) < float(x.abs().max()) <= figure * (1 + 1e-6), f"{name}: bound"
    else:
        assert float(x.abs().max()) > 2.5 * sd, f"{name}: no tails"


def decays(name, embedding):
    return embedding if "embedding" in name else "weight" in name and "norm" not in name


def write(out, name, config, entries):
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    lines = [json.dumps(key) + ": " + json.dumps(value) for key, value in entries.items()]
    (out / name / "initial.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(name, len(entries), "parameters")


def entry(p, theory, decay):
    kind, figure = theory
    return {"shape": list(p.shape), "decay": decay, kind: figure}


def drawn(make):
    """Parameters of many models, stacked."""
    models = []
    for seed in range(SAMPLES):
        torch.manual_seed(seed)
        models.append(dict(make().named_parameters()))
    return {name: torch.stack([m[name].detach() for m in models]) for name in models[0]}


def paper(out, name, case):
    from xlstm import xLSTMLMModel
    config = dataclasses.asdict(paper_config(case))
    c = {**case["model"], "slstm": config["slstm_block"] and config["slstm_block"]["slstm"]}
    c["conv"] = lambda block: config["slstm_block" if block in config["slstm_at"] else "mlstm_block"][
        "slstm" if block in config["slstm_at"] else "mlstm"]["conv1d_kernel_size"]

    def make():
        model = xLSTMLMModel(paper_config(case))
        model.reset_parameters()
        return model

    with_decay, _ = make().get_weight_decay_optim_group_param_names()
    entries = {}
    for key, samples in drawn(make).items():
        theory = paper_theory(key, samples[0], c)
        agrees(key, samples, *theory)
        assert (key in with_decay) == decays(key, c.get("weight_decay_on_embedding", False)), key
        entries[key] = entry(samples[0], theory, key in with_decay)
    write(out, name, config, entries)


def large(out, name, config):
    from transformers import xLSTMConfig, xLSTMForCausalLM
    entries = {}
    for key, samples in drawn(lambda: xLSTMForCausalLM(xLSTMConfig(**config))).items():
        theory = large_theory(key, samples[0], config)
        agrees(key, samples, *theory)
        key = key.replace("backbone.embeddings.", "embedding.")
        entries[key] = entry(samples[0], theory, decays(key, False))
    D = config["hidden_size"]  # libxlstm has the bias that the package's last norm has, and transformers' has not
    entries["backbone.out_norm.bias"] = {"shape": [D], "decay": False, "values": [0.0] * D}
    write(out, name, {"model_type": "xlstm", **config}, entries)


def shapes(**sizes):
    return {name: torch.empty(size) for name, size in sizes.items()}


def own(out, name, config, parameters, theory):
    entries = {key: entry(p, theory(key, p, config), decays(key, False)) for key, p in parameters.items()}
    write(out, name, {"model_type": "libxlstm", **config}, entries)


def lstms(out):
    D, V = 24, 11
    made = drawn(lambda: torch.nn.LSTM(D, D))
    for key, samples in made.items():
        agrees(key, samples, *uniform(D))
    sizes = {key: samples[0] for key, samples in made.items()}
    config = {"vocab_size": V, "embedding_dim": D, "num_heads": 2}
    ends = shapes(**{"embedding.weight": (V, D), "lm_head.weight": (V, D)})
    stack = {f"lstm.{key[:-1]}{i}": p for i in range(2) for key, p in sizes.items()}
    own(out, "lstm_plain", {**config, "final_norm": False, "blocks": ["lstm_plain"] * 2}, {**ends, **stack}, lstm_theory)
    blocks = {f"blocks.{i}.lstm.{key}": p for i in range(2) for key, p in sizes.items()}
    norms = {f"blocks.{i}.norm.weight": torch.empty(D) for i in range(2)}
    own(out, "lstm", {**config, "blocks": ["lstm"] * 2},
        {**ends, **blocks, **norms, "norm.weight": torch.empty(D)}, lstm_theory)


def transformer(out):
    D, V, I = 24, 11, 40
    p = {"embedding.weight": (V, D), "lm_head.weight": (V, D), "norm.weight": (D,)}
    for i in range(3):
        b = f"blocks.{i}."
        p.update({b + "norm_att.weight": (D,), b + "norm_ffn.weight": (D,), b + "ffn.proj_up_gate.weight": (I, D),
                  b + "ffn.proj_up.weight": (I, D), b + "ffn.proj_down.weight": (D, I)})
        p.update({b + f"attention.{m}.weight": (D, D) for m in ("q", "k", "v", "out")})
    own(out, "transformer", {"vocab_size": V, "embedding_dim": D, "num_heads": 2, "blocks": ["transformer"] * 3,
                             "ffn_inner": I}, shapes(**p), transformer_theory)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    model = {"vocab_size": 13, "context_length": 8, "embedding_dim": 24, "num_blocks": 3}
    mlstm = {"conv1d_kernel_size": 3, "qkv_proj_blocksize": 4, "num_heads": 4, "proj_factor": 1.5}
    standard = {"num_heads": 3, "recurrent_weight_init": "standard"}
    paper(out, "mixed_powerlaw", dict(model={**model, "slstm_at": [0, 2], "bias": True}, mlstm=mlstm,
                                      slstm={"num_heads": 3}, feedforward={"bias": True}))
    paper(out, "one_powerlaw", dict(model={**model, "num_blocks": 1, "tie_weights": True,
                                           "weight_decay_on_embedding": True},
                                    slstm={**standard, "conv1d_kernel_size": 0}, feedforward=None))
    paper(out, "small_init", dict(model={**model, "slstm_at": [1], "weight_decay_on_embedding": True}, mlstm=mlstm,
                                  slstm={**standard, "bias_init": "small_init", "conv1d_kernel_size": 6}))
    paper(out, "standard", dict(model=model, slstm={**standard, "bias_init": "standard", "function": "lstm"}))
    paper(out, "zeros", dict(model=model, slstm={"num_heads": 2, "bias_init": "zeros"}))
    large(out, "large", dict(hidden_size=32, num_heads=2, num_hidden_layers=3, vocab_size=13, use_bias=True,
                             v_dim_factor=1.5, ffn_round_up_to_multiple_of=8))
    lstms(out)
    transformer(out)


if __name__ == "__main__":
    main()
