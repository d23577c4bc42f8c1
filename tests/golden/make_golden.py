#!/usr/bin/env python3
"""Makes reference cases with the official package (pip install xlstm==2.0.6 safetensors; transformers for HF).

    make_golden.py OUT_DIR [CASES.json] [--only NAME ...]
    make_golden.py OUT_DIR --random N [--seed S]

Without CASES.json the cases below are made, or N random ones. A case is a model's config.json and weights and a case.safetensors with
tokens, targets, logits, step_logits, loss, grad.NAME in double, and, but for strict cases, noise.NAME: the largest
error that the package makes on that tensor when it runs in float32. A bare xLSTMBlockStack has inputs for tokens, and
its loss is the mean square. Cases with "curve" are ten steps of training instead.
"""
import argparse
import copy
import json
import pathlib

import torch
from safetensors.torch import save_file

import random_cases
from official import Masks, build, forward, measure, save

CONV = {"conv1d_kernel_size": 4, "qkv_proj_blocksize": 4, "num_heads": 4}
FFN = {"proj_factor": 1.3, "act_fn": "gelu"}
CUDA = {"backend": "cuda", "recurrent_weight_init": "standard"}


def paper(seed, time, model, mlstm=None, slstm=None, feedforward=FFN, batch=2, **more):
    model = {"context_length": max(time, 2), "embedding_dim": 32, "num_blocks": 2, **model}
    if not more.get("stack"):
        model = {"vocab_size": 37, **model}
    return dict(seed=seed, batch=batch, time=time, model=model, mlstm=mlstm, slstm=slstm, feedforward=feedforward, **more)


def large(seed, time, batch=2, more={}, **config):
    return dict(seed=seed, batch=batch, time=time, large={"embedding_dim": 64, "num_heads": 2, "num_blocks": 2,
                                                          "vocab_size": 37, "chunk_size": min(time, 8), **config}, **more)


# A strong decay and a rate at which ten steps show which parameters have it.
ADAMW = {"lr": 5e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 0.5, "clip": 1.0}


CASES = {
    "odd_heads": paper(11, 33, {"embedding_dim": 96, "slstm_at": [1]}, {**CONV, "num_heads": 3}, {"num_heads": 3}),
    "conv_sizes": paper(12, 9, {"slstm_at": [0]}, {**CONV, "conv1d_kernel_size": 2}, {"conv1d_kernel_size": 7}),
    "one_token": paper(13, 1, {"slstm_at": [1]}, CONV, {}),
    "chunks": paper(15, 200, {"num_blocks": 1}, CONV, batch=1),
    "rounding": paper(16, 20, {"embedding_dim": 40, "slstm_at": [1]},
                      {**CONV, "proj_factor": 1.7, "round_proj_up_to_multiple_of": 24, "round_proj_up_dim_up": False},
                      {"num_heads": 5}, {"proj_factor": 2.1, "act_fn": "selu", "round_proj_up_to_multiple_of": 16}),
    "qkv_blocks": paper(17, 20, {}, {**CONV, "qkv_proj_blocksize": 16, "num_heads": 8}),
    "no_final_norm": paper(18, 20, {"add_post_blocks_norm": False, "bias": True}, CONV),
    "tied": paper(19, 20, {"tie_weights": True}, CONV),
    "lstm_cell": paper(20, 20, {"slstm_at": "all"}, None, {"function": "lstm", "bias_init": "standard"}),
    "no_group_weight": paper(21, 20, {"slstm_at": "all"}, None,
                             {"group_norm_weight": False, "recurrent_weight_init": "standard"}),
    "ffn_bias_relu2": paper(22, 20, {"slstm_at": "all"}, None, {}, {**FFN, "act_fn": "relu^2", "bias": True}),
    "ffn_sigmoid": paper(23, 20, {"slstm_at": "all"}, None, {}, {**FFN, "act_fn": "sigmoid"}),
    "ffn_swish": paper(24, 20, {"slstm_at": "all"}, None, {}, {**FFN, "act_fn": "swish"}),
    "ffn_relu": paper(25, 20, {"slstm_at": "all"}, None, {}, {**FFN, "act_fn": "relu"}),
    "extreme_gates": paper(26, 90, {"slstm_at": [0]}, CONV, {}, shift={"igate.bias": 40.0, "fgate.bias": -35.0}),
    "open_gates": paper(27, 90, {"slstm_at": [0]}, CONV, {}, shift={"igate.bias": -30.0, "fgate.bias": 30.0}),
    "large_one_token": large(31, 1),
    "large_odd": large(32, 27, chunk_size=9, embedding_dim=96, num_heads=3, qk_dim_factor=0.75, v_dim_factor=1.5),
    "large_no_norm": large(33, 24, add_out_norm=False, use_bias=True),
    "large_caps": large(34, 24, gate_soft_cap=2.0, output_logit_soft_cap=1.5),
    "large_fused": large(35, 24, weight_mode="fused", ffn_proj_factor=2.1, ffn_round_up_to_multiple_of=24),
    "large_chunks": large(36, 144, chunk_size=16, batch=1),
    "one_tap": paper(37, 20, {"slstm_at": [1]}, {**CONV, "conv1d_kernel_size": 1}, {"conv1d_kernel_size": 1}),
    "cuda_clip": paper(38, 30, {"embedding_dim": 24, "slstm_at": [0]}, {**CONV, "num_heads": 8},
                       {**CUDA, "num_heads": 3, "gradient_recurrent_clipval": 0.02}, None, jitter=0.2),
    "cuda_cut_lstm": paper(39, 20, {"embedding_dim": 24, "slstm_at": "all"}, None,
                           {**CUDA, "num_heads": 2, "function": "lstm", "gradient_recurrent_cut": True,
                            "gradient_recurrent_clipval": 0.1}, {**FFN, "act_fn": "selu"}, jitter=0.2),
    "bare_stack": paper(40, 20, {"embedding_dim": 24, "slstm_at": [1], "bias": True}, {**CONV, "num_heads": 2},
                        {"num_heads": 4, "conv1d_kernel_size": 3}, {**FFN, "act_fn": "swish"}, stack=True),
    "large_shards": large(41, 20, embedding_dim=40, num_heads=5, qk_dim_factor=0.75, chunk_size=6, eps=1e-4,
                          gate_soft_cap=None, output_logit_soft_cap=7.3, ffn_round_up_to_multiple_of=1, more={"shards": 2}),
    "hf_fused_shards": dict(seed=42, batch=2, time=20, shards=3, hf={
        "hidden_size": 48, "num_heads": 3, "num_hidden_layers": 2, "vocab_size": 29, "chunk_size": 7, "use_bias": True,
        "weight_mode": "fused", "tie_word_embeddings": True, "norm_eps": 1e-5}),
    # Four blocks over 512 tokens: libxlstm in float agrees with the package to 1e-5 of the largest logit, and 1e-4 of
    # the largest gradient of each parameter, without allowance for the package's own noise.
    "mixed_512": paper(43, 512, {"embedding_dim": 64, "num_blocks": 4, "slstm_at": [1, 3], "vocab_size": 32}, CONV, {},
                       batch=1, strict=True),
    "curve_mixed": paper(51, 24, {"num_blocks": 3, "slstm_at": [1], "bias": True, "weight_decay_on_embedding": True},
                         CONV, {"recurrent_weight_init": "standard"}, jitter=0.02, curve=ADAMW),
    "curve_slstm_clip": paper(52, 24, {"slstm_at": "all"}, None,
                              {"backend": "cuda", "gradient_recurrent_clipval": 0.4, "function": "slstm"},
                              curve=ADAMW),
    "curve_dropout": paper(54, 20, {"num_blocks": 3, "slstm_at": [1], "dropout": 0.3, "add_embedding_dropout": True},
                           CONV, {}, {**FFN, "dropout": 0.2}, jitter=0.02, curve=ADAMW),
    "curve_ffn_dropout": paper(55, 20, {"embedding_dim": 24, "slstm_at": "all"}, None, {}, {**FFN, "dropout": 0.2},
                               jitter=0.02, curve=ADAMW),
    "curve_large": large(53, 24, weight_mode="fused", use_bias=True, embedding_dim=32,
                         more={"jitter": 0.02, "curve": ADAMW}),
}


def inputs(case, config):
    if case.get("stack"):
        return [torch.randn(case["batch"], case["time"], config["embedding_dim"]).float().double() for _ in range(2)]
    vocab = case["hf"]["vocab_size"] if "hf" in case else config["vocab_size"]
    return [torch.randint(vocab, (case["batch"], case["time"])) for _ in range(2)]


def decay_groups(model):
    """The package's split; xLSTMLarge has none of its own and gets the same rule, embeddings without decay."""
    from xlstm.utils import WeightDecayOptimGroupMixin
    if isinstance(model, WeightDecayOptimGroupMixin):
        return model.get_weight_decay_optim_groups()
    decay, rest = WeightDecayOptimGroupMixin._create_weight_decay_optim_groups(model)
    embedding = model.embedding.weight
    return [p for p in decay if p is not embedding], [*rest, embedding]


def train(model, batches, s, wrong=False):
    """Losses before each of the AdamW steps; wrong: with decay on everything."""
    decay, rest = decay_groups(model)
    groups = [{"params": decay, "weight_decay": s["weight_decay"]},
              {"params": rest, "weight_decay": s["weight_decay"] if wrong else 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=s["lr"], betas=(s["beta1"], s["beta2"]), eps=s["eps"])
    losses, norms = [], []
    masks = Masks(model) if any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in model.modules()) else None
    for step, (tokens, targets) in enumerate(batches):
        if masks:
            masks.call = step
        optimizer.zero_grad()
        y = forward(model, tokens)
        loss = torch.nn.functional.cross_entropy(y.flatten(0, 1), targets.flatten())
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), s["clip"]).reshape(1))
        optimizer.step()
        losses.append(loss.detach().reshape(1))
    return torch.cat(losses).double(), torch.cat(norms).double()


def make_curve(name, case, out):
    """curve.safetensors: tokens and targets [steps, B, T], losses and gradient norms (before clipping) [steps] in
    double, and the settings of AdamW, which are float32 numbers, as those of libxlstm are."""
    model, config = build(case)
    s = {k: torch.tensor(v, dtype=torch.float32).item() for k, v in case["curve"].items()}
    batches = [inputs(case, config) for _ in range(10)]
    save(model, config, case, out / name)
    losses, norms = train(copy.deepcopy(model), batches, s)
    wrong, _ = train(copy.deepcopy(model), batches, s, wrong=True)
    rough, rough_norms = train(copy.deepcopy(model).float(), batches, s)
    noise, seen = float((rough / losses - 1).abs().max()), float((wrong / losses - 1).abs().max())
    assert noise < 2e-6 and seen > 1e-4, "these ten steps would not tell right from wrong"
    save_file({"tokens": torch.stack([x for x, _ in batches]), "targets": torch.stack([y for _, y in batches]),
               "losses": losses, "norms": norms, **{k: torch.tensor([v], dtype=torch.float64) for k, v in s.items()}},
              out / name / "curve.safetensors")
    print(name, "losses", float(losses[0]), "...", float(losses[-1]), "float32 differs by", noise,
          "(norms", float((rough_norms / norms - 1).abs().max()), "), wrong decay by", seen)


def make(name, case, out):
    if "curve" in case:
        make_curve(name, case, out)
        return
    model, config = build(case)
    x, targets = inputs(case, config)
    result = measure(model, x, targets)
    rough = measure(copy.deepcopy(model).float(), x, targets)
    noise = {"noise." + n: (rough[n] - result[n]).abs().max().reshape(1) for n in result}
    said = {} if case.get("strict") else noise
    folder = out / name
    save(model, config, case, folder)
    save_file({**result, **said, "inputs" if case.get("stack") else "tokens": x, "targets": targets},
              folder / "case.safetensors")
    print(name, "loss", float(result["loss"]), "logits noise", float(noise["noise.logits"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("cases", type=pathlib.Path, nargs="?")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--random", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    cases = json.loads(args.cases.read_text()) if args.cases else CASES
    if args.random:
        cases = random_cases.some(args.random, args.seed)
    for name, case in cases.items():
        if not args.only or name in args.only:
            make(name, case, args.out)


if __name__ == "__main__":
    main()
