"""`init = weights(FILE, into="backbone")`: a part of a net from the file of the net that it was taken from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from safetensors.torch import save_file

from netdsl.diagnostics.diagnostic import UserError
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.planning.initialization import NetParameters
from netdsl.source import Source
from netdsl.training.initialize import Start, initialize

TEXT = """
from resnet import ResNet18

net Pyramid {
  input image [3, H, W]
  backbone: c4, c5 = taps(ResNet18, "stages.2", "stages.3")
  concat(c4, c5 -> upsample(like=c4)) -> conv(8, 1)
}
net Whole = ResNet18
"""


def net(name: str) -> Net:
    return Spec(Source(TEXT, "a.net"), read_import).net(name)


def started(folder: Path, text: str) -> Any:
    found = net("Pyramid")
    module = found.module(seed=0)
    start = Start(module, NetParameters.of(found.checked), folder, found.checked)
    return module, initialize(recipe(f"init = {text}").init, start)


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_backbone_comes_from_the_file_of_the_whole_net(tmp_path: Path, prefix: str) -> None:
    whole = net("Whole").module(seed=5)
    save_file({f"{prefix}{k}": v for k, v in whole.state_dict().items()}, tmp_path / "whole.safetensors")
    fresh = net("Pyramid").module(seed=0).state_dict()
    module, _ = started(tmp_path, 'weights("whole.safetensors", into="backbone")')
    state, source = module.state_dict(), whole.state_dict()
    assert all(torch.equal(v, source[k.removeprefix("backbone.")]) for k, v in state.items() if k[:9] == "backbone.")
    assert all(torch.equal(state[k], fresh[k]) for k in state if k[:9] != "backbone.")


def test_a_part_that_is_not_there(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "whole.safetensors")
    with pytest.raises(UserError, match="the net has no part `trunk`"):
        started(tmp_path, 'weights("whole.safetensors", into="trunk")')


PLAIN = Spec(
    Source("net N {\n  input x [1, 8, 8]\n  conv(4, 3) -> bn -> gap -> linear(4) -> relu -> linear(4)\n}\n"),
    read_import,
).net("N")


def test_a_recipe_takes_the_rules_of_the_command(tmp_path: Path) -> None:
    """The same words with the same meaning: `--inside`, `--exclude`, `--map`, `--channels`."""
    layers = {"a": torch.nn.Conv2d(3, 4, 3), "b": torch.nn.BatchNorm2d(4), "x": torch.nn.Linear(4, 4)}
    layers["y"] = torch.nn.Linear(4, 4)
    state = {f"{n}.{k}": torch.randn_like(v.float()) for n, m in layers.items() for k, v in m.state_dict().items()}
    torch.save({"model": {k: v + 1 for k, v in state.items()}, "shadow": state}, tmp_path / "both.pth")
    (tmp_path / "map.toml").write_text('[map]\nlinear1 = "y"\nlinear2 = "x"\n')
    module = PLAIN.module(seed=0)
    fresh = {k: v.clone() for k, v in module.state_dict().items()}
    start = Start(module, NetParameters.of(PLAIN.checked), tmp_path, PLAIN.checked)
    rules = 'inside="shadow", map="map.toml", channels=mean, exclude=["linear2"]'
    notes = initialize(recipe(f'init = weights("both.pth", {rules})').init, start)
    found = module.state_dict()
    assert torch.equal(found["linear1.weight"], state["y.weight"])
    assert torch.equal(found["linear2.weight"], fresh["linear2.weight"])
    torch.testing.assert_close(found["conv.weight"], state["a.weight"].mean(1, keepdim=True))
    assert "other input channels" in notes[0]
    assert "`linear2.weight`" in notes[0]
