#!/usr/bin/env python3
"""Trains the official xLSTM package's model on what a program here exported: train.py EXPORT... --out DIR

EXPORT is a folder that `xlstm-lm --export` (or xlstm-nns, xlstm-tasks) wrote: initial weights, data, the order of the
batches, learning rates and the setup. The same steps are made from the same weights, in float32, and one result file of
the same form is written to DIR for each. Run again, it goes on where it was; exit code 3 says that it is not finished.
"""
import argparse
import collections
import fcntl
import json
import math
import os
import pathlib
import platform
import re
import shlex
import signal
import sys
import time

SCHEMA, FIRST_LOSSES, NOT_FINISHED = 2, 50, 3
COMMON = ["weights start as ours and the batches are ours; dropout masks are PyTorch's"]
WINDOWS = ["the package's forward takes no state: in training every window starts at zero",
           "evaluation: windows that overlap by half, each from zero; targets are the second halves (of the first "
           "window all)"]


def die(text):
    print(f"train.py: {text}", file=sys.stderr)
    sys.exit(2)


def need_torch(o):
    """Not before there is a run to make: it takes seconds, which finished runs need not wait for."""
    global torch, load_file, cross_entropy
    if "torch" in globals():
        return
    try:
        import torch
        import xlstm  # noqa: F401  models are made of it later
        from safetensors.torch import load_file
        from torch.nn.functional import cross_entropy
    except ImportError as error:
        die(f"{error}; run it by the python of an environment that bench/peers/setup.sh made")
    if o.threads:
        torch.set_num_threads(o.threads)
    if o.device == "cuda" and not torch.cuda.is_available():
        die("--device is cuda, which this PyTorch or this machine does not have; use cpu")
    torch.set_default_device(o.device)


# ---- models ----

def paper_config(path):
    """The package's configuration from config.json, whichever of the two forms that has."""
    from xlstm import (FeedForwardConfig, mLSTMBlockConfig, mLSTMLayerConfig, sLSTMBlockConfig, sLSTMLayerConfig,
                       xLSTMLMModelConfig)
    c = json.loads(path.read_text())
    if c.get("model_type") == "libxlstm":
        c = paper_form(c)
    mlstm, slstm = c.pop("mlstm_block"), c.pop("slstm_block")
    known = xLSTMLMModelConfig.__dataclass_fields__
    return xLSTMLMModelConfig(
        mlstm_block=mlstm and mLSTMBlockConfig(mlstm=mLSTMLayerConfig(**mlstm["mlstm"])),
        slstm_block=slstm and sLSTMBlockConfig(slstm=sLSTMLayerConfig(**{**slstm["slstm"], "backend": "vanilla"}),
                                               feedforward=FeedForwardConfig(**slstm["feedforward"])),
        **{key: value for key, value in c.items() if key in known})


def paper_form(c):
    """What our own form of a configuration is in the package's; models over vectors come in ours only."""
    width, kinds = c["embedding_dim"], c["blocks"]
    mlstm_inner = c["mlstm_inner"] or -(-int(width * c["mlstm_proj_factor"]) // 64) * 64
    ffn_inner = c["ffn_inner"] or -(-int(width * c["ffn_proj_factor"]) // c["ffn_round_up"]) * c["ffn_round_up"]
    exact = {"round_proj_up_dim_up": True, "round_proj_up_to_multiple_of": 1}
    mlstm = {"proj_factor": mlstm_inner / width, **exact, "conv1d_kernel_size": c["mlstm_conv"],
             "qkv_proj_blocksize": c["mlstm_qkv_blocksize"], "num_heads": c["mlstm_heads"] or c["num_heads"]}
    slstm = {"num_heads": c["slstm_heads"] or c["num_heads"], "conv1d_kernel_size": c["slstm_conv"],
             "bias_init": c["slstm_bias_init"], "group_norm_weight": c["slstm_group_norm_weight"]}
    ffn = {"proj_factor": ffn_inner / width, **exact, "act_fn": c["ffn_act"], "bias": c["ffn_bias"]}
    return {"mlstm_block": {"mlstm": mlstm} if "mlstm" in kinds else None,
            "slstm_block": {"slstm": slstm, "feedforward": ffn} if "slstm" in kinds else None,
            "slstm_at": [i for i, kind in enumerate(kinds) if kind == "slstm"], "context_length": c["context_length"],
            "num_blocks": len(kinds), "embedding_dim": width, "add_post_blocks_norm": c["final_norm"],
            "bias": c["bias"], "dropout": c["dropout"], "vocab_size": 1, "tie_weights": False}


def over_vectors(config, weights):
    """The package's stack of blocks between our projections of the vectors."""
    from xlstm import xLSTMBlockStack
    model = torch.nn.Sequential()
    model.add_module("input_proj", torch.nn.Linear(weights["input_proj.weight"].shape[1], config.embedding_dim))
    model.add_module("xlstm_block_stack", xLSTMBlockStack(config))
    model.add_module("output_proj", torch.nn.Linear(config.embedding_dim, weights["output_proj.weight"].shape[0]))
    return model


def load_model(folder, device):
    from xlstm import xLSTMLMModel
    weights, config = load_file(folder / "weights.safetensors"), paper_config(folder / "config.json")
    model = over_vectors(config, weights) if "input_proj.weight" in weights else xLSTMLMModel(config)
    model.load_state_dict(weights)
    return model.to(device)


# ---- tasks: batch(step) -> loss, valid() -> loss, test() -> what a result has under "test" ----

class LanguageModelling:
    differences = COMMON + WINDOWS

    def __init__(self, data, setup):
        self.d, self.window = data, setup["training"]["window"]

    def loss(self, model, rows):
        ring = self.d["train.tokens"]
        at = (rows[:, None] + torch.arange(self.window + 1)[None]) % len(ring)
        both = ring[at].long()
        y = model(both[:, :-1])
        return cross_entropy(y.flatten(0, 1), both[:, 1:].flatten()), both[:, 1:].numel()

    def losses(self, model, tokens):
        """The loss of every target of 16 neighbouring streams (1 where there are few tokens), and the targets."""
        rows = 16 if len(tokens) >= 128 else 1
        streams = tokens[:len(tokens) // rows * rows].reshape(rows, -1).long()
        T, every, targets = min(self.window, streams.shape[1] - 1), [], []
        start = done = 0
        while done < streams.shape[1] - 1:
            x = streams[:, start:start + T]
            y = streams[:, start + 1:start + T + 1]
            x = x[:, :y.shape[1]]
            skip = done - start
            loss = cross_entropy(model(x).transpose(1, 2)[:, :, skip:], y[:, skip:], reduction="none")
            every.append(loss.double())
            targets.append(y[:, skip:])
            done += loss.shape[1]
            start = min(done - T // 2, streams.shape[1] - 1 - T) if T > 1 else done
        return torch.cat(every, 1).flatten(), torch.cat(targets, 1).flatten()

    def valid(self, model):
        return self.losses(model, self.d["valid.tokens"])[0].mean().item()

    def test(self, model):
        loss, targets = self.losses(model, self.d["test.tokens"])
        count = self.d["train.counts"][targets]
        parts = {"rare": count < 100, "medium": (count >= 100) & (count < 1000), "frequent": count >= 1000,
                 "overall": count >= 0}
        return {name: {"perplexity": finite(loss[where].mean().exp().item()) if where.any() else None,
                       "tokens": int(where.sum())} for name, where in parts.items()}


class Sequences:
    differences = COMMON

    def __init__(self, data, setup):
        self.d, self.size = data, setup["training"]["batch"]
        self.tests = len([name for name in data if re.match(r"test\.\d+\.lengths", name)])

    def values(self, model, part, rows, right=False):
        """What each position counts for, and its loss, or whether its answer is right."""
        lengths = self.d[part + ".lengths"][rows]
        inside = torch.arange(self.longest(part)) < lengths[:, None]
        if part + ".inputs" in self.d:
            y = model(self.d[part + ".inputs"][rows]).squeeze(-1)
            weight = self.d[part + ".weights"][rows] * inside
            return weight, (y - self.d[part + ".outputs"][rows]) ** 2 * weight
        y, target = model(self.d[part + ".tokens"][rows].long()), self.d[part + ".targets"][rows].long()
        weight = (inside & (target >= 0)).float()
        if right:
            return weight, (y.argmax(-1) == target).float() * weight
        return weight, cross_entropy(y.transpose(1, 2), target.clamp(min=0), reduction="none") * weight

    def longest(self, part):
        return self.d[part + (".inputs" if part + ".inputs" in self.d else ".tokens")].shape[1]

    def loss(self, model, rows):
        weight, value = self.values(model, "train", rows)
        return value.sum() / weight.sum(), weight.sum().item()

    def sums(self, model, part, right=False):
        """By position, and by the position that is a sequence's last: what counted, and the sum."""
        lengths, parts = self.d[part + ".lengths"], []
        for rows in torch.arange(len(lengths)).split(self.size):
            weight, value = self.values(model, part, rows, right)
            last = torch.arange(weight.shape[1]) == lengths[rows][:, None] - 1
            parts.append(torch.stack([t.double().sum(0) for t in (weight, value, weight * last, value * last)]))
        return torch.stack(parts).sum(0).cpu().numpy()

    def valid(self, model):
        weight, value, _, _ = self.sums(model, "valid")
        return float(value.sum() / weight.sum())  # not numpy's: a checkpoint holds plain numbers only


def mean(weight, value, first=0, end=None):
    weight, value = weight[first:end].sum(), value[first:end].sum()
    return float(value / weight) if weight > 0 else None


def by_position(weight, value):
    return [mean(weight, value, t, t + 1) for t in range(len(weight))]


class NearestNeighbour(Sequences):
    def test(self, model):
        weight, value, last_weight, last = self.sums(model, "test.0")
        out = {"all": mean(weight, value), "last": mean(last_weight, last), "by_position": by_position(weight, value)}
        for first in range(0, 64, 16):
            out[f"length_{first + 1 if first else 2}_{first + 16}"] = mean(last_weight, last, first, first + 16)
        return out


class Parity(Sequences):
    def test(self, model):
        weight, right, _, _ = self.sums(model, "test.0", right=True)
        parts = {"length_1_40": (0, 40), "length_41_80": (40, 80), "length_81_160": (80, 160),
                 "length_161_256": (160, 256), "longer": (40, 256)}
        return {**{name: 100 * mean(weight, right, *ends) for name, ends in parts.items()},
                "by_position": by_position(weight, right)}


class Recall(Sequences):
    def test(self, model):
        sums = [self.sums(model, f"test.{i}", right=True) for i in range(self.tests)]
        out = {f"pairs_{4 << i}": 100 * mean(s[0], s[1]) for i, s in enumerate(sums)}
        return {**out, "all": 100 * sum(s[1].sum() for s in sums) / sum(s[0].sum() for s in sums)}


TASKS = {"lm": LanguageModelling, "nns": NearestNeighbour, "parity": Parity, "mqar": Recall}


# ---- files ----

def finite(x):
    return x if x is not None and math.isfinite(x) else None


def replace(path, write):
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with open(beside, "wb") as f:
        write(f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(beside, path)


def set_aside(path, why):
    aside, n = path.with_name(path.name + ".damaged"), 2
    while aside.exists():
        aside, n = path.with_name(f"{path.name}.damaged.{n}"), n + 1
    path.rename(aside)
    print(f"train.py: {path} is damaged ({why}); it is kept as {aside.name} and the run is made again", file=sys.stderr)


def renewed(older, model):
    """A description of a model from before it was the whole configuration: what it lacks is taken to be as it is now."""
    names = {"heads": "num_heads", "tied_embedding": "tie_weights", "embedding_decays": "decay_embedding"}
    biases = ["powerlaw_blockdependent", "small_init", "standard", "zeros"]
    m = {names.get(key, key): value for key, value in older.items()}
    m["slstm_recurrent_uniform"] = m.pop("slstm_recurrent_init", "") == "uniform"
    m["slstm_bias_init"] = biases[m.get("slstm_bias_init", 0)]
    return {**model, **m}


def difference(here, there, path=""):
    """Where two setups differ first, in words, numbers to nine digits: as the programs write them; None: nowhere."""
    if isinstance(here, dict) and isinstance(there, dict):
        if "tied_embedding" in there and "tie_weights" in here:
            there = renewed(there, here)
        found = (difference(here.get(key), there.get(key), f"{path}.{key}" if path else key) for key in {**there, **here})
        return next((text for text in found if text), None)
    numbers = all(isinstance(x, (int, float)) for x in (here, there))
    if here == there or numbers and math.isclose(here, there, rel_tol=1e-8):
        return None
    return f"{path} is {there} there and {here} here"


def read_result(path, setup):
    """The result that is there already; None when there is none that can be used."""
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text())
        schema, other = result["schema"], result["setup"]
    except (ValueError, KeyError, TypeError) as error:
        set_aside(path, repr(error))
        return None
    if schema != SCHEMA:
        die(f"{path}: it has schema version {schema} and this program writes version {SCHEMA}; move it away")
    if found := difference(setup, other):
        die(f"{path} is of a run with other settings or data ({found}); move it away or give another --out folder")
    return result


def write_result(path, result):
    replace(path, lambda f: f.write(json.dumps(result, indent=1, allow_nan=False).encode() + b"\n"))


def lock(path, must_stop):
    """Processes that make the same run take turns, as those of our programs do; None: it was time to stop."""
    told = False
    while True:
        file = open(path, "w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:  # the process that had it has removed it meanwhile
            continue
        except BlockingIOError:
            if must_stop():
                return None
            if not told:
                print(f"train.py: another process makes {path.stem}; waiting for it", file=sys.stderr)
                told = True
            time.sleep(0.1)


def restart_peak():
    """The process's highest memory is counted anew when 5 is written there, where Linux lets it."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def peak_kib():
    status = pathlib.Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) if found else 0


def cpu_name():
    info = pathlib.Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor()


# ---- training ----

class Run:
    """What a checkpoint holds is `place`, beside model, optimizer and the state of the random numbers."""

    def __init__(self, folder, setup, checkpoint, device):
        self.setup, self.checkpoint, self.device = setup, checkpoint, device
        try:
            self.data = load_file(folder / "data.safetensors", device=device)
            self.model = load_model(folder, device)
        except Exception as error:  # files that are absent, cut short or of something else, each in its own way
            die(f"{folder} is no whole export ({error}); remove it and export again")
        self.task = TASKS[setup["task"]](self.data, setup)
        t = setup["training"]
        decay = set(json.loads((folder / "setup.json").read_text())["decayed_parameters"])
        groups = [[p for n, p in self.model.named_parameters() if (n in decay) == yes] for yes in (True, False)]
        self.optimizer = torch.optim.AdamW([{"params": groups[0], "weight_decay": t["weight_decay"]},
                                            {"params": groups[1], "weight_decay": 0.0}], betas=(0.9, 0.95), eps=1e-8)
        self.best = None
        self.place = {"step": 0, "best": math.inf, "best_step": 0, "diverged": None, "tokens": 0.0, "seconds": 0.0,
                      "validating": 0.0, "sum": 0.0, "count": 0.0, "peak": 0, "points": [], "first_losses": []}
        torch.manual_seed(setup["seed"])

    def random(self):
        """Where the dropout masks come from."""
        return torch if self.device == "cpu" else torch.cuda

    def save(self):
        self.place["peak"] = max(self.place["peak"], peak_kib())
        state = {"setup": self.setup, "place": self.place, "best": self.best, "random": self.random().get_rng_state(),
                 "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        replace(self.checkpoint, lambda f: torch.save(state, f))

    def resume(self):
        if not self.checkpoint.exists():
            return
        try:
            state = torch.load(self.checkpoint, weights_only=True, map_location=self.device)
        except Exception as error:  # whatever a damaged file leads to
            set_aside(self.checkpoint, str(error).splitlines()[0])
            return
        if found := difference(self.setup, state["setup"]):
            die(f"{self.checkpoint} is of a run with other settings or data ({found}); move it away")
        self.place, self.best = state["place"], state["best"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random().set_rng_state(state["random"].cpu())

    def one_step(self):
        p, step = self.place, self.place["step"]
        self.model.train()
        loss, count = self.task.loss(self.model, self.data["rows"][step])
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.setup["training"]["clip"])
        if not torch.isfinite(norm):
            p["diverged"] = step
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = float(self.data["rates"][step])
            self.optimizer.step()
        p["step"] += 1
        p["tokens"] += count
        p["sum"] += loss.item() * count
        p["count"] += count
        if step < FIRST_LOSSES:
            p["first_losses"].append(finite(loss.item()))

    def validate(self):
        p, started = self.place, time.monotonic()
        self.model.eval()
        with torch.no_grad():
            value = self.task.valid(self.model)
        p["validating"] += time.monotonic() - started
        if value < p["best"]:
            p["best"], p["best_step"] = value, p["step"]
            self.best = {name: t.clone() for name, t in self.model.state_dict().items()}
        p["points"].append({"step": p["step"], "tokens": p["tokens"],
                            "learning_rate": float(self.data["rates"][p["step"] - 1]),
                            "train_loss": finite(p["sum"] / p["count"]), "valid_loss": finite(value),
                            "seconds": p["seconds"]})
        p["sum"] = p["count"] = 0.0

    def train(self, must_stop, every_seconds):
        p, t = self.place, self.setup["training"]
        counted = "tokens" if self.setup["task"] == "lm" else "answers"
        saved = shown = time.monotonic()
        while p["step"] < t["steps"] and p["diverged"] is None:
            started = time.monotonic()
            self.one_step()
            now = time.monotonic()
            p["seconds"] += now - started
            if p["diverged"] is None and (p["step"] % t["validation_every"] == 0 or p["step"] == t["steps"]):
                self.validate()
            if sys.stderr.isatty() and now - shown > 0.5:
                left = int(p["seconds"] / p["step"] * (t["steps"] - p["step"]))
                print(f"\rofficial step {p['step']}/{t['steps']}  {p['tokens'] / p['seconds']:.0f} {counted}/s  "
                      f"{left // 60}:{left % 60:02} left ", end="", file=sys.stderr)
                shown = now
            if must_stop():
                break
            if now - saved >= every_seconds:
                self.save()
                saved = time.monotonic()
        self.save()
        return p["step"] == t["steps"] or p["diverged"] is not None

    def result(self, command, searched):
        p, test = self.place, None
        if self.best is not None:
            self.model.load_state_dict(self.best)
            self.model.eval()
            with torch.no_grad():
                test = self.task.test(self.model)
        import importlib.metadata
        versions = f"xlstm {importlib.metadata.version('xlstm')}, torch {torch.__version__}"
        return {"schema": SCHEMA, "command": command, "setup": self.setup,
                "outcome": {"diverged": p["diverged"], "best_step": p["best_step"], "best_valid_loss": finite(p["best"]),
                            "train_tokens": p["tokens"], "test": test},
                "evaluations": p["points"], "first_losses": p["first_losses"], "learning_rate_search": searched,
                "machine": {"cpu": cpu_name() if self.device == "cpu" else torch.cuda.get_device_name(), "threads": torch.get_num_threads(), "library": versions,
                            "commit": "unknown", "seconds": p["seconds"], "seconds_validating": p["validating"],
                            "tokens_per_second": finite(p["tokens"] / p["seconds"]) if p["seconds"] else None,
                            "peak_memory_kib": max(p["peak"], peak_kib())}}


# ---- exports ----

Export = collections.namedtuple("Export", "folder setup searched command")


def read_export(folder):
    """An export, its setup being that of the official model's run."""
    path = pathlib.Path(folder) / "setup.json"
    if not path.exists():
        die(f"{folder} is no export: it has no setup.json; make one by --export of xlstm-lm, xlstm-nns or xlstm-tasks")
    try:
        setup = json.loads(path.read_text())
        searched, command = setup.pop("learning_rate_search", []), setup.pop("command", "")
        setup.pop("decayed_parameters")
        task, blocks, training = setup["task"], setup["model"]["blocks"], setup["training"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        die(f"{path} is no setup of an export ({error!r}); remove the folder and export again")
    if task not in TASKS:
        die(f"{path}: task \"{task}\" is unknown; use one of {', '.join(TASKS)}")
    if not set(blocks) <= {"mlstm", "slstm"}:
        die(f"{path}: the official package has no blocks {blocks}; export an xlstm model")
    setup["model"]["name"] = setup["model"]["name"].replace("xlstm", "official")
    setup["model"]["carries_state"] = training["carries_state"] = False
    training["products"] = "real"
    setup["model"]["differences"] = TASKS[setup["task"]].differences
    return Export(folder, setup, searched, command)


def command_of(o, export):
    """What makes the run again: the export, and this program on that alone."""
    others = set(o.export) - {export.folder}
    mine = shlex.join(["bench/peers/train.py", *(word for word in sys.argv[1:] if word not in others)])
    return f"{export.command} && {mine}" if export.command else mine


def make(o, export, path, checkpoint, must_stop):
    """Whether the run was made to its end, and its result written."""
    need_torch(o)
    restart_peak()
    run = Run(pathlib.Path(export.folder), export.setup, checkpoint, o.device)
    run.resume()
    if not run.train(must_stop, o.checkpoint_every):
        return False
    result = run.result(command_of(o, export), export.searched)
    write_result(path, result)
    checkpoint.unlink(missing_ok=True)
    print(f"{path}: best validation loss {result['outcome']['best_valid_loss']}")
    return True


def is_of(checkpoint, setup):
    """Whether a checkpoint is of this setup; folders of checkpoints may be shared."""
    try:
        return not difference(setup, torch.load(checkpoint, weights_only=True, map_location="cpu")["setup"])
    except Exception:  # whatever a damaged file leads to
        return False


def settle(o, export, result, path, checkpoint):
    """A finished run's result names the search that leads to its rate now, for grids grow; no checkpoint stays of it."""
    if export.searched and result.get("learning_rate_search") != export.searched:
        write_result(path, {**result, "learning_rate_search": export.searched})
    if checkpoint.exists():
        need_torch(o)
        if is_of(checkpoint, export.setup):
            checkpoint.unlink()
    print(f"{path} is finished")
    return True


def make_folder(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        die(f"the folder {path} cannot be made ({error.strerror}); give another one")


def positive(text):
    if int(text) < 1:
        raise ValueError
    return int(text)


def seconds(text):
    if not 0 <= float(text) <= 1e9:  # nor NaN
        raise ValueError
    return float(text)


def run_alone(o, export, name, must_stop):
    """Whether the run is made, now or before, by nobody else at the time."""
    path, checkpoint = o.out / f"{name}.json", (o.checkpoint or o.out) / f"{name}.checkpoint"
    for folder in (o.out, checkpoint.parent):
        make_folder(folder)
    locked = checkpoint.with_suffix(".lock")
    held = lock(locked, must_stop)
    if not held:
        return False
    try:
        result = read_result(path, export.setup)
        if result:
            return settle(o, export, result, path, checkpoint)
        return make(o, export, path, checkpoint, must_stop)
    finally:
        locked.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=__doc__.split("\n", 2)[2])
    parser.add_argument("export", nargs="+", help="folder written by --export")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the results")
    parser.add_argument("--checkpoint", type=pathlib.Path, help="folder for unfinished runs (default: --out)")
    parser.add_argument("--checkpoint-every", type=seconds, default=300, help="seconds")
    parser.add_argument("--limit-seconds", type=seconds, default=math.inf, help="stop then, with exit code 3")
    parser.add_argument("--threads", type=positive, help="a whole number from 1 on (default: PyTorch's)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="where PyTorch computes (default: cpu)")
    o = parser.parse_args()
    limit, stop = time.monotonic() + o.limit_seconds, []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # under nohup it stays ignored
            signal.signal(number, lambda *_: stop.append(1))

    def must_stop():
        return stop or time.monotonic() > limit

    for export in [read_export(folder) for folder in o.export]:
        task, model, seed = export.setup["task"], export.setup["model"]["name"], export.setup["seed"]
        name = re.sub(r"[@:/]", "-", f"{task}-{model}-s{seed}")
        if not run_alone(o, export, name, must_stop):
            print(f"not finished: {name}; the same command goes on")
            sys.exit(NOT_FINISHED)


if __name__ == "__main__":
    main()
