"""The Python side of xlstm-speed: one model, one kind of measurement, one process.

The first line of the input is a request (JSON: model, measure, width, blocks, heads, batch, time, vocab, threads,
seconds, parameters). The answer is {"ready": ...} or {"error": ...}; after it every line of the input asks for one
sample, which is answered by {"seconds": ..., "units": tokens}. The input's end ends the process.
"""
import json
import math
import os
import sys
import time

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # packages may print what they like


def answer(**what):
    answers.write(json.dumps(what) + "\n")
    answers.flush()


class NotThere(Exception):
    """What a package does not have."""


# ---- models: tokens [B, T] -> logits [B, T, vocabulary] ----

def official(r, slstm):
    from xlstm import (mLSTMBlockConfig, mLSTMLayerConfig, sLSTMBlockConfig, sLSTMLayerConfig, FeedForwardConfig,
                       xLSTMLMModel, xLSTMLMModelConfig)
    block = {"slstm_block": sLSTMBlockConfig(
        slstm=sLSTMLayerConfig(backend="vanilla", num_heads=r["heads"], conv1d_kernel_size=4),
        feedforward=FeedForwardConfig(proj_factor=1.3, act_fn="gelu")),
        "slstm_at": list(range(r["blocks"]))} if slstm else {"mlstm_block": mLSTMBlockConfig(
            mlstm=mLSTMLayerConfig(num_heads=r["heads"], conv1d_kernel_size=4, qkv_proj_blocksize=4))}
    return xLSTMLMModel(xLSTMLMModelConfig(vocab_size=r["vocab"], context_length=r["time"], num_blocks=r["blocks"],
                                           embedding_dim=r["width"], dropout=0.0, **block))


def large(r):
    from xlstm.xlstm_large.model import xLSTMLarge, xLSTMLargeConfig
    model = xLSTMLarge(xLSTMLargeConfig(
        embedding_dim=r["width"], num_heads=r["heads"], num_blocks=r["blocks"], vocab_size=r["vocab"],
        mode="inference" if r["measure"] == "decode" else "train", chunkwise_kernel="chunkwise--native_autograd",
        sequence_kernel="native_sequence__native", step_kernel="native", autocast_kernel_dtype="float32",
        return_last_states=True))  # it cannot do without
    model.step = model.forward
    return model


def with_ends(r, core):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(r["vocab"], r["width"])
            self.core = core
            self.head = torch.nn.Linear(r["width"], r["vocab"], bias=False)

        def forward(self, tokens):
            return self.head(self.body(self.embedding(tokens)))

        def body(self, x):
            return self.core(x)

    return Model()


def lstm(r):
    import torch
    model = with_ends(r, torch.nn.LSTM(r["width"], r["width"], r["blocks"], batch_first=True))
    model.body = lambda x: model.core(x)[0]

    def step(token, state):
        x, state = model.core(model.embedding(token), state)
        return model.head(x), state
    model.step = step
    return model


def transformer(r):
    """nn.TransformerEncoder whose feed-forward width makes it as large as ours."""
    import torch
    if r["measure"] == "decode":
        raise NotThere("nn.TransformerEncoder keeps no keys and values, so it has no step of one token")
    d, n = r["width"], r["blocks"]
    others = 2 * r["vocab"] * d + n * (4 * d * d + 9 * d)  # ends, attention with biases, two norms, linear2's bias
    inner = max(1, round((r["parameters"] - others) / (n * (2 * d + 1))))
    layer = torch.nn.TransformerEncoderLayer(d, r["heads"], inner, dropout=0.0, batch_first=True, norm_first=True)
    model = with_ends(r, torch.nn.TransformerEncoder(layer, n, enable_nested_tensor=False))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(r["time"])
    model.body = lambda x: model.core(x, mask=mask, is_causal=True)
    return model


MODELS = {"mlstm": lambda r: official(r, False), "slstm": lambda r: official(r, True), "lstm": lstm,
          "transformer": transformer, "mlstm-large": large}


def logits(model, tokens):
    y = model(tokens)
    return y[0] if isinstance(y, tuple) else y


# ---- measurements: functions that do one unit of work and say how many tokens it was ----

def training(model, r):
    import torch
    tokens = torch.randint(r["vocab"], (r["batch"], r["time"]))
    targets = torch.randint(r["vocab"], (r["batch"], r["time"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step():
        loss = torch.nn.functional.cross_entropy(logits(model, tokens).flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return tokens.numel()
    return step


def forward(model, r):
    import torch
    tokens = torch.randint(r["vocab"], (r["batch"], r["time"]))
    model.eval()

    def once():
        with torch.inference_mode():
            logits(model, tokens)
        return tokens.numel()
    return once


def decoding(model, r):
    import torch
    if not hasattr(model, "step"):
        raise NotThere("no step of one token")
    token, state = torch.randint(r["vocab"], (1, 1)), [None]
    model.eval()

    def once():
        with torch.inference_mode():
            _, state[0] = model.step(token, state[0])
        return 1
    return once


MEASURES = {"train": training, "forward": forward, "decode": decoding}


def prepare(r):
    import torch
    torch.manual_seed(1)
    torch.set_num_threads(r["threads"])
    if r["model"] not in MODELS:
        raise NotThere(f"no counterpart of {r['model']}")
    model = MODELS[r["model"]](r)
    if hasattr(model, "reset_parameters"):
        model.reset_parameters()
    return MEASURES[r["measure"]](model, r), sum(p.numel() for p in model.parameters())


def sample(work, times):
    start, units = time.perf_counter(), 0
    for _ in range(times):
        units += work()
    return time.perf_counter() - start, units


def warm_up(work, seconds):
    """As many calls as take that long (and one first), and how many a sample shall have."""
    spent, _ = sample(work, 1)
    if spent < seconds:
        spent, _ = sample(work, 1)
    times = max(1, math.ceil(seconds / spent))
    if times > 1:
        spent, _ = sample(work, times)
        times = max(1, math.ceil(seconds * times / spent))
    return times


def main():
    try:
        request = json.loads(sys.stdin.readline())
        work, parameters = prepare(request)
        times = warm_up(work, request["seconds"])
    except Exception as error:  # whatever fails is told to the one who reads the table
        answer(error=" ".join(f"{type(error).__name__}: {error}".removeprefix("NotThere: ").split())[:200])
        return
    answer(ready=True, parameters=parameters)
    for _ in sys.stdin:
        seconds, units = sample(work, times)
        answer(seconds=seconds, units=units)


main()
