"""More of what trainers get wrong: averages, rates, metrics, the best weights, determinism."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe
from torch import Tensor, nn
from torch.nn import functional
from training_harness import loop_of, samples, small_net

from netdsl.cli.main import main
from netdsl.training import evaluate
from netdsl.training.checkpoints import format as files
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.evaluate import Evaluator


def steps_of(loop: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            weights = {n: t.detach().clone() for n, t in loop.module.state_dict().items()}
            found.append({**numbers, "weights": weights})

    loop.watch = watch
    loop.run()
    return found


# An average continues counting where it stopped, and training resumes from the raw weights.


def test_a_resumed_average_is_the_recursion_over_all_raw_weights(tmp_path: Path) -> None:
    fields = "steps = 14\nbatch = 16\nschedule = constant\nema = ema(0.99, every=2, warmup=true)\n"
    broken = loop_of(fields.replace("14", "7"), tmp_path)
    start = {n: t.clone() for n, t in broken.module.state_dict().items()}
    raw = [s["weights"] for s in steps_of(broken)]
    resumed = loop_of(fields, tmp_path)
    assert resumed.restore()
    tensors, _ = files.load_tensors(tmp_path / "checkpoint.safetensors")
    model, average = files.part("model", tensors), files.part("average", tensors)
    assert not torch.equal(model["0.weight"], average["0.weight"])
    assert torch.equal(resumed.module.state_dict()["0.weight"], model["0.weight"])
    raw += [s["weights"] for s in steps_of(resumed)]
    assert len(raw) == 14
    expected = start["0.weight"]
    for n, step in enumerate(range(2, 15, 2), start=1):
        decay = min(0.99, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * raw[step - 1]["0.weight"]
    torch.testing.assert_close(resumed.averages.state()["0.weight"], expected)


# An average that is too slow for the run is said before it, with its batch-norm statistics.


@pytest.mark.parametrize(
    ("ema", "steps", "share"),
    [
        ("ema = 0.9999", 1000, 0.9999**1000),
        ("ema = ema(0.99, every=10)", 1000, 0.99**100),
        ("ema = ema(0.999, restart=500 steps)", 1000, 0.999**500),
        ("ema = 0.99", 1000, None),
        ("ema = ema(0.9999, warmup=true)", 1000, None),
        ("swa = swa", 1000, None),
    ],
)
def test_a_slow_average_is_said(ema: str, steps: int, share: float | None) -> None:
    loop = loop_of(f"steps = {steps}\n{ema}")
    said = loop.averages.doubts(loop.total)
    assert bool(said) == (share is not None)
    if share is not None:
        assert f"will still be {share:.0%} first weights at the end" in said[0]


def test_a_slow_average_says_whether_statistics_are_meant(tmp_path: Path) -> None:
    for buffers, words in (("copy", "first weights at"), ("average", "first weights and batch-norm statistics at")):
        (said,) = loop_of(f"steps = 50\nema = ema(0.999, buffers={buffers})").averages.doubts(50)
        assert words in said


def test_what_is_left_is_what_the_average_keeps() -> None:
    """Against the average itself: it begins with ones, the weights are zeros ever after."""
    for text, steps in (("ema(0.9)", 7), ("ema(0.9, every=3)", 11), ("ema(0.8, restart=4 steps, every=2)", 13),
                        ("ema(0.999, warmup=true, every=2)", 30)):  # fmt: skip
        loop = loop_of(f"steps = 40\nema = {text}", module=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
        average = loop.averages.ema
        assert average is not None
        with torch.no_grad():
            average.state["1.weight"].fill_(1.0)
            restart = average.restart
            for step in range(1, steps + 1):
                loop.module[1].weight.fill_(1.0 if step <= restart else 0.0)
                average.update(loop.module, step)
        assert float(average.state["1.weight"][0, 0]) == pytest.approx(average.left(steps), rel=1e-5)


# The lr is a function of the optimizer step, the number of steps one of the data.


@pytest.mark.parametrize("micro", [0, 1, 3, 5, 16])
def test_accumulation_leaves_the_schedule_alone(micro: int) -> None:
    schedule = "schedule = warmup(1 epochs) -> cosine\n"
    loop = loop_of(f"epochs = 3\nbatch = 16\nmicro_batch = {micro}\n{schedule}", module=small_net(norm=False))
    seen = steps_of(loop)
    assert len(seen) == 3 * math.ceil(50 / 16)
    peak = loop.recipe.optimizer.lr
    expected = [peak * s / 4 if s < 4 else peak * (1 + math.cos(math.pi * (s - 4) / 8)) / 2 for s in range(12)]
    assert [s["lr"] for s in seen] == pytest.approx(expected)
    assert [s["samples"] for s in seen] == [16, 16, 16, 2] * 3


# A metric is a sum over samples, whatever is computed at once.


@pytest.mark.parametrize("chunk", [1, 7, 100, 256, 300])
@pytest.mark.parametrize("count", [1, 2, 257])
def test_metrics_do_not_depend_on_what_is_computed_at_once(
    chunk: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "CHUNK", chunk)
    split, module = samples(count), small_net().eval()
    found = recipe("metrics = [per_class, confusion]\nloss = cross_entropy(label_smoothing=0.3)")
    result = Evaluator(found, ("output",), ("output",), "classes", 3, ProcessGroup())(module, split)
    with torch.no_grad():
        logits = module(split.inputs[0])
    assert result["n"] == count
    assert result["loss"] == pytest.approx(float(functional.cross_entropy(logits, split.target)), rel=1e-5)
    guess = logits.argmax(1)
    assert result["top1"] == float((guess == split.target).double().mean())
    for truth in range(3):
        for taken in range(3):
            pairs = int(((split.target == truth) & (guess == taken)).sum())
            assert result["confusion"][truth][taken] == pairs


@pytest.mark.parametrize(("fields", "expected"), [("batch = 8\nmicro_batch = 4", 4), ("batch = 16", 16)])
def test_evaluation_computes_what_training_does_at_once(fields: str, expected: int) -> None:
    sizes: list[int] = []
    module = small_net().eval()
    module.register_forward_hook(lambda m, i, o: sizes.append(len(o)))
    Evaluator(recipe(fields), ("output",), ("output",), "classes", 3, ProcessGroup())(module, samples(50))
    assert max(sizes) == expected
    assert sum(sizes) == 50


# The best is the best of the log, in the right direction.


@pytest.mark.parametrize(("metric", "choose"), [("loss", min), ("top1", max)])
def test_the_best_is_the_best_of_the_log(tmp_path: Path, metric: str, choose: Any) -> None:
    fields = "steps = 24\nbatch = 16\noptimizer = sgd(lr=0.5, momentum=0.9)\nevaluate = 2 steps\nvalidation = 0.2\n"
    loop = loop_of(f"{fields}stop = early_stopping(99, metric={metric})", tmp_path)
    seen: list[dict[str, Any]] = []
    loop.watch = lambda what, numbers: seen.append(numbers) if what == "evaluation" else None
    loop.run()
    best = choose(seen, key=lambda n: n[metric])  # the first of equals
    assert loop.state.best_step == best["step"]
    chosen = loop.chosen_weights()
    loop.module.load_state_dict(chosen)
    loop.module.eval()
    assert loop.evaluator(loop.module, loop.job.held)[metric] == best[metric]
    _, about = files.load_tensors(tmp_path / "checkpoint.safetensors")
    assert about["state"]["best_step"] == best["step"]


# What determinism cannot do is said.


class Scatter(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(
            "put_ does not have a deterministic implementation, but you set 'torch.use_deterministic...'"
        )


def test_a_kernel_without_a_deterministic_form_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from netdsl.training.trainer import Trainer

    (tmp_path / "a.net").write_text("net A(classes=10) { input image [1, 8, 8]\n flatten -> linear(classes) }\n")
    monkeypatch.setattr(Trainer, "_backward", lambda *a, **k: Scatter()(torch.zeros(1)))
    try:
        assert main(["train", str(tmp_path / "a.net"), "--set", "deterministic=true", "-o", str(tmp_path / "r")]) == 1
    finally:
        torch.use_deterministic_algorithms(False)
    said = capsys.readouterr().err
    assert "put_ does not have a deterministic implementation\nhint: leave out `deterministic`" in said


def test_two_deterministic_runs_are_the_same_bits_and_say_where(tmp_path: Path) -> None:
    (tmp_path / "a.net").write_text("net A(classes=10) { input image [1, 8, 8]\n flatten -> linear(classes) }\n")
    try:
        for name in ("one", "two"):
            settings = ["--set", "steps=5", "--set", "deterministic=true"]
            assert (
                main(["train", str(tmp_path / "a.net"), "--no-onnx", "-q", "-o", str(tmp_path / name), *settings]) == 0
            )
    finally:
        torch.use_deterministic_algorithms(False)
    one, two = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("one", "two"))
    assert one == two
    records = [json.loads((tmp_path / n / "run.json").read_text())["environment"] for n in ("one", "two")]
    assert records[0] == records[1]
