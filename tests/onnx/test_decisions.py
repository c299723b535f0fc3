"""Outputs that jump: what decides is compared, what hangs on rounding is left out, and both are said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from onnx import ModelProto, numpy_helper
from onnx_nets import compiled, module_of
from torch import nn

from netdsl.backends.onnx.model import export
from netdsl.backends.onnx.session import Session
from netdsl.cli.main import main
from netdsl.ops import REGISTRY
from netdsl.render.cases import cases_data, verdict
from netdsl.verify.compare import Case, verify
from netdsl.verify.decisions import decisions, taps, undecided
from netdsl.verify.distance import GATE
from netdsl.verify.file import _apart
from netdsl.verify.reference import Reference
from netdsl.verify.sizes import At
from netdsl.verify.stress import state_of

BLOCK = "block Gate(d) { open = linear(d) -> greater(0.1) -> cast(float32)\n linear(d) * open }\n"
NETS = {
    "equal": "input x [3, 8]\n linear(5) -> equal(0)",
    "greater": "input x [3, 8]\n linear(5) -> relu -> greater(0)",
    "less": "input image [3, 8, 9]\n conv(4, 3) -> bn -> relu -> conv(2, 1) -> less(-1)",
    "argmax": "input image [3, H, W]\n conv(4, 3, stride=2) -> bn -> relu -> conv(5, 1) -> argmax",
    "topk": "input x [12]\n values, places = linear(20) -> topk(3)\n output values = values\n output places = places",
    "floor": "input x [6]\n linear(4) * 3 -> floor",
    "sign": "input x [6]\n linear(40) -> sign -> linear(3)",
    "hardshrink": "input x [6]\n linear(40) -> hardshrink(0.3) -> linear(3)",
    "threshold": "input x [6]\n linear(40) -> threshold(0.2, 1) -> linear(3)",
    "cast": "input x [6]\n linear(4) * 9 -> cast(int64)",
    "blocks": "input x [7, 16]\n repeat 3 { Gate(16) -> layernorm }\n linear(4)",
    "shared": "input x [6]\n share f = Gate(6)\n f -> f -> linear(2)",
    "codebook": "input x [8]\n codes = param((16, 8))\n"
    ' scores = einsum("d, k d -> k", x -> linear(8), codes)\n'
    " codes -> gather(index=scores -> argmax -> unsqueeze(axis=0)) -> linear(2)",
}


def cases_of(text: str, change: Callable[[ModelProto], None] | None = None) -> list[Case]:
    program = compiled(f"{BLOCK}net Net {{ {text} }}")

    def made(weights: Mapping[str, Any]) -> ModelProto:
        model = export(program, weights)
        if change:
            change(model)
        return model

    return verify(program, module_of(program), made, at=[At(2, _sizes(text)), At(3, _sizes(text))])


def _sizes(text: str) -> tuple[tuple[str, int], ...]:
    return (("H", 11), ("W", 14)) if "[3, H, W]" in text else ()


def scaled(model: ModelProto) -> None:
    """The first weight of several axes, larger by a hundredth: too little to change many decisions."""
    weight = next(t for t in model.graph.initializer if len(t.dims) > 1)
    array = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array((array * 1.01).astype(array.dtype), weight.name))


@pytest.mark.parametrize("name", NETS)
def test_what_decides_is_compared(name: str) -> None:
    found = cases_of(NETS[name])
    assert all(c.ok and c.deciding for c in found), found
    assert "the values that decide were compared too" in verdict(found, GATE)
    assert all(c["deciding"] for c in cases_data(found))


@pytest.mark.parametrize("name", NETS)
def test_a_mistake_that_changes_no_decision_is_found(name: str) -> None:
    assert not any(c.ok for c in cases_of(NETS[name], scaled) if c.weights == "stress")


def test_the_values_that_decide_are_those_that_the_ops_read() -> None:
    program = compiled(f"{BLOCK}net Net {{ {NETS['blocks']} }}")
    module = module_of(program)
    hangs = decisions(program, module)
    assert hangs is not None
    assert [p.rpartition(".")[2] for p in hangs.paths] == ["greater"] * 3
    assert len(taps(export(program, state_of(module)), hangs.paths)) == 3
    x = torch.randn(2, 7, 16)
    linears: list[torch.Tensor] = []
    hooks = [
        m.register_forward_hook(lambda m, i, o: linears.append(o)) for m in module.modules() if type(m) is nn.Linear
    ]
    module(x)
    for hook in hooks:
        hook.remove()
    for value, wanted in zip(hangs.values([x]), linears[:6:2], strict=True):
        torch.testing.assert_close(torch.tensor(value), wanted)


def test_a_net_without_decisions_has_none() -> None:
    program = compiled("net Net { input x [4] int64\n embed(9, 4) -> relu -> linear(2) }")
    assert decisions(program, module_of(program)) is None
    program = compiled("net Net { input x [4] int64\n equal(1) }")
    assert decisions(program, module_of(program)) is None


@pytest.mark.parametrize("kind", [k for k, op in REGISTRY.items() if op.jumps])
def test_ops_that_jump(kind: str) -> None:
    """The list is that of torch's functions whose derivative is zero, or undefined at a threshold."""
    assert kind in {
        "greater", "less", "equal", "argmax", "topk", "sign", "floor", "ceil", "cast", "threshold", "hardshrink",
    }  # fmt: skip


class Sum(nn.Module):
    """Sixty-three numbers, and one that rounding decides over: the sum of a softmax against 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.cat([x[:, 1:] * self.scale[1:], (x * self.scale).softmax(1).sum(1, keepdim=True)], 1)
        return y > 1


def test_where_rounding_decides() -> None:
    x = torch.linspace(-2, 2, 128).reshape(2, 64)
    module = Sum()
    with torch.inference_mode():
        outputs = [module(x).numpy()]
    (mask,) = undecided(module, [x], outputs)
    assert mask[:, -1].any()
    assert not mask[:, :-1].any()
    (exact,) = undecided(nn.Sequential(nn.ReLU(), nn.Threshold(0.5, 0)), [x], [nn.Threshold(0.5, 0)(x.relu()).numpy()])
    assert not exact.any()


def test_a_number_that_rounding_decides_over_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it differs, and said; where rounding decides over most of an output, nothing is verified."""
    text = "input x [64]\n scores = linear(64) -> softmax\n total = scores -> reduce_sum(axis=0, keepdims=true)\n"
    program = compiled(f"net Net {{ {text} concat(x, total) -> greater(1) }}")
    module = module_of(program)
    reference = Reference(program, module, At(4), 0)
    (mask,), (y,) = reference.undecided, reference.outputs
    assert mask[:, -1].any()
    assert not mask[:, :-1].any()
    (other,) = reference.decided([~y])
    assert (other == np.where(mask, y, ~y)).all()
    begin = Reference.__init__

    def turned(self: Reference, *args: Any) -> None:
        """What rounding decides over, decided otherwise."""
        begin(self, *args)
        self.outputs = [np.where(m, ~y, y) for m, y in zip(self.undecided, self.outputs, strict=True)]
        del self.__dict__["undecided"]

    monkeypatch.setattr(Reference, "__init__", turned)
    found = verify(program, module, lambda w: export(program, w), at=[At(4)])
    assert all(c.ok for c in found), found
    assert any(c.undecided for c in found)
    assert all(c.undecided <= 4 for c in found)
    assert "were not compared" in verdict(found, GATE)
    program = compiled(f"net Net {{ {text} total -> greater(1) }}")
    found = verify(program, module_of(program), lambda w: export(program, w), at=[At(4)])
    assert any("nothing is verified" in c.error for c in found)


def test_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("equal.net").write_text(f"net Net {{ {NETS['equal']} }}")
    assert main(["verify", "equal.net"]) == 0
    assert "the values that decide were compared too" in capsys.readouterr().out
    assert main(["verify", "equal.net", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["cases"]
    assert [(c["deciding"], c["undecided"]) for c in found[:2]] == [(15, 0)] * 2


class Shifted:
    """A session whose numbers are moved by a share of each, or all by a number."""

    def __init__(self, session: Session, share: float, number: float = 0.0) -> None:
        self.session, self.share, self.number = session, share, number

    def run(self, fed: dict[str, Any]) -> dict[str, Any]:
        moved = {name: x * np.float32(1 + self.share) for name, x in fed.items()}
        return {name: y + np.float32(self.number) for name, y in self.session.run(moved).items()}


def test_a_file_without_a_net_may_round_otherwise_where_it_jumps() -> None:
    """`floor` of thousands of numbers: some stand within rounding of a whole one. All being off by one is found."""
    program = compiled("net Net { input image [3, 40, 40]\n conv(16, 3) * 100 -> floor }")
    session = Session(export(program, state_of(module_of(program))).SerializeToString(), threads=1)
    fed = {"image": np.random.default_rng(0).normal(size=(2, 3, 40, 40)).astype(np.float32)}
    as_session = cast(Session, Shifted(session, 1e-6))
    difference, left_out = _apart(session, as_session, fed, GATE)
    assert difference <= GATE
    assert 0 < left_out < 2 * 16 * 1600 * 0.1
    assert _apart(session, session, fed, GATE) == (0, 0)
    assert _apart(session, cast(Session, Shifted(session, 0.0, 1.0)), fed, GATE)[0] > GATE
    assert _apart(session, cast(Session, Shifted(session, 1e-2)), fed, GATE)[0] > GATE
