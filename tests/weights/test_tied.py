"""Files that hold a tied weight twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.weights.convert import reverse
from netdsl.weights.load import Rules, load
from netdsl.weights.read import Foreign
from netdsl.weights.slots import slots
from netdsl.weights.unwrap import WeightsError

TIED = """
net N {
  input tokens [5] int64
  share table = embed(7, 4)
  table -> linear(4) -> linear(weight=table.weight, bias=false)
}
"""
APART = TIED.replace("linear(weight=table.weight, bias=false)", "linear(7, bias=false)")

TABLE = np.arange(28, dtype="float32").reshape(7, 4)


def net(text: str) -> Net:
    return Spec(Source(text, "n.net"), read_import).net("N")


def file(head: np.ndarray, table: np.ndarray = TABLE) -> Foreign:
    middle = {"mid.weight": np.eye(4, dtype="float32"), "mid.bias": np.ones(4, dtype="float32")}
    return Foreign("f", {"lm_head.weight": head, **middle, "emb.weight": table})


def test_a_copy_of_the_table_is_left_in_the_file() -> None:
    found = load(net(TIED).checked, file(TABLE.copy()), dict, Rules())
    assert np.array_equal(found.state["table.weight"], TABLE)
    assert [s.key for s in found.found.left_over] == ["lm_head.weight"]


def test_a_net_that_does_not_tie_takes_both() -> None:
    own = {s.key: s.shape for s in slots(net(APART).checked.main)}
    twice = {k: TABLE if shape == TABLE.shape else np.ones(shape, "float32") for k, shape in own.items()}
    found = load(net(APART).checked, Foreign("f", twice), dict, Rules())
    assert not found.found.left_over
    assert sum(np.array_equal(a, TABLE) for a in found.state.values()) == 2


@pytest.mark.parametrize(
    ("head", "table"), [(TABLE + 1, TABLE), (np.zeros((7, 4), "float32"), np.zeros((7, 4), "float32"))]
)
def test_what_is_no_copy_or_was_never_trained_is_refused(head: np.ndarray, table: np.ndarray) -> None:
    with pytest.raises(WeightsError):
        load(net(TIED).checked, file(head, table), dict, Rules())


def test_layers_that_were_copied_are_no_tied_weights() -> None:
    """torch's encoder copies its first layer: all layers of one that was never trained hold the same numbers."""
    text = "net N { input x [8, 3, 3]\n repeat 3 { residual { conv(16, 1) -> relu -> conv(8, 1) } } }"
    numbers = np.arange(128, dtype="float32")
    one = {
        "linear1.weight": numbers.reshape(16, 8), "linear1.bias": numbers[:16], "linear2.bias": numbers[:8],
        "linear2.weight": numbers.reshape(8, 16),
    }  # fmt: skip
    layers = {f"encoder.layers.{i}.{key}": array for i in range(3) for key, array in one.items()}
    assert not load(net(text).checked, Foreign("f", layers), dict, Rules()).found.left_over


NORMED = "net N { input x [3, L]\n conv(8, 3, weight_norm=true) -> relu -> conv(8, 3, weight_norm=true) -> relu }"


@pytest.mark.parametrize("spelling", ["old", "new", "none"])
@pytest.mark.parametrize("names", [("conv1", "conv2"), ("a", "b")])
def test_a_layer_under_two_names_is_one(spelling: str, names: tuple[str, str]) -> None:
    """`self.net = nn.Sequential(self.conv1, ...)` beside `self.conv1`, as in the TCN of Bai et al. (2018)."""
    random = np.random.default_rng(0)
    layers, wanted = {}, []
    for at, (name, inputs) in enumerate(zip(names, (3, 8), strict=True)):
        v, g = random.normal(size=(8, inputs, 3)).astype("float32"), np.full((8, 1, 1), at + 2, "float32")
        weight = g * v / np.sqrt((v * v).sum((1, 2), keepdims=True))
        parts = {
            "old": {"weight_g": g, "weight_v": v},
            "new": {"parametrizations.weight.original0": g, "parametrizations.weight.original1": v},
            "none": {"weight": weight},
        }[spelling] | {"bias": np.zeros(8, "float32")}
        wanted.append(weight)
        layers |= {f"{place}.{k}": a for k, a in parts.items() for place in (name, f"net.{2 * at}")}
    module = net(NORMED).module(seed=0)
    found = load(net(NORMED).checked, Foreign("f", dict(sorted(layers.items(), reverse=True))), dict, Rules())
    module.load_state_dict({k: torch.from_numpy(a) for k, a in found.state.items()})
    for layer, weight in zip((module.conv1, module.conv2), wanted, strict=True):
        np.testing.assert_allclose(layer.weight.detach(), weight, rtol=1e-5, atol=1e-6)
    back, kept = reverse(found.found.matches, found.state, layers)
    assert not kept
    assert all(np.allclose(back[k], a, atol=1e-6) for k, a in layers.items())
