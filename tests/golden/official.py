"""Models of the official packages, built from a case, and what they compute.

A case is a dictionary: seed, batch, time, how its numbers are made (jitter, shift), and one of
    paper   xLSTMLMModelConfig:  model, mlstm, slstm, feedforward (stack: true for a bare xLSTMBlockStack)
    large   xLSTMLargeConfig     (shards: n writes model_0.safetensors ...)
    hf      transformers' xLSTMConfig (shards: n writes an index and about n files; as_is: true leaves it its
            turns to float32 inside, so that not even the reference in double is exact)
"""
import copy
import dataclasses
import json

import numpy
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, logsigmoid, mse_loss


# ---- the package's CUDA backend of the sLSTM, without CUDA ----

def cuda_cell(training, config):
    """Stands for sLSTMCellFuncGenerator: computes what the package's kernels compute, in any number type.

    As compiled, gradient_recurrent_clipval holds the gradient through the recurrent product and also h itself;
    backward takes the latter for the identity, with the clipped h in the slopes of n and of the output gate."""
    heads, plain, cut, clip = config.num_heads, config.function == "lstm", config.gradient_recurrent_cut, None
    if config.gradient_recurrent_clipval is not None:
        clip = torch.tensor(config.gradient_recurrent_clipval, dtype=torch.float32).item()

    def held(x):
        return x if clip is None else x.clamp(-clip, clip)

    def split(x):  # [.., heads * 4 * d] -> four times [.., heads, d]
        return x.unflatten(-1, (heads, 4, -1)).unbind(-2)

    def step(raw, state):
        i, f, z, o = split(raw)
        c = state[1]
        if plain:
            gates = torch.stack((i.sigmoid(), f.sigmoid(), z.tanh(), o.sigmoid()))
            c = gates[1] * c + gates[0] * gates[2]
            return gates, torch.stack((held(gates[3] * c.tanh()), c))
        n, m = state[2], state[3]
        decayed = logsigmoid(f) + m
        top = torch.where(n == 0, i, torch.maximum(i, decayed))
        gates = torch.stack(((i - top).exp(), (decayed - top).exp(), z.tanh(), o.sigmoid()))
        c = gates[1] * c + gates[0] * gates[2]
        n = gates[1] * n + gates[0]
        return gates, torch.stack((held(gates[3] * c / n), c, n, top))

    def step_back(gates, raw, old, new, dh, dc, dn):
        i, f, z, o = gates
        if plain:
            th = new[1].tanh()
            dc = dc + dh * o * (1 - th * th)
            d = (dc * z * i * (1 - i), dc * old[1] * f * (1 - f), dc * i * (1 - z * z), dh * th * o * (1 - o))
        else:
            dc = dc + dh * o / new[2]
            dn = dn - dh * new[0] / new[2]
            slope = 1 - split(raw)[1].sigmoid()
            d = (i * (dc * z + dn), f * (dc * old[1] + dn * old[2]) * slope, dc * i * (1 - z * z),
                 dh * new[0] * (1 - o))
        return torch.stack(d, -2).flatten(-3), dc * f, dn * f

    class Cell(torch.autograd.Function):
        @staticmethod
        def forward(ctx, training, x, start, R, b):  # x [T, B, heads*4*d], start [2 or 4, B, D], R [heads, d, 4*d]
            states, raws, gates = [start.unflatten(-1, (heads, -1))], [], []
            for t in range(x.shape[0]):
                product = torch.einsum("bhd,hdg->bhg", states[-1][0], R).flatten(1)
                raws.append(x[t] + product + b)
                g, s = step(raws[-1], states[-1])
                gates.append(g)
                states.append(s)
            ctx.save_for_backward(R, torch.stack(raws), torch.stack(gates), torch.stack(states))
            return torch.stack(states, 1).flatten(-2)

        @staticmethod
        def backward(ctx, d_states):  # [2 or 4, T+1, B, D]
            R, raws, gates, states = ctx.saved_tensors
            d_states = d_states.unflatten(-1, (heads, -1))
            dh, dc, dn = (torch.zeros_like(states[0, 0]) for _ in range(3))
            dx, dR = torch.zeros_like(raws), torch.zeros_like(R)
            for t in reversed(range(raws.shape[0])):
                above = d_states[:, t + 1]
                dx[t], dc, dn = step_back(gates[t], raws[t], states[t], states[t + 1], above[0] + held(dh),
                                          above[1] + dc, dn if plain else above[2] + dn)
                d = dx[t].unflatten(-1, (heads, -1))
                dR += torch.einsum("bhd,bhg->hdg", states[t, 0], d)
                dh = torch.zeros_like(dh) if cut else torch.einsum("bhg,hdg->bhd", d, R)
            return None, dx, None, dR, dx.sum((0, 1))

    return Cell


def use_cuda_cell():
    import xlstm.blocks.slstm.cell as cell
    cell.sLSTMCellFuncGenerator = cuda_cell


def mend_one_tap():
    """The package's convolution of one tap cuts its output to nothing; its step form says what was meant."""
    from xlstm.components.conv import CausalConv1d
    whole = CausalConv1d.forward

    def forward(self, x, *state, **more):
        if self.config.kernel_size == 1:
            return self.conv(x.transpose(2, 1)).transpose(2, 1)
        return whole(self, x, *state, **more)

    if CausalConv1d.forward.__module__ != __name__:
        CausalConv1d.forward = forward


# ---- models ----

def paper_config(case):
    from xlstm import (FeedForwardConfig, mLSTMBlockConfig, mLSTMLayerConfig, sLSTMBlockConfig, sLSTMLayerConfig,
                       xLSTMBlockStackConfig, xLSTMLMModelConfig)
    mlstm, slstm, ffn = case.get("mlstm"), case.get("slstm"), case.get("feedforward", {})
    kind = xLSTMBlockStackConfig if case.get("stack") else xLSTMLMModelConfig
    return kind(
        mlstm_block=None if mlstm is None else mLSTMBlockConfig(mlstm=mLSTMLayerConfig(**mlstm)),
        slstm_block=None if slstm is None else sLSTMBlockConfig(
            slstm=sLSTMLayerConfig(**{"backend": "vanilla", **slstm}),
            feedforward=None if ffn is None else FeedForwardConfig(**ffn)),
        **case["model"])


def paper_model(case):
    from xlstm import xLSTMBlockStack, xLSTMLMModel
    use_cuda_cell()
    mend_one_tap()
    config = paper_config(case)
    model = (xLSTMBlockStack if case.get("stack") else xLSTMLMModel)(config)
    model.reset_parameters()
    return model, dataclasses.asdict(config)


def whole_chunks(case, options):
    """The package trains on whole chunks only. Their size is not in the mathematics, so where it does not divide the
    time the reference is computed in one chunk, while config.json keeps the size that was asked for."""
    size = options.get("chunk_size", 64)
    return {"chunk_size": case["time"] if case["time"] % size else size}


def large_model(case):
    from xlstm.xlstm_large.model import xLSTMLarge, xLSTMLargeConfig
    config = {"mode": "train", "norm_reduction_force_float32": False,
              "chunkwise_kernel": "chunkwise--native_autograd", "sequence_kernel": "native_sequence__native",
              "step_kernel": "native", "return_last_states": True, "autocast_kernel_dtype": "float32",
              "inference_state_dtype": "float64", **case["large"]}
    written = dataclasses.asdict(xLSTMLargeConfig(**config))
    return xLSTMLarge(xLSTMLargeConfig(**{**config, **whole_chunks(case, config)})), written


def hf_model(case):
    from transformers import xLSTMConfig, xLSTMForCausalLM
    from transformers.initialization import no_init_weights
    rough = case.get("as_is", False)
    config = xLSTMConfig(**{"mode": "train", "norm_reduction_force_float32": rough, **case["hf"],
                            **whole_chunks(case, case["hf"])})
    vars(config)["inference_state_dtype"] = "float64"  # its dataclass knows no double
    with no_init_weights():  # transformers' own initialiser fails on fused weights
        model = xLSTMForCausalLM(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.normal_(std=0.1) if p.ndim > 1 else p.zero_() if name.endswith("bias") else p.fill_(1)
    model.backbone.out_norm.force_float32_reductions = model.as_is = rough
    config.inference_state_dtype = "float32"
    config.chunk_size = case["hf"].get("chunk_size", 64)
    return model, None


def build(case):
    torch.manual_seed(case["seed"])
    model, config = (hf_model if "hf" in case else large_model if "large" in case else paper_model)(case)
    jitter(model, case)
    model = model.double().eval()
    for p in model.parameters():  # a float32 library sees the same weights
        p.data = p.data.float().double()
    return model, config


def jitter(model, case):
    """Every parameter must matter, so none stays at a special value."""
    torch.manual_seed(case["seed"] + 1000)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(case.get("jitter", 0.05) * torch.randn_like(p))
            for ending, value in case.get("shift", {}).items():
                if name.endswith(ending):
                    p.add_(value)


def save(model, config, case, folder):
    folder.mkdir(parents=True, exist_ok=True)
    shards = case.get("shards", 1)
    if "hf" in case:
        size = sum(p.numel() for p in model.parameters()) * 4 // shards + 1
        copy.deepcopy(model).float().save_pretrained(folder, max_shard_size=size if shards > 1 else "1GB")
        (folder / "generation_config.json").unlink(missing_ok=True)
        return
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    state = {n: t.contiguous().clone() for n, t in model.state_dict().items()}
    reals = [t for t in state.values() if t.is_floating_point()]
    if all((t.float().double() == t).all() for t in reals):  # half the file, and the same numbers
        state = {n: t.float() if t.is_floating_point() else t for n, t in state.items()}
    if shards == 1:
        name = "model.safetensors" if "large" in case else "weights.safetensors"
        save_file(state, folder / name, metadata={"format": "pt"})
        return
    names = list(state)
    for i in range(shards):
        part = names[len(names) * i // shards:len(names) * (i + 1) // shards]
        save_file({n: state[n] for n in part}, folder / f"model_{i}.safetensors", metadata={"format": "pt"})


# ---- dropout ----

def hashed(key, counter):
    """libxlstm's random numbers (lib/base/rng.h), as an array of uint64."""
    with numpy.errstate(over="ignore"):
        key, z = numpy.uint64(key), numpy.asarray(counter, dtype=numpy.uint64)
        z = key + numpy.uint64(0x9E3779B97F4A7C15) * (z + numpy.uint64(1))
        for again in range(2):
            z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
            z = z ^ (z >> numpy.uint64(31))
            z = z if again else z + key
        return z


class Masks:
    """Gives the package's dropouts the masks of libxlstm: sublayer k = 1, 2, ... draws from key 4 k of the call."""

    def __init__(self, model, seed=1):
        self.seed, self.call, number = seed, 0, 0
        for block in model.xlstm_block_stack.blocks:
            for layer in (block.xlstm, block.ffn):
                number += layer is not None
                if layer is not None and layer.dropout.p > 0:
                    layer.dropout.forward = self.dropout(4 * number, layer.dropout.p)
        if getattr(model.emb_dropout, "p", 0) > 0:
            model.emb_dropout.forward = self.dropout(1, model.emb_dropout.p)

    def dropout(self, key, p):
        p = torch.tensor(p, dtype=torch.float32).item()

        def forward(x):
            if x.ndim == 4:  # [B, heads, T, d]: rows of libxlstm are tokens
                return forward(x.transpose(1, 2).flatten(2)).unflatten(2, (x.shape[1], -1)).transpose(1, 2)
            call = hashed(self.seed, self.call)
            bits = hashed(hashed(call, key), numpy.arange(x.numel())) >> numpy.uint64(11)
            stays = torch.from_numpy(bits.astype(numpy.float64) * 2.0 ** -53 >= p).reshape(x.shape)
            return x * stays / (1 - p)

        return forward


# ---- what they compute ----

def first(x):
    return x[0] if isinstance(x, tuple) else x


def backends(model):
    if hasattr(model, "backbone"):
        return [block.mlstm_layer.mlstm_backend.config for block in model.backbone.blocks]
    return []


def forward(model, x):
    for config in backends(model):  # the backend computes in its own number types
        config.autocast_kernel_dtype = str(next(model.parameters()).dtype).replace("torch.", "")
    return hf_forward(model, x, use_cache=False) if is_hf(model) else first(model(x))


def hf_forward(model, x, **cache):
    """transformers turns its logits to float32 at the end; this does not."""
    if model.as_is:
        return model(x, **cache).logits
    from xlstm.xlstm_large.components import soft_cap
    hidden = model.backbone(x, **cache).last_hidden_state
    return soft_cap(model.lm_head(hidden), model.config.output_logit_soft_cap)


def is_hf(model):
    return hasattr(getattr(model, "config", None), "use_cache")


def zero_cache(model, batch):
    """transformers' cache rounds head sizes up to 64 / heads, which its own layers do not; this has theirs."""
    from transformers.models.xlstm.modeling_xlstm import xLSTMCache
    cache = xLSTMCache(model.config, batch, dtype=torch.float64)
    layer = model.backbone.blocks[0].mlstm_layer
    H = model.config.num_heads
    for i in cache.rnn_state:
        cache.rnn_state[i] = (torch.zeros(batch, H, layer.qk_dim // H, layer.v_dim // H, dtype=torch.float64),
                              torch.zeros(batch, H, layer.qk_dim // H, dtype=torch.float64),
                              torch.zeros(batch, H, 1, dtype=torch.float64))
    return cache


def steps(model, x):
    """One token at a time through the package's own step."""
    modes = [config.mode for config in backends(model)]
    for config in backends(model):
        config.mode = "inference"
    state, out = None, []
    cache = zero_cache(model, x.shape[0]) if is_hf(model) else None
    for t in range(x.shape[1]):
        now = x[:, t:t + 1]
        if cache is not None:
            y = hf_forward(model, now, cache_params=cache, use_cache=True)
        elif hasattr(model, "step"):
            y, state = model.step(now, state=state)
        else:
            y, state = model(now, state)
        out.append(y)
    for config, mode in zip(backends(model), modes):
        config.mode = mode
    return torch.cat(out, 1)


def measure(model, x, targets):
    """Outputs, outputs step by step, mean loss and its gradients, in double whatever the model computes in."""
    model.zero_grad()
    if x.is_floating_point():
        x = x.to(next(model.parameters()).dtype)
    y = forward(model, x)
    if x.is_floating_point():
        loss = mse_loss(y, targets.to(y.dtype))
    else:
        loss = cross_entropy(y.flatten(0, 1), targets.flatten())
    loss.backward()
    with torch.no_grad():
        step = steps(model, x)
    result = {"logits": y, "step_logits": step, "loss": loss.reshape(1)}
    result.update({"grad." + n: p.grad for n, p in model.named_parameters()})
    return {n: t.detach().double().contiguous().clone() for n, t in result.items()}
