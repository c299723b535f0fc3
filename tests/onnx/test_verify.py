"""Verification finds what is wrong with an export: each mutation is a mistake that exporters have made."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper
from onnx_nets import compiled, module_of, zoo

from netdsl.backends.onnx.file import save
from netdsl.backends.onnx.model import export
from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.render.cases import cases_data, render_cases, verdict
from netdsl.verify import sizes
from netdsl.verify.compare import Case, VerificationError, compared, record, verified_model, verify
from netdsl.verify.distance import GATE, distance
from netdsl.verify.file import verify_file
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.reference import Reference
from netdsl.verify.sizes import At, choose, index_limit
from netdsl.verify.stress import state_of, stress

TEXT = """
block Block(d) { residual(scale=1e-6) { dwconv(3) -> layernorm(eps=1e-6) -> linear(2 * d) -> gelu -> linear(d) } }
net Net {
  input x [3, H, W]
  conv(8, 3, stride=2, bias=false) -> bn -> relu
  repeat 2 { Block(8) }
  groupnorm(4) -> gap -> linear(5)
}"""

Mutation = Callable[[ModelProto], None]


@cache
def program() -> Program:
    return compiled(TEXT)


@cache
def module() -> torch.nn.Module:
    return module_of(program())


def cases_with(mutation: Mutation, text: str | None = None, opset: int = 20) -> list[Case]:
    net = compiled(text) if text else program()

    def mutated(weights: Mapping[str, Any]) -> ModelProto:
        model = export(net, weights, opset=opset)
        mutation(model)
        return model

    at = [At(1, (("H", 17), ("W", 12))), At(2, (("H", 12), ("W", 20)))] if net is program() else None
    return verify(net, module() if net is program() else module_of(net), mutated, at=at)


def first(model: ModelProto, op_type: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if n.op_type == op_type)


def test_a_right_model_passes_far_below_the_gate() -> None:
    cases = cases_with(lambda model: None)
    assert all(c.ok for c in cases)
    assert max(c.difference for c in cases) < 2e-6
    assert {(c.weights, c.optimised) for c in cases} == {(w, o) for w in ("stress", "real") for o in (False, True)}
    assert {c.batch for c in cases} == {1, 2}


def test_the_stress_copy_and_its_model_are_gone_before_the_model_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verified export holds the weights as few times as can be."""
    twins: list[Any] = []
    models: list[ModelProto] = []
    held: list[tuple[int, bool]] = []

    def watched(*given: Any) -> torch.nn.Module:
        twin = stress(*given)
        twins.append(weakref.ref(twin))
        return twin

    def make(weights: Mapping[str, Any]) -> ModelProto:
        held.append((sum(sys.getrefcount(m) - 3 for m in models), any(t() is not None for t in twins)))
        models.append(export(program(), weights))
        return models[-1]

    monkeypatch.setattr("netdsl.verify.compare.stress", watched)
    cases, model = verified_model(program(), module(), make, at=[At(1, (("H", 17), ("W", 12)))])
    assert held == [(0, True), (0, False)]
    assert model is models[1]
    assert all(c.ok for c in cases)


def wrong_activation(model: ModelProto) -> None:
    first(model, "Gelu").op_type = "Relu"


def approximate_activation(model: ModelProto) -> None:
    node = first(model, "Gelu")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("approximate", "tanh"))


def wrong_epsilon(model: ModelProto) -> None:
    node = first(model, "LayerNormalization")
    next(a for a in node.attribute if a.name == "epsilon").f = 1e-3


def slightly_wrong_epsilon(model: ModelProto) -> None:
    node = first(model, "LayerNormalization")
    next(a for a in node.attribute if a.name == "epsilon").f = 1e-4


def swapped_weights(model: ModelProto) -> None:
    one, other = [n for n in model.graph.node if n.op_type == "LayerNormalization"]
    one.input[1], other.input[1] = other.input[1], one.input[1]


def transposed_image(model: ModelProto) -> None:
    back = [n for n in model.graph.node if n.op_type == "Transpose"][1]
    back.attribute[0].ints[:] = [0, 3, 2, 1]


def lost_residual(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Add")
    node.input[0] = node.input[1]


def ignored_padding(model: ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "Conv" and list(n.attribute[2].ints) == [1, 1, 1, 1])
    node.attribute[2].ints[:] = [0, 0, 2, 2]


def unknown_node(model: ModelProto) -> None:
    first(model, "Relu").op_type = "Rectify"


def frozen_batch(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


MUTATIONS = [
    wrong_activation, approximate_activation, wrong_epsilon, slightly_wrong_epsilon, swapped_weights,
    transposed_image, lost_residual, ignored_padding, unknown_node, frozen_batch,
]  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_the_gate_catches(mutation: Mutation) -> None:
    cases = cases_with(mutation)
    assert not all(c.ok for c in cases if c.weights == "stress")


def test_the_gate_catches_a_forgotten_layer_scale() -> None:
    """On the real weights the branch is a millionth of the signal: only the stress copy shows it."""
    without = compiled(TEXT.replace("residual(scale=1e-6)", "residual"))

    def forgetful(weights: Mapping[str, Any]) -> ModelProto:
        return export(without, weights, opset=20)

    cases = verify(program(), module(), forgetful, at=[At(2, (("H", 12), ("W", 20)))])
    assert min(c.difference for c in cases if c.weights == "stress") > 1e-2


def test_the_gate_catches_a_wrong_epsilon_of_a_folded_norm() -> None:
    wrong = compiled(TEXT.replace("-> bn ->", "-> bn(eps=1e-3) ->"))
    cases = verify(program(), module(), lambda w: export(wrong, w), at=[At(2, (("H", 12), ("W", 20)))])
    assert not any(c.ok for c in cases if c.weights == "stress")


def test_a_net_that_rounding_moves_is_held_to_what_torch_itself_reaches() -> None:
    """The difference of two nearly equal values: torch in single precision is far from torch in double precision."""
    text = """net Net {
      input x [512]
      share f = linear(512)
      a = f -> sigmoid
      b = it * 1.01 -> f -> sigmoid
      a - b
    }"""
    net = compiled(text)
    cases = verify(net, module_of(net), lambda w: export(net, w), at=[At(2)])
    assert all(c.ok for c in cases)
    assert max(c.accepted for c in cases) > GATE
    assert max(c.difference for c in cases) > GATE


def test_zeros_verify_nothing() -> None:
    text = 'net Net { input x [3]\n linear(4) -> relu -> scalar("*", 0) }'
    net = compiled(text)
    cases = verify(net, module_of(net), lambda w: export(net, w), at=[At(1)])
    assert [c.ok for c in cases if c.weights == "stress"] == [False, False]
    assert "zeros" in cases[0].error


def test_an_exporter_that_fails_is_a_failed_case() -> None:
    cases = verify(program(), module(), lambda w: export(program(), {}), at=[At(1, (("H", 9), ("W", 9)))])
    assert not any(c.ok for c in cases)
    assert "ExportError" in cases[0].error
    assert "4 of 4" in str(VerificationError(cases))


def test_a_stress_copy_is_random_everywhere_and_of_order_one() -> None:
    net = zoo("convnext", "ConvNeXt_T")
    copy = stress(net, module_of(net), draw_inputs(net, 1, {}, seed=0))
    before, after = module_of(net).state_dict(), copy.state_dict()
    assert all(not torch.equal(before[k], after[k]) for k in before)
    assert after["stages.0.0.scale.gamma"].min() > 0.4
    with torch.inference_mode():
        y = copy(*draw_inputs(net, 2, {}, seed=1))
    assert 0.05 < y.std() < 20
    assert not torch.equal(y[0], y[1])


def test_the_record_holds_no_measured_numbers() -> None:
    cases = cases_with(lambda model: None)
    noise = [Case(c.batch, c.sizes, c.optimised, c.weights, c.difference / 2, c.ok) for c in cases]
    assert record(cases) == record(noise)
    assert record(cases)["gate"] == GATE
    assert record(cases)["at"] == [{"N": 1, "H": 17, "W": 12}, {"N": 2, "H": 12, "W": 20}]


def saved(folder: Path, mutation: Mutation | None = None) -> Path:
    model = export(program(), state_of(module()), opset=20)
    if mutation:
        mutation(model)
    save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_a_file_is_verified_against_its_net(tmp_path: Path) -> None:
    path = saved(tmp_path)
    fresh = module_of(program(), seed=5)
    cases = verify_file(path, program(), fresh)
    assert all(c.ok for c in cases)
    assert {c.weights for c in cases} == {"stress", "file"}
    cases = verify_file(path, program(), module(), trained=True)
    assert all(c.ok for c in cases)
    assert not all(c.ok for c in verify_file(path, program(), fresh, trained=True))


@pytest.mark.parametrize("mutation", [wrong_activation, slightly_wrong_epsilon, swapped_weights, unknown_node])
def test_a_changed_file_is_found_out(mutation: Mutation, tmp_path: Path) -> None:
    cases = verify_file(saved(tmp_path, mutation), program(), module_of(program(), seed=5))
    assert not all(c.ok for c in cases)


def test_a_file_of_another_net_is_found_out(tmp_path: Path) -> None:
    other = compiled(TEXT.replace("linear(5)", "linear(6)"))
    cases = verify_file(saved(tmp_path), other, module_of(other))
    assert "not made from this net" in cases[0].error


def test_a_file_without_a_net_must_agree_with_itself(tmp_path: Path) -> None:
    assert all(c.ok for c in verify_file(saved(tmp_path)))
    cases = verify_file(saved(tmp_path, unknown_node))
    assert not any(c.ok for c in cases)
    assert "Rectify" in cases[0].error


def test_weights_of_integers_keep_their_values() -> None:
    """Counters and index tables are no numbers to be drawn at random."""
    net = zoo("resnet_cifar", None)
    copy = stress(net, module_of(net), draw_inputs(net, 1, {}, seed=0))
    counters = [v for k, v in copy.state_dict().items() if k.endswith("num_batches_tracked")]
    assert counters
    assert all(v == 0 for v in counters)


def test_numpy_round_trip_of_scalars() -> None:
    """A scalar constant keeps rank 0."""
    model = export(compiled("net Net { input x [3]\n gelu }"), {}, opset=18)
    assert all(numpy_helper.to_array(t).shape == () for t in model.graph.initializer)
    assert np.isclose(numpy_helper.to_array(model.graph.initializer[0]), 2**0.5)


def test_whole_numbers_are_in_range_for_what_reads_them() -> None:
    text = """net Net {
      input x [V, 4]
      input edges [2, E] int64
      source = edges -> take(0)
      target = edges -> take(1)
      x -> gather(index=source) -> linear(3) -> scatter(index=target, size=V)
    }"""
    net = compiled(text)
    assert index_limit(net, "edges", {"V": 9, "E": 5}) == 9
    assert all(c.ok for c in verify(net, module_of(net), lambda w: export(net, w)))
    assert index_limit(compiled("net Net { input x [L] int64\n embed(7, 4) }"), "x", {"L": 3}) == 7


def test_a_number_that_happens_to_be_near_zero_is_no_mistake() -> None:
    """Its rounding error is that of the large numbers it is the sum of."""
    net = compiled("net Net {\n input x [512]\n linear(512) -> relu -> linear(512) -> relu -> linear(1)\n}")
    own = module_of(net).eval()
    point = At(1, ())
    (x,) = draw_inputs(net, 1, {}, seed=0)
    with torch.no_grad():
        list(own.parameters())[-1].sub_(own(x)[0] * 0.99999)
    model = export(net, state_of(own))
    (first_case, *_) = compared(net, own, model, [point], "real", GATE)
    found = Reference(net, own, point, 0)
    session = Session(model.SerializeToString(), threads=1, optimised=False)
    apart = distance(found.outputs, list(session.run(found.feed).values()))
    assert apart > GATE > first_case.difference
    assert first_case.ok


def test_a_gate_that_was_widened_says_so() -> None:
    """Bilinear resizing with corners aligned: both frameworks round positions in their own way."""
    net = compiled("net Net { input x [1, 270, 480]\n upsample(size=(180, 320), mode=bilinear, align_corners=true) }")
    cases = verify(net, module_of(net), lambda weights: export(net, weights), at=[At(1)])
    assert all(c.ok and c.widened and c.accepted > GATE for c in cases)
    text = verdict(cases, GATE)
    assert "agree" not in text
    assert "above the gate of 1e-05" in text
    assert "accepted" in render_cases(cases)
    assert cases_data(cases)[0]["accepted"] == cases[0].accepted
    assert record(cases)["widened"]


def test_a_gate_that_was_kept_is_said_to_be() -> None:
    cases = cases_with(lambda model: None)
    assert verdict(cases, GATE).startswith(f"all {len(cases)} cases agree")
    assert {row["accepted"] for row in cases_data(cases)} == {GATE}
    assert not record(cases)["widened"]


def test_large_samples_are_verified_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap nets of large images: work would allow five cases, which hold fifteen images and their values."""
    net = "net Net {{ input x [3, {0}, {0}]\n conv(8, 3) -> relu -> conv(2, 1) }}"
    assert [at.batch for at in choose(compiled(net.format(64)))] == [1, 2, 3, 4, 5]
    large = compiled(net.format(2048))
    assert [at.batch for at in choose(large)] == [1, 2]
    assert sizes.at_once(large, {}) == 1

    small = compiled(net.format(16))
    whole = Reference(small, module_of(small), At(5), 0)
    monkeypatch.setattr(sizes, "MEMORY", 4 * 2 * 8 * 16 * 16 * 4)  # of two samples' largest values, and copies of them
    assert sizes.at_once(small, {}) == 2
    parts = Reference(small, module_of(small), At(5), 0)
    for one, other in zip(whole.outputs, parts.outputs, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
