#!/usr/bin/env python3
"""Shows that the official package loads a model saved by libxlstm: official_loads.py MODEL_DIR CASE.safetensors

The package is built from the saved config.json, takes the saved weights with strict=True, and its logits over the
case's tokens are compared with those of the case, in double.
"""
import dataclasses
import json
import pathlib
import sys
import typing

import torch
from safetensors.torch import load_file

from official import mend_one_tap, use_cuda_cell


def build(cls, values):
    """A dataclass from nested dictionaries; an unknown key is an error, as the dataclass has it."""
    hints = typing.get_type_hints(cls)

    def convert(name, value):
        options = [hints[name], *typing.get_args(hints[name])]
        nested = [t for t in options if dataclasses.is_dataclass(t)]
        return build(nested[0], value) if nested and isinstance(value, dict) else value

    return cls(**{name: convert(name, value) for name, value in values.items()})


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    weights = {}
    for path in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(path) if path.name not in ("case.safetensors", "curve.safetensors") else {})
    if config.get("model_type") == "xlstm":
        from transformers import xLSTMConfig, xLSTMForCausalLM
        from transformers.initialization import no_init_weights
        with no_init_weights():
            model = xLSTMForCausalLM(xLSTMConfig(**{**config, "use_cache": False}))  # its cache rounds head sizes
    elif "mlstm_block" in config:
        from xlstm import xLSTMBlockStack, xLSTMBlockStackConfig, xLSTMLMModel, xLSTMLMModelConfig
        use_cuda_cell()
        mend_one_tap()
        if "vocab_size" in config:
            model = xLSTMLMModel(build(xLSTMLMModelConfig, config))
        else:
            model = xLSTMBlockStack(build(xLSTMBlockStackConfig, config))
    else:
        from xlstm.xlstm_large.model import xLSTMLarge, xLSTMLargeConfig
        model = xLSTMLarge(build(xLSTMLargeConfig, {**config, "mode": "inference", "return_last_states": True,
                                                    "autocast_kernel_dtype": "float64",
                                                    "inference_state_dtype": "float64",
                                                    "norm_reduction_force_float32": False}))
    model = model.double()
    model.load_state_dict({name: t.double() for name, t in weights.items()}, strict=True)
    return model.eval()


def main():
    model = load(pathlib.Path(sys.argv[1]))
    case = load_file(sys.argv[2])
    with torch.no_grad():
        logits = model(case["tokens"] if "tokens" in case else case["inputs"])
    logits = logits[0] if isinstance(logits, tuple) else getattr(logits, "logits", logits)
    error = (logits - case["logits"]).abs().max() / case["logits"].abs().max()
    print(f"{sys.argv[1]}: largest relative error of the logits {float(error):.2e}")
    sys.exit(0 if error < 1e-5 else 1)


if __name__ == "__main__":
    main()
