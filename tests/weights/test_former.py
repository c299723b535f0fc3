"""What release 0.2 saved is read by this one: every key of every net, and one run with all that it left behind."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import DATA
from safetensors.torch import load_file
from zoo_tables import spec, specs

from netdsl.backends.torch.module import imported
from netdsl.cli.main import main
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.training.checkpoints.format import load_tensors
from netdsl.training.errors import CheckpointError
from netdsl.training.opened import open_trained
from netdsl.weights.former import current, former
from netdsl.weights.match import match
from netdsl.weights.slots import Slot, slots

torch.set_num_threads(1)

RUN = DATA / "version0.2" / "Renamed-1"
"""Made by netdsl 0.2.0 (one epoch on the digits): its spec has every kind of layer that has another name now."""
KEYS: dict[str, str] = json.loads((DATA / "keys-0.2.json").read_text())
"""For the nets of 0.2's zoo a hash of the keys of their state dicts in 0.2, sorted."""


RELABELLED: dict[str, list[str]] = json.loads(gzip.decompress((DATA / "relabelled-0.2.json.gz").read_bytes()))
"""The keys that 0.2 gave to nets whose specs have got other labels, in the order of the net."""


def hashed(keys: Any) -> str:
    return sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]


def net() -> Net:
    return Spec(Source((RUN / "spec.net").read_text(), "spec.net"), read_import).net("Renamed")


@pytest.mark.parametrize("name", [path.stem for path in specs()])
def test_the_table_gives_the_keys_of_every_net_of_the_zoo(name: str) -> None:
    for declared in spec(name).nets:
        known = KEYS.get(f"{name}:{declared}")
        if known is None or f"{name}:{declared}" in RELABELLED:
            continue  # a net that 0.2 did not have, or not as it is
        program = spec(name).net(declared).checked
        own = {slot.key: slot.shape for slot in slots(program.main)}
        before = former(program.main, own)
        assert hashed(before) == known, declared
        assert current(program.main, before) == own
        assert current(program.main, own) == own


@pytest.mark.parametrize("name", RELABELLED)
def test_nets_with_other_labels_take_their_old_keys(name: str) -> None:
    file, _, declared = name.partition(":")
    program = spec(file).net(declared).checked
    hints = [(foreign, own) for foreign, own in spec(file).constant("weights") or ()]
    old = dict(zip(RELABELLED[name], slots(program.main), strict=True))
    foreign = [Slot(key, slot.shape, slot.constant) for key, slot in old.items()]
    random.Random(0).shuffle(foreign)
    found = match(program, foreign, hints=hints)
    assert found.complete
    assert all(old[m.foreign.key].key == m.own.key for m in found.matches)


def test_keys_move_for_these_reasons() -> None:
    own = [slot.key for slot in slots(net().checked.main)]
    old = list(former(net().checked.main, dict.fromkeys(own)))
    moved = dict(zip(old, own, strict=True))
    assert moved["stages.0.linear.weight"] == "stages.0.pwconv.weight"
    assert moved["stages.0.conv.weight"] == "stages.0.conv2.weight"
    assert moved["stages.2.shortcut.conv.weight"] == "stages.2.shortcut.weight"
    assert moved["head.1.weight"] == "head.1.weight"


def test_the_run_of_0_2_predicts_the_same() -> None:
    """The reference is the module that 0.2 printed, with the weights under its own keys."""
    before = imported((RUN / "model.txt").read_text(), "Renamed").Renamed().eval()
    weights = load_file(RUN / "model.safetensors")
    before.load_state_dict(weights)
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(open_trained(RUN).forward(images), before(images), rtol=1e-5, atol=1e-6)


def test_the_run_of_0_2_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "Renamed-1"
    shutil.copytree(RUN, folder)
    assert main(["train", "--resume", str(folder), "--set", "epochs=2"]) == 0
    _, about = load_tensors(folder / "checkpoint.safetensors")
    assert about["state"]["step"] == 46
    keys = load_file(folder / "model.safetensors").keys()
    assert "stages.0.pwconv.weight" in keys


def test_a_run_of_0_2_whose_layers_have_other_axes_today_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "Renamed-1"
    shutil.copytree(RUN, folder)
    moved = "head: permute((1, 2, 0)) -> softmax -> permute((2, 0, 1)) -> gap"
    (folder / "spec.net").write_text((RUN / "spec.net").read_text().replace("head: gap", moved))
    with pytest.raises(CheckpointError, match="does not give the net") as raised:
        open_trained(folder)
    version, line = raised.value.diagnostic.notes
    assert "version 2 of the language" in version
    assert "`softmax`" in line
    assert main(["train", "--resume", str(folder), "--set", "epochs=2"]) == 2
    assert "outdated-run" in capsys.readouterr().err


def test_weights_of_0_2_are_taken(tmp_path: Path) -> None:
    weights, target = str(RUN / "model.safetensors"), f"{RUN / 'spec.net'}:Renamed"
    plain = {k: v for k, v in load_file(weights).items() if not k.startswith("standardize")}
    torch.save(plain, tmp_path / "old.pt")
    assert main(["weights", target, str(tmp_path / "old.pt"), "-o", str(tmp_path / "new.safetensors")]) == 0
    made = load_file(tmp_path / "new.safetensors")
    program = net().checked.main
    assert made.keys() == {slot.key for slot in slots(program)}
    for key, tensor in current(program, plain).items():
        torch.testing.assert_close(made[key], tensor)


def test_onnx_files_of_0_2_are_verified(capsys: pytest.CaptureFixture[str]) -> None:
    compiled = DATA / "version0.2" / "compiled"
    weights = str(compiled / "model.safetensors")
    assert main(["verify", str(compiled / "model.onnx"), "--weights", weights]) == 0
    assert "real" in capsys.readouterr().out, "its own weights are compared too"
    assert main(["verify", str(compiled / "model.onnx"), "--against", weights]) == 0
    assert "computes what" in capsys.readouterr().out
