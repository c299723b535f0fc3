"""Graphs that look like an idiom, or like a shared layer, and mean something else beside what a comparison may show."""

from __future__ import annotations

import re

import numpy as np
import pytest
from foreign_nets import HEAD, written
from onnx import numpy_helper

from netdsl.analysis.count import totals
from netdsl.lift.lift import lift_model
from netdsl.lift.model import LiftError
from netdsl.lift.registers import registered
from netdsl.lift.term import seq, term

OLD = HEAD.replace("18", "16")

NORM = """g (float[N,{x}] x) => (float[N,{x}] y) <float[{w}] w = {{}}, float[{b}] b = {{}}> {{
    eps = Constant <value = float[1] {{0.00001}}> ()  two = Constant <value = float {{2.0}}> ()
    m = ReduceMean <axes = [-1]> (x)  d = Sub(x, m)  s = Pow(d, two)  v = ReduceMean <axes = [-1]> (s)
    e = Add(v, eps)  r = Sqrt(e)  n = Div(d, r)  g = Mul(n, w)  y = Add(g, b) }}"""

NORMS = {
    "a vector": ("4", "4", "4", "layernorm"),
    "a sequence": ("5,4", "4", "4", "layernorm"),
    "an image with its channels last": ("3,5,4", "4", "4", "layernorm(axis=-1)"),
    "weights of the places of a square": ("4,4", "4,1", "4", "it * param((4, 1)) -> it + param((4,))"),
    "a shift of the places of a square": ("4,4", "4", "4,1", "layernorm(bias=false) -> it + ("),
}


@pytest.mark.parametrize("case", NORMS)
def test_layer_norms_in_parts(case: str) -> None:
    x, w, b, said = NORMS[case]
    assert said in lift_model(written(NORM.format(x=x, w=w, b=b), OLD)).text


def test_a_gain_of_columns_is_none_of_channels() -> None:
    vector = "Constant <value = float[4] {1.0, 2.0, 0.5, 3.0}> ()"
    found = lift_model(written(f"""g (float[N,4,4,4] x) => (float[N,4,4,4] y) <float[1,1,4] w = {{}}> {{
        s = {vector}  n = BatchNormalization(x, s, s, s, s)  y = Mul(n, w) }}"""))  # fmt: skip
    assert "bn -> scale(axis=-1)" in found.text


ATTENTION = """
    Q = MatMul(x, q)  K = MatMul(x, k)  V = MatMul(x, v)  T = Transpose <perm = [0, 2, 1]> (K)  S = MatMul(Q, T)
    {masked}  C = MatMul(P, V)  y = MatMul(C, o) }}"""
WEIGHTS = "float[4,4] q = {}, float[4,4] k = {}, float[4,4] v = {}, float[4,4] o = {}"
PLACES = """
    one = Constant <value = int64[1] {1}> ()  zero = Constant <value = int64 {0}> ()  step = Constant <value = int64 {1}> ()
    low = Constant <value = float {-1e9}> ()  none = Constant <value = float {0.0}> ()
    first = Constant <value = int64[1] {0}> ()  s = Shape(x)  L0 = Gather(s, one)  L1 = Squeeze(L0)
    r = Range(zero, L1, step)  i = Unsqueeze(r, one)  j = Unsqueeze(r, first)  back = GreaterOrEqual(i, j)"""  # noqa: E501
MASKED = "mask = Where(seen, none, low)  M = Add(S, mask)  P = Softmax <axis = -1> (M)"


def of_places(masks: str) -> str:
    return f"g (float[N,L,4] x) => (float[N,L,4] y) <{WEIGHTS}> {{ {PLACES} {masks} {ATTENTION.format(masked=MASKED)}"


def test_a_causal_mask_of_places() -> None:
    assert "causal=true" in lift_model(written(of_places("seen = Identity(back)"))).text


@pytest.mark.parametrize("shape", ["5,5", "1,5,5"])
def test_a_stored_causal_mask(shape: str) -> None:
    text = f"g (float[N,5,4] x) => (float[N,5,4] y) <{WEIGHTS}, float[{shape}] mask = {{}}> {{"
    masked = "M = Add(S, mask)  P = Softmax <axis = -1> (M)"
    model = written(text + ATTENTION.format(masked=masked))
    (stored,) = (t for t in model.graph.initializer if t.name == "mask")
    array = np.where(np.tri(5), 0, -1e9).astype("float32").reshape(tuple(stored.dims))
    stored.CopyFrom(numpy_helper.from_array(array, "mask"))
    assert "causal=true" in lift_model(model).text


@pytest.mark.parametrize("width", [3, 48, 4096])
def test_a_sliding_window_is_no_causal_mask(width: int) -> None:
    """It hides nothing at the sizes that are compared, and much at those of use."""
    near = f"width = Constant <value = int64 {{{width}}}> ()  d = Sub(i, j)  near = Less(d, width)"
    with pytest.raises(LiftError, match=r"`S2|`M \(Add\)`: an array whose size depends"):
        lift_model(written(of_places(f"{near}  seen = And(back, near)")))


@pytest.mark.parametrize("width", [48, 64])
def test_a_stored_window_is_no_causal_mask(width: int) -> None:
    cut = "Constant <value = int64[2] {0, 0}> ()  LL = Concat <axis = 0> (L0, L0)  seen = Slice(B, a, LL)"
    model = written(of_places(f"a = {cut}").replace(WEIGHTS, f"{WEIGHTS}, float[64,64] B = {{}}"))
    (stored,) = (t for t in model.graph.initializer if t.name == "B")
    apart = np.arange(64)[:, None] - np.arange(64)
    stored.CopyFrom(numpy_helper.from_array((apart >= 0) & (apart < width), "B"))
    if width == 64:
        assert "causal=true" in lift_model(model).text
    else:
        with pytest.raises(LiftError, match="an array whose size depends"):
            lift_model(model)


PADDED = """g (int64[N,L] t) => (float[N,L,4] y) <float[3000,4] E = {}, WEIGHTS> {
    pad = Constant <value = int64 {0}> ()  one = Constant <value = int64[1] {1}> ()
    none = Constant <value = float {0.0}> ()  low = Constant <value = float {-1e9}> ()
    x = Gather(E, t)  h = Equal(t, pad)  m = Unsqueeze(h, one)""".replace("WEIGHTS", WEIGHTS)


@pytest.mark.parametrize("before", [False, True])
def test_weights_set_to_zero_after_softmax(before: bool) -> None:
    """By the mask of the scores they are 0 already; by another one they are not, however rarely it hides something."""
    scores = "M = Where(seen, S, low)" if before else "M = Identity(S)"
    masked = f"seen = Not(m)  {scores}  W = Softmax <axis = -1> (M)  P = Where(seen, W, none)"
    text = lift_model(written(PADDED + ATTENTION.format(masked=masked))).text
    assert ("masked_fill" in text) != before
    assert ("attention(" in text) == before


POOLED = """g (float[N,3,4,6] x) => (float[{y}] y) {{ i = Constant <value = int64[2,3] {{0, 1, 2, 3, 4, 5}}> ()
    axis = Constant <value = int64[1] {{{axis}}}> ()  w = Gather <axis = 3> (x, i)
    y = ReduceMax <keepdims = {kept}> (w, axis) }}"""


@pytest.mark.parametrize(
    ("axis", "kept", "y"),
    [(4, 0, "N,3,4,2"), (-1, 0, "N,3,4,2"), (4, 1, "N,3,4,2,1"), (3, 0, "N,3,4,3"), (1, 0, "N,4,2,3")],
)
def test_windows_that_are_reduced_along_another_axis(axis: int, kept: int, y: str) -> None:
    text = lift_model(written(POOLED.format(axis=axis, kept=kept, y=y))).text
    assert ("adaptive_maxpool((4, 2))" in text) == (axis in (4, -1) and not kept)


@pytest.mark.parametrize(("start", "end"), [(-100, 2), (-100, 100), (-2, 100), (1, -1)])
def test_ends_of_a_slice_beyond_its_axis(start: int, end: int) -> None:
    size = len(range(4)[start:end])
    found = lift_model(written(f"""g (float[N,4] x) => (float[N,{size}] y) {{ s = Constant <value = int64[1] {{{start}}}> ()
        e = Constant <value = int64[1] {{{end}}}> ()  a = Constant <value = int64[1] {{1}}> ()  y = Slice(x, s, e, a) }}"""))  # fmt: skip # noqa: E501
    assert found.net.checked.main.outputs[0].value.type.shape == (size,)


def test_a_sum_within_a_sum_within_a_sum() -> None:
    """Sixty sums are opened once each: twice each would never end."""
    made = [term("let", (("names", (f"a{i}",)),), (term("op:relu"),)) for i in range(61)]
    total, *others = (term("ref", (("name", f"a{i}"),)) for i in range(61))
    for other in others:
        total = term("op:add", (), (total, other))
    assert registered(seq((*made, total)), set()).head == "seq"


def test_layers_of_runs_that_overlap_are_declared() -> None:
    found = lift_model(written("""g (float[N,4] x) => (float[N,4] y) <float[4,4] w = {}> {
        a = MatMul(x, w)  b = Relu(a)  c = MatMul(b, w)  d = Relu(c)  e = MatMul(d, w)  f = Tanh(e)
        y = MatMul(f, w) }"""))  # fmt: skip
    assert found.text.count("shared_linear") == 5
    assert totals(found.net.checked.main).params == 16


def test_a_shared_layer_and_an_input_of_its_name() -> None:
    found = lift_model(written("""g (int64[N,L] table, float[N,L,9] z) => (float[N,L,9] y) <float[9,4] w = {}> {
        e = Gather(w, table)  t = Transpose(w)  a = MatMul(e, t)  y = Add(a, z) }"""))  # fmt: skip
    assert re.search(r"share (?!table )\w+ = embed", found.text)


def test_layers_of_one_weight_with_biases_of_their_own() -> None:
    found = lift_model(written("""g (float[N,4] x) => (float[N,4] y) <float[4,4] w = {}, float[4] b = {}, float[4] c = {}> {
        p = MatMul(x, w)  q = Add(p, b)  r = Tanh(q)  s = MatMul(r, w)  y = Add(s, c) }"""))  # fmt: skip # noqa: E501
    assert totals(found.net.checked.main).params == 24
