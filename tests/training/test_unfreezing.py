"""Layers that are frozen for a time: which move when, at which lr, and the same bits after a resume."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from roles import roles_of
from torch import Tensor, nn
from training_harness import loop_of, small_net, stop_after

from netdsl.cli.main import main
from netdsl.pipeline import Spec
from netdsl.planning.groups import group
from netdsl.source import Source
from netdsl.training.trainer import Trainer

FIELDS = """
steps = 12
batch = 16
optimizer = adamw(lr=1e-2, weight_decay=0.1)
schedule = constant
checkpoint = 3 steps
evaluate = 7 steps
freeze stem, norm
unfreeze = after(4 steps, ["norm"]) -> after(8 steps, lr=0.1)
"""


NAMES = ("stem", "norm", "relu", "dropout", "flatten", "head")


def named() -> nn.Module:
    return nn.Sequential(OrderedDict(zip(NAMES, small_net(), strict=True)))


def run_of(fields: str, folder: Path | None = None) -> Trainer:
    return loop_of(fields, folder, named())


def states(loop: Trainer) -> list[dict[str, Tensor]]:
    """The weights after each step."""
    found: list[dict[str, Tensor]] = []

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            found.append({n: t.clone() for n, t in loop.module.state_dict().items()})

    loop.watch = watch
    loop.run()
    return found


OPTIMIZERS = (
    "adamw(lr=1e-2, weight_decay=0.1)", "adam(lr=1e-2)", "sgd(lr=0.01, momentum=0.9, nesterov=true)",
    "adagrad(lr=1e-2)", "rmsprop(lr=1e-3, momentum=0.9)", "lion(lr=1e-4)", "lamb(lr=1e-2)", "lars(lr=0.1)",
)  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_moves_when(optimizer: str) -> None:
    """The convolution is frozen for 8 steps, its norm for 4, with its statistics; weight decay does not touch them."""
    loop = run_of(FIELDS.replace(OPTIMIZERS[0], optimizer))
    first = {n: t.clone() for n, t in loop.module.state_dict().items()}
    seen = [first, *states(loop)]
    begins = {"stem.weight": 8, "norm.weight": 4, "norm.running_mean": 4, "head.weight": 0}
    for name, begin in begins.items():
        moved = [not torch.equal(a[name], b[name]) for a, b in pairwise(seen)]
        assert moved == [step >= begin for step in range(12)], name


def test_an_unfrozen_layer_has_the_first_steps_of_an_optimizer_at_its_own_lr() -> None:
    """AdamW's first update is lr * sign(gradient): a tenth of the lr, and no state from before."""
    loop = run_of(FIELDS.replace("weight_decay=0.1", "weight_decay=0"))
    seen = states(loop)
    step = (seen[8]["stem.weight"] - seen[7]["stem.weight"]).abs()
    torch.testing.assert_close(step, torch.full_like(step, 1e-3), rtol=1e-2, atol=0)


def test_it_is_a_run_of_the_unfrozen_layers_alone_until_then() -> None:
    """The same head as with layers that are frozen permanently."""
    ours = states(run_of(FIELDS))
    theirs = states(run_of(FIELDS.replace('unfreeze = after(4 steps, ["norm"]) -> after(8 steps, lr=0.1)', "")))
    assert torch.equal(ours[3]["head.weight"], theirs[3]["head.weight"])
    assert not torch.equal(ours[5]["head.weight"], theirs[5]["head.weight"])


@pytest.mark.parametrize("at", [3, 6, 9])
def test_a_run_that_is_resumed_has_the_same_bits(tmp_path: Path, at: int) -> None:
    whole = run_of(FIELDS, tmp_path / "whole")
    whole.run()
    stop_after(run_of(FIELDS, tmp_path / "half"), at)
    again = run_of(FIELDS, tmp_path / "half")
    assert again.restore()
    again.run()
    ours, theirs = whole.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_processes_drop_the_gradients_of_what_is_frozen() -> None:
    """Where all processes need the same gradients, what is frozen is computed and forgotten: the same weights."""
    alone, together = run_of(FIELDS), run_of(FIELDS)
    together.freezing.together = True
    ours, theirs = states(alone)[-1], states(together)[-1]
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


def test_groups_are_apart_by_their_lr() -> None:
    module = named()
    groups = group(recipe(FIELDS), roles_of(module))
    assert {p: g.lr_scale for g in groups for p in g.paths}["stem.weight"] == pytest.approx(0.1)
    assert {p: g.lr_scale for g in groups for p in g.paths}["norm.weight"] == 1


NET = "net N { input image [1, 8, 8]\n stem: conv(4, 3) -> relu\n head: flatten -> linear(10) }\n"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ("unfreeze = after(1 epochs)", "idle-option"),
        ("unfreeze = after(1)\n freeze stem", "bad-unit"),
        ("epochs = 5\n unfreeze = after(5 epochs)\n freeze stem", "schedule-too-long"),
        ("epochs = 5\n unfreeze = after(3 epochs) -> after(2 epochs)\n freeze stem", "conflicting-fields"),
        ('epochs = 5\n unfreeze = after(3 epochs, ["stam"])\n freeze stem', "unknown-selector"),
        ('epochs = 5\n unfreeze = after(3 epochs, ["head"])\n freeze stem', "idle-option"),
        ("epochs = 5\n unfreeze = after(3 epochs)\n freeze stem, head", "all-frozen"),
        ("epochs = 5\n unfreeze = after(3 epochs)\n freeze stem\n shard = fsdp", "conflicting-fields"),
    ],
)
def test_what_is_said_before_training(fields: str, code: str) -> None:
    text = f"{NET}recipe R for N {{\n data = digits\n {fields}\n}}\n"
    found = Spec(Source(text, "test.net"), lambda *_: None).diagnostics
    assert code in [d.code for d in found], [d.message for d in found]


def test_times_in_epochs_shrink_with_the_run(tmp_path: Path) -> None:
    text = "epochs = 20\n freeze stem\n unfreeze = after(10 epochs, lr=0.1)"
    (tmp_path / "n.net").write_text(f"{NET}recipe R for N {{\n data = digits\n {text}\n}}\n")
    run = tmp_path / "run"
    assert main(["train", f"{tmp_path}/n.net", "--set", "epochs=2", "-q", "--no-onnx", "-o", str(run)]) == 0
    assert '"amount":1' in (run / "recipe.json").read_text().replace(" ", "")


def test_a_frozen_norm_without_weights_keeps_its_statistics() -> None:
    layers = OrderedDict(zip(NAMES, small_net(), strict=True))
    layers["norm"] = nn.BatchNorm2d(4, affine=False)
    loop = loop_of("steps = 6\nbatch = 16\nfreeze norm\nunfreeze = after(4 steps)", None, nn.Sequential(layers))
    still, moved = states(loop)[3], loop.module.state_dict()
    assert torch.equal(still["norm.running_mean"], torch.zeros(4))
    assert int(moved["norm.num_batches_tracked"]) == 2
