"""Files in the manner of other frameworks and fine-tuning tools, where shapes alone would mislead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import netdsl
from netdsl.cli.main import main
from netdsl.weights.slots import slots

CHAIN = """
net Net {
  input image [3, 8, 8]
  conv(8, 3, bias=false) -> bn -> relu
  conv(8, 3, bias=false) -> bn -> relu
  gap -> linear(8) -> relu -> linear(8) -> relu -> linear(8)
}
"""

LAYER = """
block Layer(d) {
  residual { attention(4) } -> layernorm
  residual { linear(4 * d) -> gelu -> linear(d) } -> layernorm
}

net Net {
  input x [7, 16]
  layers: repeat 2 { Layer(16) }
}
"""

BARE = CHAIN.replace(" -> bn", "")

Arrays = dict[str, Any]

KERAS = {
    "conv": "conv2d", "upconv": "conv2d_transpose", "bn": "batch_normalization", "linear": "dense", "bias": "bias",
    "running_mean": "moving_mean", "running_var": "moving_variance",
}  # fmt: skip


def state_of(text: str, tmp_path: Path) -> Arrays:
    """Weights of a net, in which every tensor is another."""
    (tmp_path / "own.net").write_text(text)
    random = np.random.default_rng(0)
    shapes = {s.key: s.shape for s in slots(netdsl.load(tmp_path / "own.net").checked.main)}
    return {k: random.normal(size=s).astype("float32") for k, s in shapes.items() if "num_batches" not in k}


def keras(state: Arrays) -> Arrays:
    found = {}
    for key, array in state.items():
        layer, name = key.split(".")
        kind, number = layer[:-1], int(layer[-1]) - 1
        owner = KERAS[kind] + (f"_{number}" if number else "")
        if name == "weight" and kind != "bn":
            array = array.T if array.ndim == 2 else array.transpose(2, 3, 1, 0)
        word = {"weight": "gamma" if kind == "bn" else "kernel", "bias": "beta" if kind == "bn" else "bias"}
        found[f"{owner}/{word.get(name) or KERAS[name]}:0"] = array
    return found


def flax(state: Arrays) -> Arrays:
    """The linear layers alone."""
    names = {"weight": "kernel", "bias": "bias"}
    split = ((k.split("."), a) for k, a in state.items() if k.startswith("linear"))
    return {f"params.Dense_{int(layer[-1]) - 1}.{names[name]}": a.T for (layer, name), a in split}


def fairseq(state: Arrays) -> Arrays:
    words = {"layernorm1": "self_attn_layer_norm", "layernorm2": "final_layer_norm", "linear1": "fc1", "linear2": "fc2"}
    found = {}
    for key, array in state.items():
        _, number, layer, name = key.split(".", 3)
        owner = f"encoder.layers.{number}"
        if name.startswith("in_proj"):
            for part, piece in zip("qkv", np.split(array, 3), strict=True):
                found[f"{owner}.self_attn.{part}_proj.{name.rpartition('_')[2]}"] = piece
        else:
            found[f"{owner}.{'self_attn' if layer == 'attention' else words[layer]}.{name}"] = array
    return found


T5 = """
block Attend(bias): [L, D] -> [L, D] {
  q, k, v = [linear(D, bias=false) -> rearrange("l (h d) -> h l d", h=2) for _ in range(3)]
  sdpa(q, k, v, mask=bias, scale=1.0) -> rearrange("h l d -> l (h d)") -> linear(D, bias=false)
}

net Net {
  input x [6, 8]
  table = param((2, 36))
  bias = table -> reshape((2, 6, 6))
  x
  layers: repeat 3 {
    residual { rmsnorm -> Attend(bias) }
    residual { rmsnorm -> linear(16, bias=false) -> relu -> linear(8, bias=false) }
  }
  rmsnorm
}
"""


def t5(state: Arrays) -> Arrays:
    """One layer owns the bias of all, so that its prefix holds what is used before it."""
    words = {
        "rmsnorm1": "0.layer_norm", "rmsnorm2": "1.layer_norm", "linear1": "1.DenseReluDense.wi",
        "linear2": "1.DenseReluDense.wo", "attend.linear1": "0.SelfAttention.q", "attend.linear2": "0.SelfAttention.k",
        "attend.linear3": "0.SelfAttention.v", "attend.linear4": "0.SelfAttention.o",
    }  # fmt: skip
    found = {"encoder.final_layer_norm.weight": state["rmsnorm.weight"]}
    found["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = state["table"][0]
    for key, array in state.items():
        if key.startswith("layers."):
            _, number, layer = key.removesuffix(".weight").split(".", 2)
            found[f"encoder.block.{number}.layer.{words[layer]}.weight"] = array
    return found


CASES: dict[str, tuple[str, Callable[[Arrays], Arrays]]] = {
    "keras": (CHAIN, keras),
    "transposed convolutions of keras": (
        "net Net {\n  input x [4, 4, 4]\n  upconv(4, 2, stride=2) -> relu -> upconv(4, 2, stride=2)\n}\n",
        keras,
    ),
    "flax": ("net Net {\n  input x [8]\n  linear(8) -> relu -> linear(8) -> relu -> linear(8)\n}\n", flax),
    "fairseq": (LAYER, fairseq),
    "t5": (T5, t5),
    "kernels with their outputs first": (
        "net Net {\n  input x [8]\n  linear(8) -> relu -> linear(5)\n}\n",
        lambda s: {k.replace("weight", "kernel"): a for k, a in s.items()},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_tensor_finds_its_place_and_goes_back(name: str, tmp_path: Path) -> None:
    text, spelled = CASES[name]
    state = state_of(text, tmp_path)
    file, out, back = (str(tmp_path / f"{n}.npz") for n in ("file", "out", "back"))
    out, back = out[:-4] + ".safetensors", back[:-4] + ".safetensors"
    foreign = spelled(state)
    np.savez(file, **foreign)
    spec = str(tmp_path / "own.net")
    assert main(["weights", spec, file, "-o", out]) == 0
    found = load_file(out)
    assert all(np.array_equal(found[k], a) for k, a in state.items())
    assert main(["weights", spec, file, "--reverse", out, "-o", back]) == 0
    returned = load_file(back)
    assert all(np.array_equal(returned[k], a) for k, a in foreign.items() if k in returned)
    assert len(returned) == len(foreign)


ADDED: dict[str, tuple[str, Callable[[Arrays], Arrays]]] = {
    "lora beside the weight": (CHAIN, lambda s: s | {"linear1.lora_A": np.ones((2, 8), "float32")}),
    "peft": (
        CHAIN,
        lambda s: (
            {f"base_model.{k.replace('linear1.', 'linear1.base_layer.')}": a for k, a in s.items()}
            | {"base_model.linear1.lora_B.default.weight": np.ones((8, 2), "float32")}
        ),
    ),
    "a dense layer of Keras over a flattened image": (
        "net Net {\n  input x [3, 4, 4]\n  flatten -> dropout(0.1) -> linear(5)\n}\n",
        lambda s: {f"dense.{'kernel' if k == 'linear.weight' else 'bias'}": a.T for k, a in s.items()},
    ),
    "a transposed convolution of Flax": (
        "net Net {\n  input x [4, 4, 4]\n  upconv(4, 2, stride=2)\n}\n",
        lambda s: {
            "params.ConvTranspose_0.kernel": s["upconv.weight"].transpose(2, 3, 0, 1).copy(),
            "params.ConvTranspose_0.bias": s["upconv.bias"],
        },
    ),
    "a norm of Keras between": (
        BARE,
        lambda s: keras(s) | {"batch_normalization/moving_variance:0": np.ones(8, "float32")},
    ),
    "a norm of Flax between": (
        "net Net {\n  input x [8]\n  linear(8) -> linear(8)\n}\n",
        lambda s: flax(s) | {"batch_stats.BatchNorm_0.var": np.ones(8, "float32")},
    ),
    "a layer norm between": (
        BARE,
        lambda s: s | {"ln.weight": np.ones(8, "float32"), "ln.bias": np.ones(8, "float32")},
    ),
    "a layer scale between": (
        LAYER,
        lambda s: {f"net.{k}": a for k, a in s.items()} | {"net.layers.1.ls1.gamma": np.ones(16, "float32")},
    ),
    "a norm between": (BARE, lambda s: s | {"bn1.running_var": np.ones(8, "float32")}),
}


@pytest.mark.parametrize("name", ADDED)
def test_what_would_change_a_layer_is_not_left_in_the_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, added = ADDED[name]
    save_file(added(state_of(text, tmp_path)), str(tmp_path / "file.safetensors"))
    out = tmp_path / "out.safetensors"
    assert main(["weights", str(tmp_path / "own.net"), str(tmp_path / "file.safetensors"), "-o", str(out)]) == 1
    assert "unfit-weights" in capsys.readouterr().err
    assert not out.exists()
