"""Random cases: every option of the packages that changes what a model computes, in random company."""
import math
import random

ACTIVATIONS = ["gelu", "relu", "relu^2", "sigmoid", "swish", "selu"]


def rounded(r, dim, factor):
    """A width as the package rounds it, and the options that say so."""
    multiple, up = r.choice([64, 16, 8, 12, 1]), r.random() < 0.7
    parts = factor * dim / multiple
    width = int((math.ceil(parts) if up else math.floor(parts)) * multiple)
    return width, {"proj_factor": factor, "round_proj_up_to_multiple_of": multiple, "round_proj_up_dim_up": up}


def divisors(n, most):
    return [k for k in range(1, most + 1) if n % k == 0]


def blocksizes(width):
    """Those of which the package can make blocks: width // size of them, then as large as that takes."""
    return [size for size in range(1, min(width, 32) + 1) if width % (width // size) == 0]


def mlstm(r, dim):
    while True:
        width, options = rounded(r, dim, r.choice([2.0, 1.0, 1.5, 1.7, 2.3]))
        heads = [h for h in divisors(width, 12) if width // h >= 2] if width >= 8 else []
        if heads:
            return {**options, "num_heads": r.choice(heads), "qkv_proj_blocksize": r.choice(blocksizes(width)),
                    "conv1d_kernel_size": r.choice([1, 2, 3, 4, 4, 8])}


def slstm(r, dim):
    options = {"num_heads": r.choice([h for h in divisors(dim, 9) if dim // h >= 2]),
               "conv1d_kernel_size": r.choice([0, 1, 3, 4, 4, 7]), "function": r.choice(["slstm", "slstm", "lstm"]),
               "group_norm_weight": r.random() < 0.8, "recurrent_weight_init": r.choice(["zeros", "standard"]),
               "bias_init": r.choice(["powerlaw_blockdependent", "small_init", "standard", "zeros"]),
               "backend": r.choice(["vanilla", "cuda"]), "gradient_recurrent_cut": r.random() < 0.3}
    if r.random() < 0.4:
        options["gradient_recurrent_clipval"] = r.choice([0.001, 0.05, 0.3, 2.0])
    if r.random() < 0.3:
        options["forward_clipval"] = r.choice([0.1, 1.0])
    return options


def feedforward(r, dim, dropout):
    if r.random() < 0.2:
        return None
    while True:
        width, options = rounded(r, dim, r.choice([1.3, 1.0, 2.1, 2.667]))
        if width >= 1:
            return {**options, "act_fn": r.choice(ACTIVATIONS), "bias": r.random() < 0.3,
                    "dropout": r.choice([0.0, dropout])}


def lengths(r, chunk):
    """Times: one token, within a chunk, its borders, several chunks."""
    return r.choice([1, 2, chunk - 1 or 1, chunk, chunk + 1, 3 * chunk, r.randint(2, 4 * chunk), r.randint(2, 40)])


def common(r, seed, time):
    shift = {}
    if r.random() < 0.3:  # extreme gates
        shift = {"igate.bias": r.choice([-40.0, -10.0, 10.0, 40.0]), "fgate.bias": r.choice([-40.0, -10.0, 10.0, 40.0]),
                 "igate_preact.bias": r.choice([-30.0, 30.0]), "fgate_preact.bias": r.choice([-30.0, 30.0])}
        if r.random() < 0.5:
            shift["slstm_cell._bias_"] = r.choice([-20.0, -5.0, 5.0, 20.0])
    return {"seed": seed, "time": time, "batch": r.choice([1, 2, 3]), "jitter": r.choice([0.05, 0.1, 0.2]),
            "shift": shift}


def paper(r, seed, stack=False):
    time, dim, blocks = min(lengths(r, 64), 200), r.choice([12, 20, 24, 30, 32, 35, 48, 60, 64]), r.randint(1, 4)
    if time > 100:
        dim = min(dim, 32)
    kinds = r.choice(["mlstm", "slstm", "mixed", "mixed"])
    dropout = r.choice([0.0, 0.1])
    at = "all" if kinds == "slstm" else sorted(r.sample(range(blocks), r.randint(0, blocks))) if kinds == "mixed" else []
    model = {"embedding_dim": dim, "num_blocks": blocks, "context_length": time + r.choice([0, 0, 7]), "slstm_at": at,
             "add_post_blocks_norm": r.random() < 0.75, "bias": r.random() < 0.4, "dropout": dropout}
    if not stack:
        model.update(vocab_size=r.choice([2, 17, 37]), tie_weights=r.random() < 0.3,
                     weight_decay_on_embedding=r.random() < 0.5, add_embedding_dropout=r.random() < 0.5)
    return {**common(r, seed, time), "stack": stack, "model": model,
            "mlstm": None if kinds == "slstm" and r.random() < 0.5 else mlstm(r, dim),
            "slstm": None if kinds == "mlstm" else slstm(r, dim), "feedforward": feedforward(r, dim, dropout)}


def large_options(r, time_limit, hf):
    chunk = r.choice([1, 2, 5, 8, 16, 16, 32])
    time = min(lengths(r, chunk), time_limit)
    heads = r.choice([1, 2, 3, 4, 5])
    dim = heads * r.choice([8, 12, 16, 24])
    while True:
        qk, v = r.choice([0.5, 0.25, 0.75, 1.0, 0.7]), r.choice([1.0, 0.5, 1.5, 2.0])
        if all(int(dim * f) % heads == 0 and int(dim * f) // heads >= 2 for f in (qk, v)):
            break
    options = {"num_heads": heads, "vocab_size": r.choice([2, 17, 37]), "chunk_size": chunk, "qk_dim_factor": qk,
               "v_dim_factor": v, "use_bias": r.random() < 0.4, "weight_mode": r.choice(["single", "fused"]),
               "gate_soft_cap": r.choice([15.0, 2.3, 30.0]), "output_logit_soft_cap": r.choice([30.0, 1.7, 5.0]),
               "ffn_proj_factor": r.choice([2.667, 2.6667, 1.0, 2.1]), "norm_eps": r.choice([1e-6, 1e-5, 1e-3]),
               "ffn_round_up_to_multiple_of": r.choice([64, 16, 24, 1]), "eps": r.choice([1e-6, 1e-6, 1e-4])}
    blocks = r.randint(1, 3)
    if hf:
        options.update(hidden_size=dim, num_hidden_layers=blocks, tie_word_embeddings=r.random() < 0.2)
    else:
        options.update(embedding_dim=dim, num_blocks=blocks, add_out_norm=r.random() < 0.7)
        for cap in ("gate_soft_cap", "output_logit_soft_cap"):
            options[cap] = None if r.random() < 0.2 else options[cap]
    return time, options


def large(r, seed):
    time, options = large_options(r, 130, False)
    return {**common(r, seed, time), "large": options, "shards": r.choice([1, 1, 2, 3])}


def hf(r, seed):
    time, options = large_options(r, 100, True)
    return {**common(r, seed, time), "hf": options, "shards": r.choice([1, 1, 2, 3]), "as_is": r.random() < 0.3}


def some(count, seed):
    """`count` cases by name; the same seed gives the same ones."""
    cases = {}
    for i in range(count):
        r = random.Random(f"{seed} {i}")
        name, make = r.choice([("paper", paper), ("paper", paper), ("paper", paper), ("large", large), ("large", large),
                               ("hf", hf), ("stack", lambda r, s: paper(r, s, stack=True))])
        cases[f"{name}_{seed}_{i}"] = make(r, seed * 1000 + i)
    return cases
