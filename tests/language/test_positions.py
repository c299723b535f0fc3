"""Arguments by position: what an op takes, and what is said of those that it does not."""

from __future__ import annotations

import inspect

import pytest
from torch import nn

from netdsl.elaborate.calls import op_fields
from netdsl.elaborate.positions import AXES, INFERRED, NEEDLESS, OWN, PYTORCH
from netdsl.loader import read_import
from netdsl.ops import REGISTRY
from netdsl.pipeline import Spec
from netdsl.source import Source

NONE = frozenset((
    "bn", "instancenorm", "layernorm", "rmsnorm", "l2_normalize", "softmax", "log_softmax", "softmin", "glu", "flatten",
    "squeeze", "unsqueeze", "reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_l2", "concat", "gelu",
    "standardize", "sdpa", "masked_fill", "gather", "scatter", "propagate", "stack", "flip",
    "cumsum", "argmax", "reduce_var", "reduce_std", "grid_sample", "rotary",
))  # fmt: skip
TWO = frozenset((
    "conv", "scaled_conv", "upconv", "patchify", "embed", "narrow", "unwindows", "window_bias", "threshold", "clamp",
    "hardtanh", "rrelu", "lppool", "scalar", "reduce", "fold",
))  # fmt: skip
THREE = frozenset(("arange", "linspace"))


def test_which_ops_take_how_many() -> None:
    for kind, op in REGISTRY.items():
        most = 0 if kind in NONE or not op_fields(op) else 2 if kind in TWO else 3 if kind in THREE else 1
        assert op.positional == most, kind


def messages(statement: str) -> list[tuple[str, str, str | None]]:
    text = f"net A {{\n  input x [8, 6, 6]\n  {statement}\n}}\n"
    found = Spec(Source(text, "positions.net"), read_import).diagnostics
    return [(d.message, d.at.text if d.at else "", d.hint) for d in found]


REFUSED = [
    ("bn(64)", "64", "no arguments by position", ("`bn` is PyTorch's",)),
    ("bn(64, 1e-3)", "64", "no arguments by position", ("`bn(eps=1e-3)` is PyTorch's",)),
    ("flatten(1)", "1", "no arguments by position", ("`flatten` is", "`flatten(start=1)` counts")),
    ("flatten(2)", "2", "no arguments by position", ("`flatten(start=1)` is", "`flatten(start=2)` counts")),
    ("softmax(1)", "1", "no arguments by position", ("`softmax(axis=0)` is", "`softmax(axis=1)` counts")),
    ("unsqueeze(0)", "0", "no arguments by position", ("`unsqueeze(axis=0)` counts",)),
    ("conv(8, 16, 3)", "3", "two arguments", ("`conv(16, 3)` is PyTorch's", "`conv(8, 16, stride=3)` names it")),
    ("linear(8, 4)", "4", "one argument", ("`linear(4)` is PyTorch's",)),
    ("groupnorm(4, 8)", "8", "one argument", ("`groupnorm(4)` is PyTorch's",)),
    ("maxpool(2, 2)", "2", "one argument", ("`maxpool(2, stride=2)`",)),
    ("dropout(0.5, true)", "true", "one argument", ("`dropout(0.5)` is PyTorch's",)),
    ("relu(true)", "true", "takes no arguments", ()),
    ("concat(it, it, 1)", "1", "no arguments by position", ("`concat(axis=0)` is", "`concat(axis=1)` counts")),
    ("gelu('tanh')", "'tanh'", "no arguments by position", ("`gelu(approximate='tanh')`",)),
]


@pytest.mark.parametrize(("statement", "at", "says", "readings"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_refused_position_says_what_it_would_mean(statement: str, at: str, says: str, readings: tuple[str]) -> None:
    ((message, place, hint),) = messages(statement)
    assert place == at
    assert says in message
    for reading in readings:
        assert reading in (hint or ""), hint


def test_recurrent_layers_are_not_read_as_layers_upon_layers() -> None:
    text = "net A {\n  input x [5, 64]\n  lstm(64, 128)\n}\n"
    (found,) = Spec(Source(text, "positions.net"), read_import).diagnostics
    assert (found.hint or "").startswith("`lstm(128)` is PyTorch's")


def test_a_partial_layer_takes_no_further_argument_by_position() -> None:
    text = "N = rnn(16)\nnet A {\n  input x [5, 64]\n  N(2)\n}\n"
    (found,) = Spec(Source(text, "positions.net"), read_import).diagnostics
    assert found.code == "too-many-arguments"


@pytest.mark.parametrize("kind", [k for k, (name, _) in PYTORCH.items() if name.startswith("nn.")])
def test_the_table_is_pytorchs(kind: str) -> None:
    """The arguments of PyTorch's classes stand in the table in their order."""
    name, parameters = PYTORCH[kind]
    declared = getattr(nn, name.removeprefix("nn."))
    recurrent = kind in ("rnn", "lstm", "gru")
    signature = inspect.signature(nn.RNNBase.__init__ if recurrent else declared.__init__)
    own = [p for p in signature.parameters if p != "self" and not (recurrent and p == "mode")]
    written = parameters.split()
    if kind == "rnn":  # nn.RNN puts its nonlinearity after the layers
        own.insert(3, "nonlinearity")
    assert written == own[: len(written)]


def test_names_in_the_table_exist_here() -> None:
    for kind, (_, parameters) in PYTORCH.items():
        fields = op_fields(REGISTRY[kind])
        known = [p for p in parameters.split() if OWN.get(p, p) in fields or p in INFERRED | NEEDLESS | AXES]
        assert known, kind
