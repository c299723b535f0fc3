"""Forms of nets: small ones of the zoo, each with a form of its own, there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from foreign_nets import exported, written
from msgspec.structs import replace

from netdsl.analysis.count import totals
from netdsl.api import load
from netdsl.ir.model import Value
from netdsl.lift.lift import _flat, checked_text, lift_model
from netdsl.lift.loops import looped
from netdsl.lift.model import Lifted, LiftError
from netdsl.lift.read import file_of
from netdsl.lift.term import seq, term, walk
from netdsl.source import Source

FORMS: dict[str, tuple[str, str, dict[str, Any], tuple[str, ...]]] = {
    "a causal mask, a part of a table": (
        "gpt2", "GPT2", {"depth": 3, "dim": 16, "heads": 2, "vocabulary": 30, "context": 40},
        (
            "attention(2, causal=true)", "param((40, 16)) -> narrow(0, L)", "repeat 3 {", "share table = embed(30, 16)",
            "linear(weight=table.weight, bias=false)",
        ),
    ),
    "a mask of padding, several inputs": (
        "bert", "BERT", {"depth": 3, "dim": 16, "heads": 2, "vocabulary": 30, "context": 40},
        ("attention(2, mask=keep)", "repeat 3 {", "output pooled = take(0)"),
    ),
    "values that many later ones read": (
        "wavenet", "WaveNet", {"width": 8, "skip": 12, "stacks": 1, "depth": 4, "levels": 10},
        ("tanh", "x2 = x1 -> Block(2)"),
    ),
    "a decoder with states": ("seq2seq", None, {}, ("lstm",)),
    "means of messages": (
        "graphsage", "GraphSAGE", {"features": 6, "hidden": 5, "classes": 3},
        ("reduce=mean, index = x2 -> squeeze(axis=0))", "nodes -> Block(edges, 5, N) -> relu"),
    ),
    "sums of messages": ("gcn", "GCN_Edges", {"features": 6, "hidden": 5, "classes": 3}, ("scatter(size=N, index=",)),
    "weighted messages": (
        "gat", "GAT_Edges", {"features": 6, "heads": 2, "dim": 3, "classes": 4},
        ("propagate(source=", "reduce=max, index="),
    ),
    "volumes, and the middle of them": ("unet3d", "UNet3D", {"width": 4, "depth": 2}, ("crop(like=x)",)),
    "shifted windows": (
        "swin", "Swin", {"dim": 8, "depths": [2, 2], "heads": [2, 4], "window": 4, "size": 32, "classes": 5},
        ("windows(4, shift=shift2)", "window_bias(", "unwindows("),
    ),
    "learnt queries, a decoder that reads what was encoded at each layer": (
        "detr", "DETR_ResNet50", {"dim": 16, "heads": 2, "depth": 4, "hidden": 24, "queries": 6, "limit": 9},
        ("cross_attention(2, context=x)", "repeat 3 {"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    spec, name, arguments, said = FORMS[form]
    net = load(spec, name, **arguments)
    state = {k: v.numpy() for k, v in net.module(0).eval().state_dict().items()}
    found = lift_model(net.onnx(state, folded=False))
    assert [s for s in said if s not in found.text] == [], found.text
    assert totals(found.net.checked.main).params == totals(net.checked.main).params
    assert max(c.difference for c in found.proof) < 1e-5


def test_steps_that_hand_on_several_values_are_a_loop() -> None:
    """Each step of a WaveNet gives what the next one reads and a part of the sum at the end."""
    found = lift_model(exported("wavenet", "WaveNet", width=8, skip=12, stacks=1, depth=10, levels=10))
    assert "for padding in [2**i for i in range(1, 8)] {" in found.text, found.text
    assert len(found.text.splitlines()) <= 22


def test_blocks_that_are_given_values() -> None:
    """What is written twice and reads a value of before is a block that is given the value."""
    step = "a{0} = MatMul(h{0}, w{0})  b{0} = Tanh(a{0})  c{0} = Mul(b{0}, g)  d{0} = MatMul(c{0}, u{0})  "
    step += "e{0} = Add(d{0}, g)  h{1} = Relu(e{0})  "
    weights = ", ".join(f"float[{n},{n}] {k}{i} = {{}}" for i, n in ((0, 6), (1, 6)) for k in "wu")
    found = lifted(
        f"(float[N,6] h0, float[N,6] z) => (float[N,6] y) <{weights}> {{ g = Sigmoid(z)  {step.format(0, 1)}"
        f"r = Neg(h1)  h1b = Abs(r)  {step.format(1, 2).replace('h1,', 'h1b,')} y = Neg(h2) }}"
    )
    assert found.count("linear(6, bias=false)") == 2, found
    assert "(other) = linear(6, bias=false) -> tanh" in found, found


NORM = """(float[N,3,4,4] x) => (float[N,3,4,4] y) <float[3] m = {}, float[3] b = {}> {
    o = Constant <value = float[3] {1.0, 1.0, 1.0}> ()  z = Constant <value = float[3] {0.0, 0.0, 0.0}> ()
    v = Constant <value = float[3] {1.5, 2.0, 0.5}> ()  n = BatchNormalization(x, o, z, m, v)
    i = Constant <value = int64[2] {1, 2}> ()  c = Unsqueeze(b, i)  y = OP(n, c) }"""


def test_norms_without_weights() -> None:
    """Ones and zeros that are there because the operator wants some are no weights; a gain after them is one."""
    assert "bn(affine=false) -> it + param((3,))" in lifted(NORM.replace("OP", "Add"))
    assert "affine" not in lifted(NORM.replace("OP", "Mul"))


def test_one_channel_is_added_to_all() -> None:
    found = lifted(
        """(float[N,3,4,4] x) => (float[N,3,4,4] y) {
        i = Constant <value = int64[1] {1}> ()  m = ReduceMean(x, i)  c = Sub(x, m)  y = Tanh(c) }"""
    )
    assert "reduce_mean(axis=0, keepdims=true) -> expand((3, 4, 4))" in found.replace("1, 4, 4", "3, 4, 4"), found


def test_adaptive_pools_of_an_image_of_any_size() -> None:
    """The windows of each axis are computed from its size in the graph."""
    text = """net Pools {
      input image [2, H, W]
      x = it
      pooled = [adaptive_avgpool(n) -> conv(3, 1) -> upsample(like=x, mode=bilinear) for n in [1, 2, 3]]
      concat(x, *pooled, adaptive_maxpool((2, 3)) -> upsample(like=x))
    }"""
    net = load(Source(text))
    found = lift_model(net.onnx({k: v.numpy() for k, v in net.module(0).eval().state_dict().items()}))
    assert max(c.difference for c in found.proof) < 1e-5
    assert [s for s in ("(2)", "(3)", "adaptive_maxpool((2, 3))") if s not in found.text] == [], found.text


def lifted(text: str) -> str:
    found = lift_model(written(f"net {text}"))
    assert max(c.difference for c in found.proof) < 1e-5
    return found.text


HEADS = """(float[N,5,8] x, float[N,7,8] y) => (float[N,5,8] z)
    <float[8,8] wq = {}, float[8,8] wk = {}, float[8,8] wv = {}, float[8,8] wo = {}, float[8] b = {}> {
    cut = Constant <value_ints = [0, 0, 2, 4]> ()  whole = Constant <value_ints = [0, 0, 8]> ()
    q0 = MatMul(x, wq)  q1 = Reshape(q0, cut)  q = Transpose <perm = [0, 2, 1, 3]> (q1)
    k0 = MatMul(y, wk)  k1 = Reshape(k0, cut)  k = Transpose <perm = [0, 2, 3, 1]> (k1)
    v0 = MatMul(y, wv)  v1 = Reshape(v0, cut)  v = Transpose <perm = [0, 2, 1, 3]> (v1)
    s = MatMul(q, k)  half = Constant <value = float {0.5}> ()  t = Mul(s, half)  p = Softmax <axis = AXIS> (t)
    a = MatMul(p, v)  m = Transpose <perm = [0, 2, 1, 3]> (a)  j = Reshape(m, whole)
    o = MatMul(j, wo)  z = Add(o, b) }"""


def test_attention_to_another_sequence() -> None:
    assert "x -> cross_attention(2, qkv_bias=false, context=y)" in lifted(HEADS.replace("AXIS", "-1"))


def test_softmax_over_queries_is_no_attention() -> None:
    found = lifted(HEADS.replace("AXIS", "2"))
    assert "attention" not in found
    assert "softmax(axis=-2)" in found


MASKED = """(float[N,L,L] x) => (float[N,L,L] y) {
    s = Shape <start = 1, end = 3> (x)  n = Constant <value = float {-1e9}> ()  full = Expand(n, s)
    k = Constant <value_int = 1> ()  m = Trilu <upper = UPPER> (full, k)  a = Add(x, m)  y = Relu(a) }"""


def test_a_causal_mask_outside_of_attention() -> None:
    with pytest.raises(LiftError, match="a causal mask has no form outside of attention"):
        lifted(MASKED.replace("UPPER", "1"))


def test_another_mask_whose_size_is_not_known() -> None:
    with pytest.raises(LiftError, match=r"\(Add\)`: an array whose size depends on that of the input"):
        lifted(MASKED.replace("UPPER", "0"))


def test_values_beside_the_flow_are_computed_once() -> None:
    """Two inputs: what follows from the second is read at several steps of the first, and has a name."""
    found = lifted(
        """(float[N,6] x, float[N,4] t) => (float[N,6] y) <float[4,6] w = {}, float[6,6] u = {}, float[6,6] v = {}> {
        e0 = MatMul(t, w)  e = Tanh(e0)  a0 = MatMul(x, u)  a = Mul(a0, e)  b0 = MatMul(a, v)  y = Add(b0, e) }"""
    )
    assert found.count("tanh") == 1
    assert "x1 = t -> linear(6, bias=false) -> tanh" in found or "x = t -> linear(6, bias=false) -> tanh" in found


def test_what_flows_is_named_for_a_later_operand() -> None:
    """`it` inside of an op's arguments is the value that flows into the op, not the one before."""
    text = """(float[N,4] r) => (float[N,4] y) <float[4,4] w = {}> {
        x = Tanh(r)  z = Constant <value = float {0.0}> ()  n = Constant <value = float {-1.0}> ()
        m = Greater(x, z)  a = MatMul(x, w)  y = Where(m, n, a) }"""
    found = lifted(text)
    assert "tanh as x\n  linear(4, bias=false) -> masked_fill(value=-1, mask = x -> greater(0))" in found
    assert "mask = r -> greater(0))" in lifted(text.replace("x = Tanh(r)", "x = Identity(r)"))


def test_inputs_are_taken_in_the_order_of_the_file() -> None:
    assert "a + b" in lifted("(float[N,4] a, float[N,4] b) => (float[N,4] y) { s = Add(a, b)  y = Relu(s) }")


def test_names_of_values_do_not_count() -> None:
    """They lie in sets, whose order is another in each process, and the results of one call have one place."""
    attend = "q, k, v = linear(24) -> chunk(3, axis=1)\n matmul(matmul(q * 0.3, k -> permute((1, 0))) -> softmax, v)"
    net = load(Source(f"net Net {{ input x [5, 8]\n repeat 3 {{ {attend}\n }}\n }}"))
    flat = _flat(file_of(net.onnx({k: v.numpy() for k, v in net.module(0).eval().state_dict().items()})))
    texts = {checked_text(_renamed(flat, prefix), "Net") for prefix in ("", "b", "zz", "n", "m", "p")}
    assert len(texts) == 1
    assert "repeat 3 {" in texts.pop()


def _renamed(flat: Lifted, prefix: str) -> Lifted:
    """The net with a prefix before the names of its values, but for the inputs'."""
    own = {v.name for v in flat.inputs}

    def named(values: Sequence[Value]) -> tuple[Value, ...]:
        return tuple(v if v.name in own else replace(v, name=prefix + v.name) for v in values)

    calls = tuple(replace(c, inputs=named(c.inputs), outputs=named(c.outputs)) for c in flat.calls)
    outputs = tuple(replace(o, value=named([o.value])[0]) for o in flat.outputs)
    return replace(flat, calls=calls, outputs=outputs)


def ladder(depth: int) -> str:
    """A U-Net over vectors: `depth` levels, of which each joins what went down with what came up."""
    down = "".join(f"d{i} = MatMul(h{i}, w) h{i + 1} = Relu(d{i}) " for i in range(depth))
    up = "".join(f"c{i} = Concat<axis = 1>(u{i + 1}, h{i}) u{i} = MatMul(c{i}, v) " for i in reversed(range(depth)))
    return (
        f"(float[N,4] x) => (float[N,4] y) <float[4,4] w = {{}}, float[8,4] v = {{}}> {{ h0 = Tanh(x) {down}"
        f"u{depth} = Tanh(h{depth}) {up} y = Relu(u0) }}"
    )


@pytest.mark.parametrize("depth", [2, 9])
def test_levels_stand_one_after_another(depth: int) -> None:
    """Deep levels are no braces in braces."""
    found = lifted(ladder(depth))
    assert max(len(line) - len(line.lstrip()) for line in found.splitlines()) <= 6, found


def test_no_variable_hides_that_of_a_loop_around_it() -> None:
    """What stands behind an inner loop still reads the variable of the outer one."""
    rows = [(2, 3, 5), (2, 3, 7), (4, 6, 11), (4, 6, 13)]
    layers = [term("op:linear", (("out_features", n),)) for row in rows for n in row]
    body = looped(seq(tuple(layers)), frozenset(("c", "c2")))
    names = [n for t in walk(body) if t.head == "for" for n in t.fields[0][1]]
    assert names
    assert {"c", "c2"}.isdisjoint(names)


@pytest.mark.parametrize(
    ("op", "said"),
    [
        ("Mul(c, w)", "unsqueeze(axis=1) -> it * param((1, 6))"),
        ("Add(w, c)", "unsqueeze(axis=1) -> expand((3, 6)) -> param((1, 6)) + it"),
        ("Sub(w, c)", "unsqueeze(axis=1) -> expand((3, 6)) -> param((1, 6)) - it"),
    ],
)
def test_numbers_along_an_axis_that_a_value_lacks(op: str, said: str) -> None:
    """The frequencies of a NeRF: each number of the input meets each of a vector."""
    cut = "i = Constant <value_ints = [2]> ()  c = Unsqueeze(x, i)"
    text = f"(float[N,3] x) => (float[N,3,6] y) <float[6] w = {{}}> {{ {cut}  y = {op} }}"
    assert said in lifted(text), lifted(text)


def test_last_states_that_nothing_reads() -> None:
    """torch's older exporter names all that a recurrent node can give."""
    text = """(float[N,L,3] x) => (float[N,L,4] z) <float[1,16,3] w = {}, float[1,16,4] r = {}> {
        t = Transpose <perm = [1, 0, 2]> (x)  y, h, c = LSTM <hidden_size = 4> (t, w, r)
        i = Constant <value_ints = [1]> ()  s = Squeeze(y, i)  z = Transpose <perm = [1, 0, 2]> (s) }"""
    assert "\n  lstm(4, bias=false) -> reshape" in lifted(text), lifted(text)
