"""Signals of nets at their start against closed forms and numpy."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from probing import subject
from zoo_tables import spec, specs

from netdsl.analysis.count import totals
from netdsl.diagnostics.diagnostic import Fault
from netdsl.probe import shatter as shattering
from netdsl.probe.dead import dead
from netdsl.probe.field import field
from netdsl.probe.model import Finding
from netdsl.probe.shatter import correlation, shatter
from netdsl.probe.signal import course, rate, signal
from netdsl.probe.signals import probe
from netdsl.probe.spectrum import edges, spectrum
from netdsl.probe.subject import Subject, of_known_sizes, with_init
from netdsl.recipe.schema import Recipe

DEEP = """
net Plain(depth=30) {
  input x [256]
  repeat depth { linear(256, bias=false) -> relu }
}
net Summed(depth=20) {
  input x [256]
  repeat depth { residual { relu -> linear(256, bias=false) } }
}
net Normed(depth=20) {
  input x [256]
  repeat depth { residual { layernorm -> linear(256, bias=false) } }
}
net Line(depth) {
  input x [1, 40, 40]
  repeat depth { conv(6, 3, bias=false) }
}
net Wide(depth, width=100) {
  input x [1]
  repeat depth { linear(width) -> bn -> relu }
  linear(1)
}
net Linked(depth, width=100) {
  input x [1]
  linear(width)
  repeat depth { residual(scale=0.1) { bn -> relu -> linear(width) } }
  linear(1)
}
"""


def column(found: Finding, name: str) -> list[Any]:
    return [row[found.columns.index(name)] for row in found.rows]


def variances(name: str, kind: str, init: str) -> tuple[list[float], list[float]]:
    """Measured and expected variances of the ops of a kind."""
    made = subject(DEEP, name)
    found = signal(made, [("", with_init(made, init))])
    rows = [r for r in found.rows if r[found.columns.index("op")] == kind]
    at = [found.columns.index(c) for c in ("variance", "expected")]
    return [r[at[0]] for r in rows], [r[at[1]] for r in rows]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "kind", "init", "factor"),
    [
        ("Plain", "linear", "kaiming", 1.0),
        ("Plain", "linear", "xavier", 0.5),
        ("Plain", "linear", "pytorch", 1 / 6),
        ("Summed", "add", "kaiming", 2.0),
    ],
)
def test_the_variance_follows_the_closed_forms(name: str, kind: str, init: str, factor: float) -> None:
    found, expected = variances(name, kind, init)
    assert rate(found) == pytest.approx(factor, rel=0.06)
    assert rate(expected) == pytest.approx(factor, rel=0.02)


def test_normed_branches_add_one_each() -> None:
    found, expected = variances("Normed", "add", "kaiming(nonlinearity=linear)")
    for line, within in ((found, 0.15), (expected, 0.02)):
        assert (line[-1] - line[0]) / (len(line) - 1) == pytest.approx(1.0, rel=within)
    forward, backward = signal(subject(DEEP, "Normed"), []).said
    assert re.search(r"the variance adds up: \+\S+ a residual sum .*; by theory \+", forward), forward
    assert "grows as 1/depth" in backward


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ([1.0 + i for i in range(8)], "adds up: +1 a layer"),
        ([1.0 + i for i in range(80)], "adds up: +1 a layer"),
        ([8 / (8 - i) for i in range(8)], "grows as 1/depth"),
        ([1.3**i for i in range(8)], "holds: x1.3 a layer"),
        ([1.3**i for i in range(12)], "grows: x1.3 a layer"),
        ([1 + i / 100 for i in range(20)], "holds: x1.01 a layer"),
        ([0.5**i for i in range(12)], "fades: x0.5 a layer"),
    ],
)
def test_steps_and_factors_are_told_apart(numbers: list[float], word: str) -> None:
    assert f"it {word}" in course("it", "layer", len(numbers), numbers)


def test_theory_tells_steps_from_factors_where_it_is_known() -> None:
    numbers = [8 / (8 - i) for i in range(6)]
    assert "it holds: x1.22 a layer" in course("it", "layer", 6, numbers, adds=False)
    assert "it adds up: +0.333 a layer" in course("it", "layer", 6, numbers, adds=True)


def test_the_words_say_what_the_numbers_say() -> None:
    made = subject(DEEP, "Plain")
    found = signal(made, [(i, with_init(made, i)) for i in ("xavier", "kaiming")])
    assert any(line.startswith("xavier: the variance fades") and "by theory x0.5" in line for line in found.said)
    assert any(line.startswith("kaiming: the variance holds") for line in found.said)
    assert set(found.plots[0].series) == {"xavier", "xavier by theory", "kaiming", "kaiming by theory"}


@pytest.mark.parametrize("act", ["relu", "leaky_relu", "elu", "hardtanh", "mish", "prelu"])
def test_depth_is_counted_by_layers_with_weights_whatever_acts(act: str) -> None:
    text = f"net N {{ input x [64]\n repeat 9 {{ linear(64, bias=false) -> {act} }} }}"
    forward, _ = signal(subject(text, "N"), []).said
    assert re.search("(a layer|layers?) over 8 layers", forward), forward


def test_theory_holds_along_a_whole_net() -> None:
    text = """
net N {
  input x [3, 16, 16]
  conv(32, 3) -> bn -> gelu
  a = conv(32, 3, bias=false)
  b = conv(32, 1, bias=false)
  concat(a, b) -> tanh -> conv(64, 3, stride=2) -> groupnorm(4) -> silu -> flatten -> linear(50) -> sigmoid
}
"""
    found = signal(subject(text, init="kaiming"), [])
    pairs = [(v, e) for v, e in zip(column(found, "variance"), column(found, "expected"), strict=True)]
    assert all(e == pytest.approx(v, rel=0.25) for v, e in pairs)
    assert len(pairs) == 11


def test_the_effective_field_of_a_sequence() -> None:
    """Six convolutions of three taps: a deviation of sqrt(2 * 6 / 3)."""
    text = "net N {\n  input wave [2, 64]\n  repeat 6 { conv(16, 3) }\n  gap -> linear(3)\n}"
    cell = next(row[1] for row in field(subject(text, "N")).rows if row[0] == "deviation")
    assert cell == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("depth", [4, 12])
def test_the_effective_field_is_as_wide_as_theory_says(depth: int) -> None:
    found = field(subject(DEEP, "Line", depth=depth))
    values = dict(zip(column(found, ""), column(found, "measured"), strict=True))
    expected = dict(zip(column(found, ""), column(found, "expected"), strict=True))
    assert expected["deviation"] == pytest.approx(math.sqrt(2 * depth / 3))
    assert values["deviation"] == pytest.approx(math.sqrt(2 * depth / 3), rel=0.06)
    assert values["pixels reached"] == expected["pixels reached"] == 2 * depth + 1


def test_correlations_are_numpys() -> None:
    g = torch.randn(200, generator=torch.Generator().manual_seed(0)).cumsum(0)
    centred = g.numpy().astype(float) - g.numpy().astype(float).mean()
    full = np.correlate(centred, centred, "full")[199:215]
    np.testing.assert_allclose(correlation(g).numpy(), full / full[0], rtol=1e-6)


def test_shattering_is_that_of_slopes_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """In numpy: the slope of a net of one number, by the chain rule, and how it correlates over the distance."""
    monkeypatch.setattr(shattering, "NETS", 3)
    made = subject("net N { input x [1]\n linear(40) -> relu -> linear(30) -> tanh -> linear(1) }")
    t = np.linspace(-2, 2, 256)
    every = []
    for seed in range(3):
        weights = [p.detach().double().numpy() for p in made.module(seed).parameters()]
        first, second, third = weights[0::2]
        h = t[:, None] * first.T + weights[1]
        slope = (h > 0) * first.T
        k = np.maximum(h, 0) @ second.T + weights[3]
        slope = (slope @ second.T) * (1 - np.tanh(k) ** 2) @ third[0]
        full = np.correlate(slope - slope.mean(), slope - slope.mean(), "full")[255 : 255 + 16]
        every.append(full / full[0])
    np.testing.assert_allclose(column(shatter(made), "the net"), np.mean(every, 0), rtol=1e-6)


@pytest.mark.slow
def test_plain_nets_shatter_and_residual_ones_do_not() -> None:
    lag = {d: column(shatter(subject(DEEP, "Wide", "kaiming", depth=d)), "the net")[1] for d in (7, 24)}
    linked = column(shatter(subject(DEEP, "Linked", "kaiming", depth=50)), "the net")[1]
    assert lag[7] == pytest.approx(0.56, abs=0.2)
    assert abs(lag[24]) < 0.15
    assert linked == pytest.approx(0.92, abs=0.1)


def test_a_deep_plain_net_is_called_shattered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shattering, "NETS", 2)
    assert "shattered" in shatter(subject(DEEP, "Wide", "kaiming", depth=24)).said[0]
    assert "smooth" in shatter(subject(DEEP, "Wide", "kaiming", depth=1)).said[0]


def test_spectra_are_numpys() -> None:
    made = subject("net N {\n  input x [3, 8, 8]\n  conv(6, 3) -> flatten -> linear(7)\n}")
    found = spectrum(made)
    for name, tensor in made.module().named_parameters():
        if tensor.ndim > 1:
            values = np.linalg.svd(tensor.detach().numpy().reshape(tensor.shape[0], -1), compute_uv=False)
            (row,) = (r for r in found.rows if r[0] == name)
            assert row[2:4] == pytest.approx((values[0], values[-1]), rel=1e-4)
            assert row[7] == pytest.approx((values**2).sum() / values[0] ** 2, rel=1e-4)


def test_of_large_matrices_the_largest_value_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made = subject("net N {\n  input x [30]\n  linear(40)\n}")
    (exact,) = spectrum(made).rows
    monkeypatch.setattr("netdsl.probe.spectrum.LARGE", 10)
    (found,) = spectrum(made).rows
    assert found[2] == pytest.approx(exact[2], rel=1e-2)
    assert found[3] is None
    assert found[7] == pytest.approx(exact[7], rel=2e-2)


def test_random_numbers_end_at_the_edges() -> None:
    matrix = torch.randn(300, 800, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svdvals(matrix)
    assert edges(matrix) == pytest.approx((values[-1].item(), values[0].item()), rel=0.03)


def test_dead_units_are_counted() -> None:
    text = "net N {\n  input image [1, 8, 8]\n  flatten -> linear(10) -> relu -> linear(10)\n}"
    made = subject(text)
    module = made.module()
    with torch.no_grad():
        module.get_parameter("linear1.bias")[:4] = -1000.0
        module.get_parameter("linear1.bias")[4:6] = 1000.0
    found = dead(replace(made, trained=module))
    (row,) = found.rows
    assert row[:2] == ("relu", 10)
    assert row[2] == pytest.approx(0.4)
    assert row[3] >= 0.2
    assert found.said[0].startswith("40.0% of 10 units are 0")


@pytest.mark.parametrize(
    ("look", "body", "said"),
    [
        (dead, "flatten -> linear(10) -> tanh", "has no ReLU"),
        (field, "flatten -> linear(10)", "has no map"),
        (spectrum, "relu", "has no matrix of weights"),
    ],
)
def test_what_a_net_has_no_place_for_is_refused(look: Any, body: str, said: str) -> None:
    with pytest.raises(Fault) as refused:
        look(subject(f"net N {{\n  input image [1, 8, 8]\n  {body}\n}}"))
    assert said in refused.value.diagnostic.message


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in specs()])
def test_every_net_of_the_zoo_can_be_looked_at(name: str) -> None:
    for net in spec(name).nets[-1:]:
        known = of_known_sizes(spec(name).net(net))
        macs = totals(known.checked.main).macs
        if isinstance(macs, int) and macs > 3e9:
            continue
        made = Subject(known, Recipe(), Path(), samples=2)
        found = probe(made, ()).findings
        assert found[0].signal == "signal"
        assert all(f.said for f in found)


def test_elbows_are_counted_up_to_a_place(tmp_path: Path) -> None:
    rows = "\n".join(f"{i / 10},{i}" for i in range(-10, 11))
    (tmp_path / "a.csv").write_text(f"x,y\n{rows}\n")
    data = f'csv("{tmp_path}/a.csv", target="y", hold_out=0.1)'
    net = "net N { input x [1]\n linear(40) -> relu -> linear(1) }"
    text = f"{net}\nrecipe R for N {{ data = {data}\n loss = mse\n standardize = none }}"
    made = subject(text)
    module = made.module()
    found = dead(replace(made, trained=module))
    weight, bias = (p.detach().flatten() for p in list(module.parameters())[:2])
    places = (-bias / weight).numpy()
    (plot,) = found.plots  # one ReLU alone has no curve over ReLUs
    for x, share in plot.series["elbows"]:
        assert share == pytest.approx((places <= x).mean(), abs=1e-6)
    (said,) = (line for line in found.said if " elbows of " in line)
    assert said.startswith(f"{((places >= -1) & (places <= 1)).mean():.1%} of the 40 elbows")


def test_samples_of_sorted_data_are_from_all_of_it(tmp_path: Path) -> None:
    rows = "\n".join(f"{x:.4f},{x:.4f}" for x in np.linspace(-1, 1, 500))
    (tmp_path / "a.csv").write_text(f"x,y\n{rows}\n")
    data = f'csv("{tmp_path}/a.csv", target="y", hold_out=0.1)'
    net = "net N { input x [1]\n linear(40) -> relu -> linear(1) }"
    made = subject(f"{net}\nrecipe R for N {{ data = {data}\n loss = mse\n standardize = none }}")
    _, (x, *_), _ = replace(made, samples=16).data()
    assert len(x) == 16
    assert x.min() < -0.9
    assert x.max() > 0.8
    assert x.diff(dim=0).max() < 0.3
