"""PyTorch modules and `.pt2` files, exported in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch_nets import built

import netdsl
from netdsl.cli.main import main
from netdsl.lift.exported import exported
from netdsl.lift.model import LiftError
from netdsl.verify.distance import distance


@pytest.mark.slow
def test_a_module(tmp_path: Path) -> None:
    """The spec of a module, filled, computes what the module computes; the module is left as it was."""
    net, x = built("resnet")
    found = netdsl.from_torch(net.train(), x, name="Small")
    assert net.training
    same = netdsl.load(netdsl.Source(found.text)).module().eval()
    same.load_state_dict({k: torch.tensor(v) for k, v in found.state.items()})
    with torch.inference_mode():
        assert distance([net.eval()(x).numpy()], [same(x).numpy()]) < 1e-5
    assert sum(p.numel() for p in same.parameters()) == sum(p.numel() for p in net.parameters())


@pytest.mark.slow
def test_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, x = built("vgg")
    path = str(tmp_path / "net.pt2")
    torch.export.save(torch.export.export(net, (x,)), path)
    assert main(["lift", path]) == 0
    assert "for c in [16, 32] {" in capsys.readouterr().out


def test_no_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.pt2"
    assert main(["lift", str(path)]) == 2
    path.write_bytes(b"PK\x03\x04 and nothing else")
    assert main(["lift", str(path)]) == 1
    assert "error[not-liftable]" in capsys.readouterr().err


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_module_that_branches_over_values() -> None:
    with pytest.raises(LiftError, match="torch cannot export the module: "):
        exported(Branching(), [torch.ones(2, 3)])


def test_inputs_in_a_tuple() -> None:
    with pytest.raises(LiftError, match="one argument each, not with a tuple"):
        netdsl.from_torch(nn.Linear(2, 2), (torch.zeros(1, 2),))  # type: ignore[arg-type]
