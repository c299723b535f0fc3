"""Runs trained as one batched model: every part on the lists gives what it gives alone, to the tolerance of floats."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from op_harness import Use, torch_module, uses
from safetensors.torch import load_file
from torch import Tensor
from torch.func import functional_call, vmap

import netdsl
from netdsl.ops import REGISTRY
from netdsl.planning.batching import LOSSES, OPTIMIZERS, obstacle
from netdsl.selection import select
from netdsl.training.begun import Request
from netdsl.training.checkpoints.run_dir import read_about
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.entry import train
from netdsl.training.setup import Prepared, start
from netdsl.training.stack import Stack, attention_in_parts, stacked
from netdsl.training.together import Member, Together, alike, members_of, speedup
from netdsl.training.trainer import Trainer

MLP = "flatten -> linear(6) -> tanh -> linear(10)"
CONV = "conv(4, 3, bias=false) -> bn -> relu -> maxpool(2) -> conv(4, 3, bias=false) -> avgpool(2) -> gap -> linear(10)"
ATTENTION = """
  patchify(8, 4) -> rearrange("c h w -> (h w) c") -> attention(2) -> layernorm
  reduce("l c -> c", mean) -> linear(10)
"""
ROWS = 3


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are not waited for: no machine fails here."""
    monkeypatch.setattr("os.fsync", lambda file: None)


def request(body: str, fields: str, seed: int, folder: Path | None = None, resume: bool = False) -> Request:
    """A small run on digits."""
    given = {line.split(" = ")[0].strip(): line for line in fields.splitlines()}
    usual = {
        "steps": "steps = 8",
        "data": "data = digits(test=0.03)",
        "batch": "batch = 16",
        "evaluate": "evaluate = 4 steps",
    }
    recipe = "\n".join((usual | given).values())
    text = f"net N {{\n input image [1, 8, 8]\n {body}\n}}\nrecipe R for N {{\n {recipe}\n}}\n"
    found = select(netdsl.open_spec(netdsl.Source(text, "n.net")), "N", "R", {"seed": str(seed)}, {}, {})
    assert found.net is not None, found.diagnostics
    assert found.recipe is not None, found.diagnostics
    before = read_about(folder)[1] if folder is not None and resume else None
    return Request(
        net=found.net, recipe=found.recipe, base=Path(), folder=folder, onnx=False, quiet=True, device="cpu",
        resume=resume, before=before,
    )  # fmt: skip


def prepared(body: str, fields: str = "") -> list[Prepared]:
    return [m.prepared for m in members_of([(row, request(body, fields, row)) for row in range(ROWS)])]


def begin(one: Prepared) -> Trainer:
    own = replace(one, module=deepcopy(one.module))
    return start(own, None, ProcessGroup(), lambda what, numbers: None)


def distance(body: str, fields: str = "", steps: int = 4) -> float:
    """The largest difference of weights and buffers between runs alone and as one, after some steps."""
    runs = prepared(body, fields)
    assert obstacle(runs[0].net.checked, runs[0].recipe) is None
    alone, together = [begin(p) for p in runs], [begin(p) for p in runs]
    stack = Stack(together)
    for step in range(steps):
        assert not stack.update(step)
        for loop in alone:
            loop.update(step)
    states = [(a.averages.state() or a.module.state_dict(), b.averages.state() or b.module.state_dict())
              for a, b in zip(alone, together, strict=True)]  # fmt: skip
    moved = [
        not torch.equal(p, q) for p, q in zip(runs[0].module.parameters(), together[0].module.parameters(), strict=True)
    ]
    assert all(moved)
    return max(float((a[n].double() - b[n].double()).abs().max()) for a, b in states for n in a)


@pytest.mark.parametrize("body", [MLP, CONV, ATTENTION])
def test_runs_as_one_are_those_alone(body: str) -> None:
    """By plain SGD: Adam makes whole steps of a gradient that is nothing but rounding, as of the bias of keys."""
    assert distance(body, "optimizer = sgd(0.1)") < 2e-5


def test_each_recipe_is_trained_as_alone() -> None:
    for fields in (
        "optimizer = sgd(0.1, momentum=0.9, nesterov=true)\n schedule = warmup(over=2 steps) -> cosine",
        "clip = norm(0.1)\n penalty = l1(1e-3)",
        "clip = value(1e-3)\n ema = ema(0.9)\n loss = cross_entropy(label_smoothing=0.1)",
        "augment = hflip\n mix = mixup(0.4)\n label_noise = 0.2",
        "validation = 0.2\n group bias { weight_decay = 0 }",
    ):
        assert distance(MLP, fields) < 2e-5, fields


@pytest.mark.slow
@pytest.mark.parametrize("kind", [k.__struct_config__.tag for k in (*OPTIMIZERS, *LOSSES[:-1])])
def test_each_optimizer_and_loss_is_computed_as_alone(kind: Any) -> None:
    named = {c.__struct_config__.tag: "optimizer" for c in OPTIMIZERS} | {
        c.__struct_config__.tag: "loss" for c in LOSSES
    }
    value = f"{kind}(1e-2)" if named[kind] == "optimizer" else kind
    assert distance(MLP, f"{named[kind]} = {value}") < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_an_op_is_trained_alone_where_a_batch_of_it_is_something_else(kind: str) -> None:
    """Outputs, gradients and statistics; `propagate` could be batched, and the nets around it are not."""
    found = [use for use in uses() if use.given.kind == kind]
    always = all(use.given.alone() for use in found)
    for use in found:
        if not use.given.alone():
            check_op(use)
        elif always and kind != "propagate":
            with pytest.raises((RuntimeError, ValueError, UserWarning)):
                check_op(use)


def check_op(use: Use) -> None:
    modules = [torch_module(use).train() for _ in range(ROWS)]
    scopes = [m.__dict__.pop("scope") for m in modules]
    both = stacked(modules)
    for module in (both, *modules):
        module.scope = scopes[0]
    given = [[v + 0.01 * i if v.is_floating_point() else v for v in use.values] for i in range(ROWS)]
    inputs = [torch.stack(c).requires_grad_(c[0].is_floating_point()) for c in zip(*given, strict=True)]
    with warnings.catch_warnings(), attention_in_parts():
        warnings.simplefilter("error", UserWarning)  # a rule that vmap lacks, and calls row by row
        tensors = dict(both.named_parameters()), dict(both.named_buffers())
        found = vmap(lambda p, b, *x: functional_call(both, (p, b), x))(*tensors, *inputs)
    ours = gradients(found, [*both.parameters(), *inputs])
    for row, (module, values) in enumerate(zip(modules, given, strict=True)):
        leaves = [v.clone().requires_grad_(v.is_floating_point()) for v in values]
        wanted = module(*leaves)
        for a, b in zip(listed(found), listed(wanted), strict=True):
            torch.testing.assert_close(a[row], b, rtol=1e-4, atol=1e-5)
        for a, b in zip(ours, gradients(wanted, [*module.parameters(), *leaves]), strict=True):
            torch.testing.assert_close(a[row], b, rtol=1e-3, atol=1e-4 * max(1.0, float(b.abs().max())))
        for a, b in zip(both.buffers(), module.buffers(), strict=True):
            torch.testing.assert_close(a[row], b, rtol=1e-4, atol=1e-5)


def listed(found: Any) -> list[Tensor]:
    return list(found) if isinstance(found, tuple | list) else [found]


def gradients(found: Any, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """The gradients of the sum of squares by every floating leaf; zeros where it plays no part."""
    loss = torch.stack([x.float().square().sum() for x in listed(found)]).sum()
    some = [x for x in leaves if x.requires_grad]
    if not loss.requires_grad:
        return tuple(map(torch.zeros_like, some))
    return torch.autograd.grad(loss, some, allow_unused=True, materialize_grads=True)


def test_what_draws_inside_the_net_or_looks_at_runs_stays_apart() -> None:
    for body, fields, said in (
        (f"dropout -> {MLP}", "", "dropout"),
        ("rearrange(\"c h w -> (c h) w\") -> gru(4) -> flatten -> linear(10)", "", "gru"),
        (MLP, "optimizer = muon(0.02)", "muon"),
        (MLP, "clip = adaptive(0.1)", "clip"),
        (MLP, "swa = swa()", "swa"),
        (MLP, "schedule = plateau", "plateau"),
    ):  # fmt: skip
        one = request(body, fields, 0)
        assert said in (obstacle(one.net.checked, one.recipe) or ""), said


def test_runs_whose_data_differ_in_number_are_not_alike() -> None:
    members = [Member(0, request(MLP, "", 0)), Member(1, request(MLP, "batch = 8", 1))]
    assert not alike(members)
    assert alike([members[0], Member(1, request(MLP, "", 1))])


def test_a_combination_that_vmap_refuses_stays_apart() -> None:
    """A group norm behind a batched convolution, whose output lies in memory otherwise."""
    assert (
        speedup(
            prepared("conv(4, 3) -> maxpool(2) -> conv(4, 3, bias=false) -> groupnorm(2) -> gap -> linear(10)")[0], 2
        )
        == 0
    )


def test_the_first_steps_are_measured_and_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    one = prepared(MLP)[0]
    assert speedup(one, 4) > 0
    monkeypatch.setattr(Stack, "_losses", lambda self, step: self.weights[0].flatten(1).sum(1))
    assert speedup(one, 4) == 0, "other losses"

    def fails(self: Stack, step: int) -> Tensor:
        raise RuntimeError("no batching rule")

    monkeypatch.setattr(Stack, "_losses", fails)
    assert speedup(one, 4) == 0


def run_together(folder: Path, fields: str, resume: bool = False) -> Together:
    """Train ROWS runs as one into the folders 0, 1, ..."""
    requests = [(row, request(MLP, fields, row, folder / str(row), resume)) for row in range(ROWS)]
    together = Together(members_of(requests), ROWS)
    together.train(lambda text: None)
    return together


def test_each_run_leaves_what_it_leaves_alone(tmp_path: Path) -> None:
    fields = "stop = early_stopping(patience=1)\n evaluate = 2 steps\n optimizer = sgd(5)"
    assert [m.code for m in run_together(tmp_path, fields).members] == [0] * ROWS
    for row in range(ROWS):
        (tmp_path / "alone").mkdir(exist_ok=True)
        assert train(request(MLP, fields, row, tmp_path / "alone" / str(row)), lambda text: None) == 0
        ours, theirs = tmp_path / str(row), tmp_path / "alone" / str(row)
        assert {p.name for p in ours.iterdir()} == {p.name for p in theirs.iterdir()}
        a, b = load_file(ours / "model.safetensors"), load_file(theirs / "model.safetensors")
        assert max(float((a[n] - b[n]).abs().max()) for n in a) < 2e-5
        logs = [(f / "metrics.jsonl").read_text().splitlines() for f in (ours, theirs)]
        assert len(logs[0]) == len(logs[1])


def test_runs_that_were_killed_between_checkpoints_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three writes its second checkpoint last: the third resumes from its first, and catches up."""
    fields = "checkpoint = 3 steps\n optimizer = adamw(1e-2)\n ema = ema(0.9)"
    run_together(tmp_path / "whole", fields)
    save, count = Trainer.save, 0

    def killed(self: Trainer) -> None:
        nonlocal count
        count += 1
        if count == ROWS + 3:
            raise KeyboardInterrupt
        save(self)

    monkeypatch.setattr(Trainer, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        run_together(tmp_path / "cut", fields)
    monkeypatch.setattr(Trainer, "save", save)
    run_together(tmp_path / "cut", fields, resume=True)
    for row in range(ROWS):
        for name in ("model.safetensors", "metrics.jsonl"):
            assert (tmp_path / "cut" / str(row) / name).read_bytes() == (
                tmp_path / "whole" / str(row) / name
            ).read_bytes()


def test_a_run_that_is_lost_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_together(tmp_path / "whole", "")
    losses = Stack._losses

    def lost(self: Stack, step: int) -> Tensor:
        found = losses(self, step)
        if step == 3 and self.rows[1] is not None:
            with torch.no_grad():
                next(self.rows[1].module.parameters()).fill_(float("nan"))
            found = found * torch.tensor([1.0, float("nan"), 1.0])
        return found

    monkeypatch.setattr(Stack, "_losses", lost)
    found = run_together(tmp_path / "lost", "")
    codes = [m.code for m in found.members]
    assert codes[0] == codes[2] == 0
    assert "at step 4 the loss is not finite" in str(codes[1])
    for row in (0, 2):
        a, b = (load_file(tmp_path / kind / str(row) / "model.safetensors") for kind in ("whole", "lost"))
        assert all(torch.equal(a[n], b[n]) for n in a)
    assert [m.code for m in whole.members] == [0] * ROWS
