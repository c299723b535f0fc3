"""Random well-typed specs, as text: what the laws are tested on."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

WIDTHS = st.sampled_from([2, 3, 4, 6, 8])
ACTIVATIONS = st.sampled_from(["relu", "gelu", "silu", "hardswish", "tanh", "leaky_relu(0.1)", "prelu", "elu"])
NORMS = st.sampled_from(["bn", "layernorm", "groupnorm(1)", "instancenorm", "bn(eps=1e-3)"])
SAME_SHAPE = st.one_of(
    ACTIVATIONS,
    NORMS,
    st.builds("dwconv({})".format, st.sampled_from([1, 3, 5])),
    st.sampled_from(["maxpool(3, stride=1, padding=1)", "dropout(0.2)", "Gate(2)", "it * 0.5 + 1", "scale(0.1)"]),
)


@st.composite
def convolutions(draw: Any) -> str:
    kernel = draw(st.sampled_from([1, 3, 5]))
    options = draw(
        st.lists(
            st.sampled_from(["stride=2", "bias=false", "padding=1", "dilation=2", "padding_mode=replicate"]),
            max_size=2,
            unique=True,
        )
    )
    return f"conv({', '.join([str(draw(WIDTHS)), str(kernel), *options])})"


POOLS = st.sampled_from(
    ["maxpool(2)", "avgpool(2)", "maxpool(3, stride=2, padding=1, ceil_mode=true)", "avgpool(3, stride=2)"]
)


@st.composite
def links(draw: Any) -> str:
    """A residual link, with a projection where the branch changes the shape."""
    body = " -> ".join(draw(st.lists(SAME_SHAPE, min_size=1, max_size=3)))
    if draw(st.booleans()):
        scale = draw(st.sampled_from(["", "(scale=1e-2)", "(drop_path=0.1)"]))
        return f"residual{scale} {{ {body} }}"
    width, stride = draw(WIDTHS), draw(st.sampled_from([1, 2]))
    branch = f"conv({width}, 3, stride={stride}) -> {body}"
    return f"residual(shortcut=conv({width}, 1, stride={stride})) {{ {branch} }}"


@st.composite
def joins(draw: Any) -> str:
    branches = [draw(convolutions().filter(lambda c: "stride" not in c and "padding=" not in c)) for _ in range(2)]
    return f"concat(it, {', '.join(branches)})"


PIECES = st.one_of(
    convolutions(),
    SAME_SHAPE,
    links(),
    joins(),
    POOLS,
    st.builds("Unit({}, {})".format, WIDTHS, st.sampled_from([1, 2])),
)


@st.composite
def statements(draw: Any) -> str:
    piece = draw(PIECES)
    form = draw(st.sampled_from(["plain", "plain", "label", "repeat", "for", "share", "tap"]))
    if form == "label":
        return f"part: {{ {piece} -> {draw(ACTIVATIONS)} }}"
    if form == "repeat":
        return f"repeat 2 {{ {draw(SAME_SHAPE)} }}"
    if form == "for":
        return f"steps: for c in [3, 4] {{ conv(c, 3) -> {draw(SAME_SHAPE)} }}"
    if form == "share":
        return f"share f = dwconv(3) -> {draw(ACTIVATIONS)}\n  f -> f"
    if form == "tap":
        return f"tap = it\n  {draw(SAME_SHAPE)} -> it + tap"
    return str(piece)


@st.composite
def specs(draw: Any, symbolic: bool | None = None) -> str:
    """A net over an image, fixed or of any size, that ends in a vector or in a map."""
    named = draw(st.booleans()) if symbolic is None else symbolic
    sizes = "H, W" if named else f"{draw(st.integers(9, 14))}, {draw(st.integers(9, 14))}"
    lines: list[str] = []
    for statement in draw(st.lists(statements(), min_size=1, max_size=5)):
        word = statement.split(":")[0]
        once = word in ("part", "steps") or statement.startswith("share")
        if not (once and any(line.split(":")[0] == word or line[:5] == statement[:5] for line in lines)):
            lines.append(statement)
    if draw(st.booleans()):
        lines.append("head: gap -> linear(5)")
    body = "\n  ".join(lines)
    return f"""\
block Gate(r): [C, H, W] -> [C, H, W] = it * (gap -> linear(C // r + 1) -> relu -> linear(C) -> sigmoid)

block Unit(c, stride=1) {{
  conv(c, 3, stride=stride, bias=false) -> bn -> relu
  residual {{ conv(c, 1) -> bn }}
}}

net Generated {{
  input image [{draw(st.sampled_from([1, 2, 4]))}, {sizes}]

  {body}
}}
"""
