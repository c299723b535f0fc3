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
